"""What beat counts of itself, told to Redis for whoever monitors it: how often it decided, and how long that took."""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Thread
from time import perf_counter

from levare.pulse import Pulse

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds."""
EVERY_SECONDS = 2.0


class Meter(Thread):
    """One thread counts, this one tells, while this beat leads; a Redis that hangs keeps nobody else waiting."""

    def __init__(self, redis_url: str, leads: Callable[[], bool]) -> None:
        super().__init__(name="meter", daemon=True)
        self._pulse, self._leads = Pulse(redis_url), leads
        self._ticks = [0] * (len(BOUNDS) + 1)
        self._seconds, self._sent, self._failures = 0.0, 0, 0

    @contextmanager
    def ticking(self) -> Iterator[None]:
        """Count what is done inside as one decision."""
        begin = perf_counter()
        try:
            yield
        except BaseException:
            self._failures += 1
            raise
        finally:
            took = perf_counter() - begin
            self._ticks[bisect_left(BOUNDS, took)] += 1
            self._seconds += took

    def sent(self, messages: int) -> None:
        self._sent += messages

    def told(self) -> Mapping[str, float]:
        """`tick_le_X` counts the decisions that took X seconds at most."""
        ticks, found, count = list(self._ticks), dict[str, float](), 0
        for bound, each in zip(BOUNDS, ticks, strict=False):
            count += each
            found[f"tick_le_{bound:g}"] = count
        others = {"ticks": sum(ticks), "tick_seconds": round(self._seconds, 6)}
        return {**found, **others, "attempts_sent": self._sent, "tick_failures": self._failures}

    def run(self) -> None:
        while True:
            if self._leads():
                self._pulse.tell_beat(self.told())
            time.sleep(EVERY_SECONDS)
