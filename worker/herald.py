"""
Tells Flower of what runs, again and again.

Flower keeps its state in memory: after a restart of it, or of this worker, a task that began
before would be unknown. The events are idempotent, so they are simply repeated.
"""

from collections.abc import Callable, Sequence
from threading import Event, Thread

from celery import Celery
from structlog import get_logger

from levare.broker import RUN
from worker.watch import Watch

log = get_logger()

_REPEAT_SECONDS = 10.0


class Herald(Thread):
    def __init__(self, app: Celery, *, hostname: str, live: Callable[[], Sequence[Watch]]) -> None:
        super().__init__(name="herald", daemon=True)
        self._app, self._hostname, self._live = app, hostname, live
        self._due = Event()

    def tell_now(self) -> None:
        self._due.set()

    def run(self) -> None:
        while True:
            self._due.wait(_REPEAT_SECONDS)
            self._due.clear()
            running = self._live()
            if running:
                self._tell(running)

    def revoked(self, attempt_id: str) -> None:
        """The attempt was cancelled; Celery itself only says so of tasks that it revoked itself."""
        self._emit([("task-revoked", {"uuid": attempt_id, "terminated": True, "signum": "SIGTERM", "expired": False})])

    def _tell(self, running: Sequence[Watch]) -> None:
        events: list[tuple[str, dict[str, object]]] = []
        for watch in running:
            events += [("task-received", received(watch)), ("task-started", {"uuid": watch.attempt_id})]
        self._emit(events)

    def _emit(self, events: Sequence[tuple[str, dict[str, object]]]) -> None:
        try:
            with self._app.connection_for_write() as connection:
                dispatcher = self._app.events.Dispatcher(
                    connection, hostname=self._hostname, buffer_while_offline=False
                )
                for kind, fields in events:
                    dispatcher.send(kind, retry=False, **fields)
        except Exception as error:  # noqa: BLE001 - whatever a broker in trouble raises: these are for eyes
            log.info("events.not_sent", error=str(error) or repr(error))


def received(watch: Watch) -> dict[str, object]:
    """What Flower shows of an attempt."""
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
        "exchange": "",
        "routing_key": watch.queue,
    }
