"""
Tells Flower of what runs, again and again.

Flower keeps its state in memory: after a restart of it, or of this worker, a task that began
before would be unknown. The events are idempotent, so they are simply repeated.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Thread
from typing import Any

from celery import Celery
from celery.events import EventDispatcher
from structlog import get_logger

from levare.broker import RUN
from levare.model import CANCELLED, PREEMPTED, SUCCEEDED
from levare.store.attempts import Outcome
from worker.consumer import Consumer
from worker.watch import Watch

log = get_logger()

Telling = tuple[str, dict[str, Any]]
"""A kind of Celery's events, and its fields."""

_REPEAT_SECONDS = 10.0
_REST_SECONDS = 0.1  # so that what ends in a burst is told in one message
_TASK = frozenset(["task"])  # they are told together
_MOST_UNTOLD = 1000  # endings that are kept while the broker is away


class Herald(Thread):
    def __init__(self, app: Celery, *, hostname: str, live: Callable[[], Sequence[Watch]]) -> None:
        super().__init__(name="herald", daemon=True)
        self._app, self._hostname, self._live = app, hostname, live
        self._due = Event()
        self._dispatcher: EventDispatcher | None = None
        self._over: deque[Watch] = deque(maxlen=_MOST_UNTOLD)

    def announce(self, watch: Watch) -> None:
        """Add what Celery's own events leave out: the queue."""
        dispatcher = Consumer.current.event_dispatcher if Consumer.current else None
        if dispatcher:
            dispatcher.send("task-sent", **_about(watch))

    def over(self, watch: Watch) -> None:
        """Tell of an ending that no Celery task waited for, or that Celery has no word for."""
        self._over.append(watch)
        self._due.set()

    def run(self) -> None:
        repeat_at = time.monotonic() + _REPEAT_SECONDS
        while True:
            self._due.wait(repeat_at - time.monotonic())
            self._due.clear()
            ended = [self._over.popleft() for _ in range(len(self._over))]
            running: list[Watch] = []
            if time.monotonic() >= repeat_at:
                repeat_at = time.monotonic() + _REPEAT_SECONDS
                running = [watch for watch in self._live() if watch not in ended]
            if not self._emit([event for watch in (*running, *ended) for event in told_of(watch)]):
                self._over.extendleft(reversed(ended))
            time.sleep(_REST_SECONDS)

    def _emit(self, events: Sequence[Telling]) -> bool:
        if not events:
            return True
        dispatcher = self._dispatcher = self._dispatcher or self._connect()
        try:
            for kind, fields in events:
                dispatcher.send(kind, **fields)
            dispatcher.flush()
        except Exception as error:  # noqa: BLE001 - whatever a broker in trouble raises: these are for eyes
            log.info("events.not_sent", error=str(error) or repr(error))
            self._drop(dispatcher)
            return False
        return True

    def _connect(self) -> EventDispatcher:
        """One that keeps what it is given until it is flushed."""
        return self._app.events.Dispatcher(
            self._app.connection_for_write(),
            hostname=self._hostname,
            buffer_while_offline=False,
            buffer_group=_TASK,
            buffer_limit=sys.maxsize,
        )

    def _drop(self, dispatcher: EventDispatcher) -> None:
        """After trouble nothing of it is used again; what it was given is told anew."""
        self._dispatcher = None
        if connection := dispatcher.connection:
            with suppress(Exception):
                connection.release()


def told_of(watch: Watch) -> list[Telling]:
    """All that Flower is to know of an attempt."""
    about = _about(watch)
    began: list[Telling] = [
        ("task-sent", about),
        ("task-received", about),
        ("task-started", {"uuid": watch.attempt_id}),
    ]
    return [*began, _ending(watch.attempt_id, watch.outcome)] if watch.outcome else began


def _about(watch: Watch) -> dict[str, Any]:
    return {
        "uuid": watch.attempt_id,
        "name": RUN,
        "args": f"['{watch.attempt_id}']",
        "kwargs": "{}",
        "retries": 0,
        "eta": None,
        "expires": None,
        "root_id": watch.attempt_id,
        "parent_id": None,
        "queue": watch.queue,
        "exchange": "",
        "routing_key": watch.queue,
    }


def _ending(attempt_id: str, outcome: Outcome) -> Telling:
    if outcome.state == SUCCEEDED:
        return "task-succeeded", {"uuid": attempt_id, "result": "None", "runtime": outcome.cpu_seconds or 0.0}
    if outcome.state in (CANCELLED, PREEMPTED):
        return "task-revoked", {"uuid": attempt_id, "terminated": True, "signum": "SIGTERM", "expired": False}
    return "task-failed", {"uuid": attempt_id, "exception": outcome.reason, "traceback": ""}
