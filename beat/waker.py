"""Wakes nodes that have something to end, apart from deciding: they would find it by themselves, two seconds later."""

import queue
from collections.abc import Iterable
from threading import Thread

from levare.pulse import Pulse, node_bell


class Waker(Thread):
    def __init__(self, redis_url: str) -> None:
        super().__init__(name="waker", daemon=True)
        self._pulse = Pulse(redis_url)
        self._nodes: queue.SimpleQueue[str] = queue.SimpleQueue()

    def wake(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            self._nodes.put(node)

    def run(self) -> None:
        while True:
            self._pulse.ring(node_bell(self._nodes.get()))
