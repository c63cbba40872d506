"""
The database, SQLite or PostgreSQL, with one way to read and one to write.

SQLite: WAL, and every write transaction begins with BEGIN IMMEDIATE, for otherwise the driver opens
it at the first write, after the reads it rests on, and updates are lost. PostgreSQL: guarded
UPDATEs under READ COMMITTED; a read sees one snapshot.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url

_BUSY_TIMEOUT_MS = 10_000


class Database:
    def __init__(self, url: str) -> None:
        self.url = _with_driver(url)
        if _is_sqlite(self.url):
            self._reads, self._writes = _sqlite(self.url, "BEGIN"), _sqlite(self.url, "BEGIN IMMEDIATE")
        else:
            self._writes = create_engine(self.url, pool_pre_ping=True, pool_size=10, max_overflow=30)
            self._reads = self._writes.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view; nothing that is done in it is kept."""
        with self._reads.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: committed at the end, rolled back by any exception. Keep it short, keep the network out."""
        with self._writes.begin() as connection:
            yield connection

    @property
    def is_sqlite(self) -> bool:
        return _is_sqlite(self.url)

    def dispose(self) -> None:
        self._reads.dispose()
        self._writes.dispose()


def _with_driver(url: str) -> str:
    """`postgresql://` and the older `postgres://` mean psycopg, the driver that levare brings."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+psycopg://{rest}" if scheme in ("postgresql", "postgres") else url


def _is_sqlite(url: str) -> bool:
    return make_url(url).get_backend_name() == "sqlite"


def _sqlite(url: str, begin: str) -> Engine:
    path = make_url(url).database
    if path and path != ":memory:":
        Path(path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = create_engine(url, connect_args={"timeout": _BUSY_TIMEOUT_MS / 1000, "check_same_thread": False})
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
