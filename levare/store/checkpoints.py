"""
SQLite's checkpoints, apart from whoever writes.

What is written goes into the WAL, and from there into the database by a checkpoint, which waits for the disk. SQLite
leaves that to the write that makes the WAL long, so one submit in forty took ten times as long as the others, and
those behind it waited too. Here a thread does it a second after a write, beside the writes of others.

SQLite before 3.51.3 may lose writes if one of them begins the WAL anew while a checkpoint is under way beside it
(https://sqlite.org/wal.html#walresetbug). None can as long as somebody reads from the WAL, so the thread does that
too. What comes meanwhile is left for the next time; and as a WAL of which something is left is never begun anew,
the little that is left of a long one is moved in a turn of its own, when nobody writes.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from sqlite3 import Connection, DatabaseError, connect
from threading import Timer

AFTER_SECONDS = 1.0
LONG_PAGES = 8_192
MOST_PAGES = 4 * LONG_PAGES
"""The write that makes the WAL so long moves it itself: not every process that writes lives for a second more."""


class Checkpoints:
    """Those of one process. `soon` is called by whose turn it is to write."""

    def __init__(self, database: Path, turn: AbstractContextManager[object]) -> None:
        self._url, self._turn = f"{database.absolute().as_uri()}?mode=rw", turn
        self._next: Timer | None = None
        self._is_due = False

    def soon(self) -> None:
        """Something was written."""
        if not self._is_due:
            self._is_due, self._next = True, Timer(AFTER_SECONDS, self._run)
            self._next.daemon = True
            self._next.start()

    def close(self) -> None:
        """What is left now is for whoever closes the last connection, as ever."""
        if self._next:
            self._next.cancel()
            self._next.join()

    def _run(self) -> None:
        self._is_due = False
        try:
            with self._opened() as connection:
                written, moved = self._beside_writers(connection)
                if moved < written > LONG_PAGES:
                    with self._turn:
                        _move(connection)
        except (DatabaseError, OSError):
            return  # a database that is locked, or gone; after the next write it is tried again

    def _beside_writers(self, connection: Connection) -> tuple[int, int]:
        with self._opened() as reader:
            reader.execute("BEGIN")
            reader.execute("PRAGMA schema_version").fetchone()  # from here on nobody begins the WAL anew
            return _move(connection)

    @contextmanager
    def _opened(self) -> Iterator[Connection]:
        connection = connect(self._url, uri=True, isolation_level=None)
        try:
            yield connection
        finally:
            connection.close()


def _move(connection: Connection) -> tuple[int, int]:
    """How many pages the WAL has, and how many of them are in the database now."""
    _, written, moved = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return written, moved
