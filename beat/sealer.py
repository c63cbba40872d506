"""Seals the audit, in a thread of its own, while this beat leads: no decision and no write of anybody waits for it."""

from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.store import seal
from levare.store.engine import Database

log = get_logger()

_EVERY_SECONDS = 1.0


class Sealer(Thread):
    def __init__(self, database: Database, *, active: Callable[[], bool]) -> None:
        super().__init__(name="sealer", daemon=True)
        self._database, self._active = database, active
        self._stopping = Event()

    def run(self) -> None:
        while not self._stopping.wait(_EVERY_SECONDS):
            if self._active():
                self._seal()

    def _seal(self) -> None:
        """What has come since, in transactions that each hold nobody up for long."""
        try:
            while self._is_due():
                with self._database.writing() as connection:
                    if not seal.seal(connection, now=datetime.now(UTC)):
                        return
        except SQLAlchemyError as error:
            log.warning("audit.not_sealed", error=str(error.__cause__ or error))

    def _is_due(self) -> bool:
        with self._database.reading() as connection:
            return seal.is_due(connection)
