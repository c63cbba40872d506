"""
The database, SQLite or PostgreSQL, with one way to read and one to write.

SQLite: WAL, and every write transaction begins with BEGIN IMMEDIATE, for otherwise the driver opens
it at the first write, after the reads it rests on, and updates are lost. Writers queue at a file lock
first, because SQLite itself waits for its lock by sleeping up to 100 ms at a time. PostgreSQL: guarded
UPDATEs under READ COMMITTED; a read sees one snapshot. Errors name no parameters: those may be a job's
environment.
"""

import fcntl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from threading import Lock
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url

from levare.errors import InvalidSetting

_BUSY_TIMEOUT_MS = 10_000


class Database:
    def __init__(self, url: str) -> None:
        self.url = _with_driver(url)
        self._writer: Connection | None = None
        self.is_sqlite = make_url(self.url).get_backend_name() == "sqlite"
        if self.is_sqlite:
            self._reads, self._writes = _sqlite(self.url, "BEGIN"), _sqlite(self.url, "BEGIN IMMEDIATE")
            self._turn: AbstractContextManager[object] = _Turn(_path(self.url))
        else:
            self._turn = nullcontext()
            self._writes = create_engine(
                self.url, hide_parameters=True, pool_pre_ping=True, pool_size=10, max_overflow=30
            )
            self._reads = self._writes.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; nothing that is done in it is kept."""
        with self._reads.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by any exception. Keep it short, keep the network out."""
        with self._turn, self._begin() as connection:
            yield connection

    @contextmanager
    def _begin(self) -> Iterator[Connection]:
        """
        Where writers take turns one connection is enough, and is kept: to get one from a pool costs like a statement.

        One that has met an error is not used again.
        """
        if not self.is_sqlite:
            with self._writes.begin() as connection:
                yield connection
            return
        connection, self._writer = self._writer or self._writes.connect(), None
        try:
            with connection.begin():
                yield connection
        except BaseException:
            connection.close()
            raise
        self._writer = connection

    def dispose(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None
        self._reads.dispose()
        self._writes.dispose()
        if isinstance(self._turn, _Turn):
            self._turn.close()


class _Turn:
    """Whose turn it is to write: a lock among threads, then one among processes. Both wake the next one at once."""

    def __init__(self, database: Path) -> None:
        self._threads = Lock()
        self._processes = database.with_name(f"{database.name}-turn").open("w")

    def __enter__(self) -> None:
        self._threads.acquire()
        fcntl.flock(self._processes, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._processes, fcntl.LOCK_UN)
        self._threads.release()

    def close(self) -> None:
        self._processes.close()


def _with_driver(url: str) -> str:
    """`postgresql://` and the older `postgres://` mean psycopg, the driver that levare brings."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else url


def _path(url: str) -> Path:
    """The file. A database in memory cannot be shared by processes, so it is no database for levare."""
    path = make_url(url).database
    if not path or path == ":memory:":
        raise InvalidSetting(f"LEVARE_DATABASE is {url!r}, which names no file.", "Set it to sqlite:////path/to/file.")
    return Path(path)


def _sqlite(url: str, begin: str) -> Engine:
    _path(url).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    arguments = {"timeout": _BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
    engine = create_engine(url, hide_parameters=True, connect_args=arguments)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _prepare_sqlite(connection: SqliteConnection, _record: Any) -> None:
    connection.isolation_level = None  # the driver must not open transactions by itself
    for pragma in (
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
        f"busy_timeout={_BUSY_TIMEOUT_MS}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()
