"""The doorbell of beat: a thread that waits at Redis, and an event that the conductor waits for."""

import time
from threading import Event, Thread

from levare.pulse import Pulse, beat_bell

_LISTEN_SECONDS = 2.0


class Bell(Thread):
    """Redis may be gone or hang: then nobody rings, and the conductor looks by itself."""

    def __init__(self, redis_url: str) -> None:
        super().__init__(name="bell", daemon=True)
        self._pulse = Pulse(redis_url)
        self._rung = Event()

    def run(self) -> None:
        while True:
            if self._pulse.wait(beat_bell(), _LISTEN_SECONDS):
                self._rung.set()

    def ring(self) -> None:
        self._rung.set()

    def wait(self, timeout: float, *, rest: float) -> bool:
        """Return as soon as someone has rung since the last call, but after `rest` seconds, or after `timeout`."""
        time.sleep(rest)
        rung = self._rung.wait(timeout)
        self._rung.clear()
        return rung
