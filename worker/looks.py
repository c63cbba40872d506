"""Looks at file systems that may hang, as NFS does: each in a thread of its own, awaited only for so long."""

from collections.abc import Callable, Hashable
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")


class Looks:
    """What hangs is not looked at again until that look is over, so there is one thread for each place that does."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._hanging: dict[Hashable, Thread] = {}

    def look(self, place: Hashable, find: Callable[[], T]) -> T:
        """What is found there. TimeoutError if that takes too long; whatever `find` raises."""
        self._hanging = {each: thread for each, thread in self._hanging.items() if thread.is_alive()}
        if place in self._hanging:
            raise TimeoutError(f"{place} does not answer.")
        answer: list[tuple[T | None, BaseException | None]] = []
        thread = Thread(target=_find, args=(find, answer), name="look", daemon=True)
        thread.start()
        thread.join(self._seconds)
        if not answer:
            self._hanging[place] = thread
            raise TimeoutError(f"{place} did not answer within {self._seconds:g} s.")
        found, error = answer[0]
        if error:
            raise error
        return found  # pyright: ignore[reportReturnType]


def _find(find: Callable[[], Any], answer: list[Any]) -> None:
    try:
        answer.append((find(), None))
    except Exception as error:  # noqa: BLE001  # whoever waits for it hears of it
        answer.append((None, error))
