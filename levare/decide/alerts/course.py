"""How a run goes: its pace, its newest points, and what each metric came to in each stage."""

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from datetime import datetime
from math import isfinite

from levare.decide.alerts.facts import Key, Point, Summary
from levare.decide.alerts.pace import Pace

_RECENT = 200
_MOST_KINDS = 50
_MOST_METRICS = 200


class Course:
    """Grows with what a run tells; what it holds is bounded."""

    def __init__(self) -> None:
        self.pace = Pace()
        self._newest = Newest()
        self._metrics: dict[Key, tuple[float, float, float]] = {}

    def add(self, points: Iterable[Point], *, now: datetime | None) -> None:
        """`now` is when they were seen; without it they were told before anybody looked."""
        for point in points:
            self.pace.add(point.at, point.stage, point.step, seen_at=now or point.at)
            self._newest.add(point)
            for name, value in point.values.items():
                if isfinite(value):
                    self._count((point.stage, name), value)

    @property
    def recent(self) -> Sequence[Point]:
        """The newest of each kind, oldest first."""
        return self._newest.points()

    def _count(self, key: Key, value: float) -> None:
        if key in self._metrics or len(self._metrics) < _MOST_METRICS:
            _, least, greatest = self._metrics.get(key, (value, value, value))
            self._metrics[key] = (value, min(least, value), max(greatest, value))

    def summary(self, started_at: datetime) -> Summary:
        pace = self.pace
        return Summary(pace.startup(started_at), pace.gap, dict(pace.intervals()), dict(self._metrics))


class Newest:
    """
    The last lines of each kind (stage and metrics): what comes seldom, such as validations, outlasts what comes often.

    Of very many kinds all further ones are one.
    """

    def __init__(self) -> None:
        self._points: dict[int, Point] = {}
        self._kinds: dict[object, deque[int]] = defaultdict(deque)
        self._number = 0

    def add(self, point: Point) -> None:
        kind: object = (point.stage, frozenset(point.values))
        numbers = self._kinds[kind if kind in self._kinds or len(self._kinds) < _MOST_KINDS else None]
        if len(numbers) == _RECENT:
            del self._points[numbers.popleft()]
        self._number += 1
        numbers.append(self._number)
        self._points[self._number] = point

    def points(self) -> Sequence[Point]:
        """In the order in which they came."""
        return tuple(self._points.values())
