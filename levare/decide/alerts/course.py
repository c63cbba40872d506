"""How a run goes: its pace, its newest points, and what each metric came to in each stage."""

from collections import deque
from collections.abc import Iterable
from datetime import datetime
from math import isfinite

from levare.decide.alerts.facts import Key, Point, Summary
from levare.decide.alerts.pace import Pace

_RECENT = 200
_MOST_METRICS = 200


class Course:
    """Grows with what a run tells; what it holds is bounded."""

    def __init__(self) -> None:
        self.pace = Pace()
        self.recent: deque[Point] = deque(maxlen=_RECENT)
        self._metrics: dict[Key, tuple[float, float, float]] = {}

    def add(self, points: Iterable[Point], *, now: datetime | None) -> None:
        """`now` is when they were seen; without it they were told before anybody looked."""
        for point in points:
            self.pace.add(point.at, point.stage, point.step, seen_at=now or point.at)
            self.recent.append(point)
            for name, value in point.values.items():
                if isfinite(value):
                    self._count((point.stage, name), value)

    def _count(self, key: Key, value: float) -> None:
        if key in self._metrics or len(self._metrics) < _MOST_METRICS:
            _, least, greatest = self._metrics.get(key, (value, value, value))
            self._metrics[key] = (value, min(least, value), max(greatest, value))

    def summary(self, started_at: datetime) -> Summary:
        pace = self.pace
        return Summary(pace.startup(started_at), pace.gap, dict(pace.intervals()), dict(self._metrics))
