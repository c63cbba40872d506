"""Whether anything may have been written since the last look; it costs less than any reading."""

from threading import Lock

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from levare.store.engine import Database

_QUESTIONS = {"sqlite": "PRAGMA data_version", "postgresql": "SELECT pg_current_wal_insert_lsn()"}


class Stir:
    """
    A mark of all that was committed so far: while it stays the same, nobody has written anything.

    SQLite tells it of one connection only, so one is kept.
    """

    def __init__(self, database: Database) -> None:
        self._database, self._lock = database, Lock()
        self._reading = None

    def mark(self) -> object:
        """Equal to that of before only if nothing was written; a database that does not tell may have been written."""
        with self._lock:
            try:
                return self._ask(self._connection())
            except SQLAlchemyError:
                self._drop()
                return object()

    def close(self) -> None:
        with self._lock:
            self._drop()

    def _connection(self) -> Connection:
        if self._reading is None:
            self._reading = self._database.reading()
            self._held = self._reading.__enter__()
        return self._held

    def _ask(self, connection: Connection) -> object:
        told = connection.exec_driver_sql(_QUESTIONS[connection.dialect.name]).scalar_one()
        connection.rollback()  # or it would see the same for ever
        return told

    def _drop(self) -> None:
        if self._reading is not None:
            reading, self._reading = self._reading, None
            reading.__exit__(None, None, None)
