"""
What is answered as a stream is cut as soon as what opened it opens nothing any more.

One look is for all streams of a secret: a person's tabs, however many, cost what one of them does.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from anyio import CancelScope, sleep

from app.keys import Keys
from levare.errors import Unauthorized

EVERY_SECONDS = 0.4


@dataclass(frozen=True)
class Shown:
    """The secret that a request carries."""

    secret: str
    is_cookie: bool = False


@dataclass
class _Watch:
    """Those that a secret has opened, and who looks after them; the loop itself keeps but a weak hold of a task."""

    cuts: set[CancelScope] = field(default_factory=set)
    looking: asyncio.Task[None] | None = None


class Watches:
    """All streams that are open."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._watches: dict[Shown, _Watch] = {}

    @contextmanager
    def over(self, shown: Shown, cut: CancelScope) -> Iterator[None]:
        """Cancel that scope when the secret is no longer valid."""
        watch = self._watches.setdefault(shown, _Watch())
        watch.cuts.add(cut)
        watch.looking = watch.looking or asyncio.create_task(self._look(shown, watch))
        try:
            yield
        finally:
            watch.cuts.discard(cut)
            if not watch.cuts:
                self._end(shown, watch)

    async def _look(self, shown: Shown, watch: _Watch) -> None:
        is_valid = True
        while is_valid:
            await sleep(EVERY_SECONDS)
            is_valid = await self._is_valid(shown)
        self._watches.pop(shown, None)  # whoever comes now is looked after anew
        for cut in list(watch.cuts):
            cut.cancel()

    async def _is_valid(self, shown: Shown) -> bool:
        if self._keys.at_hand(shown.secret):
            return True
        try:
            await self._keys.look_up(shown.secret, is_cookie=shown.is_cookie)
        except Unauthorized:
            return False
        except Exception:  # noqa: BLE001, S110  # nosec B110  # a database that is away revokes nothing
            pass
        return True

    def _end(self, shown: Shown, watch: _Watch) -> None:
        if self._watches.get(shown) is watch:
            del self._watches[shown]
        if watch.looking:
            watch.looking.cancel()
