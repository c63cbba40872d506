"""
Whoever follows something waits here until anything was written to SQL, by whatever process.

One look, which costs less than any reading, serves all who wait; without any nobody looks. To read is left to those
who wait: each knows where he is.
"""

from threading import Event as Flag

from anyio import Event, move_on_after, sleep, to_thread

from levare.store.engine import Database
from levare.store.stirring import Stir

LOOK_EVERY_SECONDS = 0.2


class Writes:
    """`number` grows with what is written: note it, read, and wait for what comes `after` it."""

    def __init__(self, database: Database, stopping: Flag) -> None:
        self.stopping = stopping
        self.number = 0
        self._stir, self._mark = Stir(database), object()
        self._echoes = 0 if database.is_sqlite else 1
        """PostgreSQL has written a commit a moment before others see it, so there each is told twice."""
        self._left = 0
        self._waiting = 0
        self._is_awaited, self._news = Event(), Event()

    async def after(self, number: int, *, within: float) -> None:
        """Until more was written than this, so many seconds are over, or the process is about to end."""
        self._waiting += 1
        self._is_awaited.set()
        try:
            with move_on_after(within):
                while self.number == number and not self.stopping.is_set():
                    await self._news.wait()
        finally:
            self._waiting -= 1

    async def run(self) -> None:
        """For as long as the process lives."""
        while True:
            await self._is_awaited.wait()
            await sleep(LOOK_EVERY_SECONDS)
            if await to_thread.run_sync(self._may_be_news) or self.stopping.is_set():
                self._wake()
            if not self._waiting:
                self._is_awaited = Event()

    def close(self) -> None:
        self._stir.close()

    def _may_be_news(self) -> bool:
        before, self._mark = self._mark, self._stir.mark()
        self._left = 1 + self._echoes if before != self._mark else max(self._left - 1, 0)
        return self._left > 0

    def _wake(self) -> None:
        self.number += 1
        news, self._news = self._news, Event()
        news.set()
