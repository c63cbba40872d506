"""Whom a secret stands for: many who ask at the same time cost one question."""

from functools import partial
from time import monotonic
from typing import Any

import anyio
import pytest

from app.keys import Holder, Keys
from levare.errors import Unauthorized
from levare.model.access import EVERYTHING
from levare.store.tokens import digest_of

MANY = 20


class Asked(Keys):
    """Asks nobody, and counts how often."""

    def __init__(self, *, opens: bool) -> None:
        super().__init__(None)  # pyright: ignore[reportArgumentType]  # nobody is asked
        self.opens, self.times = opens, 0

    def _ask(self, secret: str, is_cookie: bool) -> Holder:  # noqa: ARG002  # as that of Keys
        self.times += 1
        if not self.opens:
            raise Unauthorized("It opens nothing.", "Ask for another.")
        held = self._held[digest_of(secret)] = Holder("t", "ada", EVERYTHING, None, monotonic())
        return held


async def ask_at_once(keys: Keys) -> list[Any]:
    found: list[Any] = []

    async def ask() -> None:
        try:
            found.append(await keys.look_up("secret", is_cookie=False))
        except Unauthorized as error:
            found.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(MANY):
            group.start_soon(ask)
    return found


def test_one_asks_for_all_who_ask_at_the_same_time():
    keys = Asked(opens=True)

    found = anyio.run(partial(ask_at_once, keys))

    assert [each.name for each in found] == ["ada"] * MANY
    assert keys.times == 1


def test_what_opens_nothing_opens_nothing_for_any_of_them():
    keys = Asked(opens=False)

    found = anyio.run(partial(ask_at_once, keys))

    assert [type(each) for each in found] == [Unauthorized] * MANY
    with pytest.raises(Unauthorized):
        anyio.run(partial(keys.look_up, "secret", is_cookie=False))
