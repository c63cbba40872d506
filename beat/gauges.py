"""What the nodes say of themselves in Redis, for triggers on resources: asked apart from deciding, while wanted."""

import time
from collections.abc import Mapping
from threading import Event, Thread

from levare.pulse import Pulse

EVERY_SECONDS = 2.0


class Gauges(Thread):
    """A Redis that hangs keeps this thread waiting and nobody else; nothing is known then."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(name="gauges", daemon=True)
        self._pulse = Pulse(redis_url)
        self._wanted = Event()
        self._latest: Mapping[str, Mapping[str, float]] = {}

    def latest(self) -> Mapping[str, Mapping[str, float]]:
        """The last heartbeats by node; none until somebody has wanted them for a moment."""
        self._wanted.set()
        return self._latest

    def run(self) -> None:
        while True:
            self._wanted.wait()
            self._wanted.clear()
            self._latest = self._pulse.heartbeats()
            time.sleep(EVERY_SECONDS)
