"""
The database, SQLite or PostgreSQL, with one way to read and one to write.

SQLite: WAL, and every write transaction begins with BEGIN IMMEDIATE, for otherwise the driver opens
it at the first write, after the reads it rests on, and updates are lost. Writers queue at a file lock
first, because SQLite itself waits for its lock by sleeping up to 100 ms at a time. PostgreSQL: guarded
UPDATEs under READ COMMITTED; a read sees one snapshot. Errors name no parameters: those may be a job's
environment.
"""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from json import JSONDecoder
from pathlib import Path
from sqlite3 import Connection as SqliteConnection
from threading import Lock
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from levare.machine import refuse_shared
from levare.store.checkpoints import MOST_PAGES, Checkpoints

_BUSY_TIMEOUT_MS = 10_000
_RESTED_SECONDS = 1.0
_EMPTY: Mapping[str | bytes, type[dict[str, Any]] | type[list[Any]]] = {
    "{}": dict,
    "[]": list,
    b"{}": dict,
    b"[]": list,
}
_decode = JSONDecoder().raw_decode  # what stands in SQL has no blanks around it


class Database:
    def __init__(self, url: str) -> None:
        self.url = _with_driver(url)
        self._writer: Connection | None = None
        self.is_sqlite = make_url(self.url).get_backend_name() == "sqlite"
        if self.is_sqlite:
            refuse_shared(_path(self.url))
            self._reads, self._writes = _sqlite(self.url, "BEGIN"), _sqlite(self.url, "BEGIN IMMEDIATE")
            self._turn: AbstractContextManager[object] = _Turn(_path(self.url))
            self._checkpoints = Checkpoints(_path(self.url), self._turn)
        else:
            self._turn = nullcontext()
            self._writes = _postgresql(self.url)
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
        self._checkpoints.soon()

    def dispose(self) -> None:
        if self.is_sqlite:
            self._checkpoints.close()
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
    return Path(make_url(url).database or "")


def _postgresql(url: str) -> Engine:
    """Few connections, each kept: to open one costs more than what it is used for, and many make each other slow."""
    engine = create_engine(
        url, hide_parameters=True, json_deserializer=_from_json, pool_size=20, max_overflow=20, pool_use_lifo=True
    )
    event.listen(engine, "checkin", _note_rest)
    event.listen(engine, "checkout", _refuse_dead)
    return engine


def _note_rest(_connection: Any, record: ConnectionPoolEntry) -> None:
    record.info["rests_since"] = monotonic()


def _refuse_dead(connection: Any, record: ConnectionPoolEntry, _proxy: Any) -> None:
    """Whoever has rested is asked whether the server still hears him; to ask at each request costs like a read."""
    if monotonic() - record.info.get("rests_since", monotonic()) < _RESTED_SECONDS:
        return
    try:
        connection.execute("SELECT 1")
        connection.rollback()
    except Exception as error:
        raise DisconnectionError from error


def _sqlite(url: str, begin: str) -> Engine:
    _path(url).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    arguments = {"timeout": _BUSY_TIMEOUT_MS / 1000, "check_same_thread": False}
    engine = create_engine(url, hide_parameters=True, json_deserializer=_from_json, connect_args=arguments)
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
        f"wal_autocheckpoint={MOST_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _from_json(text: str | bytes) -> Any:
    """Most of what is kept as JSON is empty: a job has ten such columns."""
    empty = _EMPTY.get(text)
    if empty:
        return empty()
    return _decode(text if isinstance(text, str) else text.decode())[0]
