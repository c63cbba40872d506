"""Long reckoning in processes of their own, so that whoever asks for anything else is not kept waiting."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from threading import Lock
from time import monotonic
from typing import Any, TypeVar

from levare.errors import TooManyRequests

Answer = TypeVar("Answer")
_CONTEXT = get_context("spawn")  # a fork would take the locks of our threads with it
_TURN = Lock()
_AGAIN_SECONDS = 5


@contextmanager
def one_at_a_time(what: str) -> Iterator[None]:
    """Raise TooManyRequests where one is at work already."""
    if not _TURN.acquire(blocking=False):
        detail = f"{what} is at work already."
        raise TooManyRequests(detail, "Ask again when it has ended.", retry_after_seconds=_AGAIN_SECONDS)
    try:
        yield
    finally:
        _TURN.release()


def side_by_side(ask: Callable[..., Answer], given: Sequence[Sequence[Any]], *, within: timedelta) -> list[Answer]:
    """The answers to one question, asked with each of these; raise TimeoutError, and end it, if it takes too long."""
    until = monotonic() + within.total_seconds()
    at_work = [_begin(ask, arguments) for arguments in given]
    try:
        return [_wait(receive, until) for _, receive in at_work]
    finally:
        for process, receive in at_work:
            process.kill()
            process.join()
            receive.close()


def _begin(ask: Callable[..., Any], arguments: Sequence[Any]) -> tuple[SpawnProcess, Any]:
    receive, send = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_answer, args=(send, ask, arguments), daemon=True)
    process.start()
    send.close()
    return process, receive


def _wait(receive: Connection, until: float) -> Any:
    if not receive.poll(max(0.0, until - monotonic())):
        raise TimeoutError
    return receive.recv()


def _answer(send: Connection, ask: Callable[..., Any], arguments: Sequence[Any]) -> None:
    send.send(ask(*arguments))
