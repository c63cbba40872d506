"""
What ran in each attempt: found and written by a thread of its own, so that no start waits for it.

What has started while it looked is looked at next, each folder once, and written in one transaction. It is for people
who look for what has changed and for whoever repeats a run: when it cannot be found or written, the attempt goes on.
"""

from collections import deque
from threading import Event, Thread
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.store import provenance
from levare.store.engine import Database
from worker.finder import Finder, Start

log = get_logger()

_LEAST_PAUSE, _LONGEST_PAUSE, _SHARE = 0.2, 6.0, 3
"""Between two rounds three times as long as one took, so that a slow git has a quarter of a core at most."""
_MOST_WAITING = 10_000
_MOST_AT_ONCE = 500


class Recorder(Thread):
    def __init__(self, database: Database) -> None:
        super().__init__(name="provenance", daemon=True)
        self._database = database
        self._waiting: deque[Start] = deque(maxlen=_MOST_WAITING)
        self._news, self._stopping = Event(), Event()
        self._finder = Finder()

    def note(self, start: Start) -> None:
        """It has started; returns at once."""
        self._waiting.append(start)
        self._news.set()

    def run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            begun = monotonic()
            try:
                self._record()
            except Exception:
                log.exception("provenance.failed")
            self._stopping.wait(min(max(_LEAST_PAUSE, _SHARE * (monotonic() - begun)), _LONGEST_PAUSE))

    def _record(self) -> None:
        while self._waiting:
            starts = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_AT_ONCE))]
            self._finder.forget_folders()
            found = [self._finder.find(start) for start in starts]
            try:
                with self._database.writing() as connection:
                    provenance.keep(connection, found)
            except SQLAlchemyError as error:
                log.warning("provenance.not_written", attempts=len(found), error=str(error.__cause__ or error))
