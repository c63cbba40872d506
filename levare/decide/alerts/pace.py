"""The pace of a run: how long it takes from step to step, by its stages, and when it last made one."""

from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import datetime
from statistics import median

_REMEMBERED = 256
"""Intervals of each stage; the newest. More than an epoch has, as a rule, so that a slow one does not decide."""
_MOST_STAGES = 32


class Pace:
    """
    Grows with every line that is told; what it costs does not grow with how many there were.

    The interval across a change of stage belongs to neither: it counts as a gap, as do checkpoints and evaluations.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.first_at: datetime | None = None
        self.last_at: datetime | None = None
        """By the clock of who told it."""
        self.seen_at: datetime | None = None
        """By the clock of who looks."""
        self.stage = ""
        self.gap = 0.0
        """Seconds of the longest interval of all."""
        self._step: int | None = None
        self._intervals: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=_REMEMBERED))

    def add(self, at: datetime, stage: str | None, step: int | None, *, seen_at: datetime) -> None:
        """Another line. Several of one step are one, and those that tell no step are steps of their own."""
        stage = stage or ""
        self.seen_at = seen_at
        if self.last_at is not None:
            is_same = step is not None and (stage, step) == (self.stage, self._step)
            if is_same:
                return
            self._count((at - self.last_at).total_seconds(), stage)
        self.steps += 1
        self.first_at = self.first_at or at
        self.last_at, self.stage, self._step = max(at, self.last_at or at), stage, step

    def _count(self, seconds: float, stage: str) -> None:
        if seconds < 0:
            return
        self.gap = max(self.gap, seconds)
        if stage == self.stage and (stage in self._intervals or len(self._intervals) < _MOST_STAGES):
            self._intervals[stage].append(seconds)

    def count(self, stage: str) -> int:
        """How many intervals of this stage are known; at most those that are remembered."""
        return len(self._intervals[stage]) if stage in self._intervals else 0

    def interval(self, stage: str) -> float | None:
        """The median of seconds from step to step lately; None before the second."""
        return median(self._intervals[stage]) if self.count(stage) else None

    def intervals(self) -> Mapping[str, float]:
        return {stage: median(known) for stage, known in self._intervals.items() if known}

    def startup(self, started_at: datetime) -> float | None:
        return None if self.first_at is None else max(0.0, (self.first_at - started_at).total_seconds())
