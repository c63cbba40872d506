"""Sending is apart from deciding: a broker that hangs delays hints, never a decision."""

import queue
from collections.abc import Iterable
from threading import Event, Thread

from celery import Celery
from structlog import get_logger

from levare import broker
from levare.store.messages import Message

log = get_logger()


class Sender(Thread):
    """Sends what it is handed. What fails is dropped: SQL knows that it is unclaimed, and hands it over again."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="sender", daemon=True)
        self._app = app
        self._messages: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._queued: set[str] = set()
        self._failing = Event()

    def hand_over(self, messages: Iterable[Message]) -> None:
        """Queue each message once, however often it is handed over while the broker does not answer."""
        for message in messages:
            if message.attempt_id not in self._queued:
                self._queued.add(message.attempt_id)
                self._messages.put(message)

    def run(self) -> None:
        while True:
            message = self._messages.get()
            self._queued.discard(message.attempt_id)
            self._send(message)

    def _send(self, message: Message) -> None:
        try:
            broker.send(self._app, message.attempt_id, queue=message.queue, name=message.name)
        except Exception as error:  # noqa: BLE001 - whatever a broker in trouble raises, the next message may go through
            if not self._failing.is_set():
                log.warning("message.not_sent", attempt=message.attempt_id, error=str(error) or repr(error))
            self._failing.set()
        else:
            self._failing.clear()
