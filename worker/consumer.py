"""Celery's consumer, but back 0.2 s after the broker instead of up to 9 s later, and deaf to commands."""

from threading import Event, Thread
from typing import Any, ClassVar

from celery.events import EventDispatcher
from celery.worker import state
from celery.worker.consumer import Consumer as CeleryConsumer
from celery.worker.control import Panel
from kombu.connection import Connection
from structlog import get_logger

log = get_logger()

_FLUSH_SECONDS = 0.1

INSPECTION = frozenset(
    [
        "active",
        "active_queues",
        "clock",
        "conf",
        "heartbeat",
        "hello",
        "ping",
        "query_task",
        "registered",
        "reserved",
        "revoked",
        "scheduled",
        "stats",
    ]
)
"""What may be asked over Redis. Everything else that Celery would obey is removed."""


class Consumer(CeleryConsumer):
    current: ClassVar["Consumer | None"] = None
    """The one of this process."""
    event_dispatcher: EventDispatcher | None
    """A new one for each connection; Celery sets it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._has_events = Event()
        Consumer.current = self
        Thread(target=self._flush_often, name="events", daemon=True).start()

    def on_send_event_buffered(self) -> None:
        """Celery publishes each event by itself, which costs more than starting a process; they go in batches."""
        self._has_events.set()

    def _flush_often(self) -> None:
        pause = Event()
        while True:
            self._has_events.wait()
            self._has_events.clear()
            try:
                self._flush_events()
            except Exception as error:  # noqa: BLE001 - whatever a broker in trouble raises: these are for eyes
                log.info("events.not_sent", error=str(error) or repr(error))
            pause.wait(_FLUSH_SECONDS)

    def ensure_connected(self, conn: Connection) -> Connection:
        """Try again at 0.2, 0.5, 0.8 ... 3 s, for ever; Celery's own steps are fixed at 2, 4 ... 30 s."""
        connected = conn.ensure_connection(
            self._say_that_it_waits, None, interval_start=0.2, interval_step=0.3, interval_max=3,
            callback=state.maybe_shutdown,
        )  # fmt: skip
        self.first_connection_attempt = False
        self.broker_connection_retry_attempt = 0
        return connected

    def _say_that_it_waits(self, error: Exception, interval: float) -> None:
        log.warning("broker.unreachable", error=str(error), retry_in_seconds=interval)


def remove_commands() -> None:
    """Leave only inspection: Redis can then delay or repeat, not command."""
    for name in [name for name in Panel.data if name not in INSPECTION]:
        del Panel.data[name]
        Panel.meta.pop(name, None)
