"""Conditions: whether numbers are beyond a bound, and when that counts as once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf, isfinite, isnan
from statistics import fmean, pstdev

BREACH, BETWEEN, CLEAR = "breach", "between", "clear"
"""Beyond the bound; not beyond it, but not back past `rearm` either; back."""
FEWEST_FOR_ZSCORE = 3
"""A mean and a deviation of fewer values than these say nothing."""
_DIGITS = 12
"""Of a change that count: from 1 to 0.9 is 10 %, whatever binary fractions make of it."""
LONGEST_GAP = timedelta(seconds=60)
"""What nobody has seen for longer than this may have been otherwise meanwhile."""


@dataclass(frozen=True, kw_only=True)
class Test:
    """
    One of the four is set. `change` is relative, negative for a fall; it and `zscore` compare the last value with
    the `over` values before it. `rearm` is on the same scale as the bound, and the bound itself where it is None.
    """

    __test__ = False  # no test of pytest's

    below: float | None = None
    above: float | None = None
    change: float | None = None
    zscore: float | None = None
    runs: int = 1
    """So many values in a row must be beyond the bound."""
    over: int = 1
    rearm: float | None = None

    @property
    def reach(self) -> int:
        """How many values it looks at."""
        if self.zscore is not None:
            return max(self.over, FEWEST_FOR_ZSCORE) + self.runs
        return self.runs if self.change is None else self.over + self.runs


@dataclass(frozen=True)
class Reading:
    """Where the values stand, and what was looked at, in words."""

    level: str
    message: str
    value: float | None = None


def read(test: Test, values: Sequence[float]) -> Reading:
    """The level of these values, oldest first; too few of them are between."""
    known = [value for value in values if not isnan(value)]
    scores = _scores(test, known)[-test.runs :]
    if len(scores) < test.runs:
        return Reading(BETWEEN, f"{len(known)} values are too few for {_words(test)}.")
    bound, falls = _bound(test)
    rearm = bound if test.rearm is None else test.rearm
    shown = ", ".join(f"{score:.4g}" for score in scores)
    message = f"{_words(test)}: {shown}."
    if all(_is_beyond(score, bound, falls=falls, test=test) for score in scores):
        return Reading(BREACH, message, scores[-1])
    is_back = scores[-1] >= rearm if falls else scores[-1] <= rearm
    return Reading(CLEAR if is_back else BETWEEN, message, scores[-1])


def _is_beyond(score: float, bound: float, *, falls: bool, test: Test) -> bool:
    if test.below is not None or test.above is not None:
        return score < bound if falls else score > bound
    return score <= bound if falls else score >= bound


def _bound(test: Test) -> tuple[float, bool]:
    """The bound, and whether it is one that values fall below."""
    for bound, falls in ((test.below, True), (test.above, False), (test.zscore, False)):
        if bound is not None:
            return bound, falls
    change = test.change or 0.0
    return change, change < 0


def _scores(test: Test, values: Sequence[float]) -> list[float]:
    if test.change is not None:
        return [_change(values[i], values[i - test.over : i]) for i in range(test.over, len(values))]
    if test.zscore is not None:
        least = max(test.over, FEWEST_FOR_ZSCORE)
        return [_zscore(values[i], values[i - least : i]) for i in range(least, len(values))]
    return list(values)


def _change(value: float, before: Sequence[float]) -> float:
    base = fmean(before)
    if base == 0 or not isfinite(base):
        return 0.0 if value == base else inf if value > base else -inf
    return round((value - base) / abs(base), _DIGITS)


def _zscore(value: float, before: Sequence[float]) -> float:
    """How many standard deviations (of the population) the value is from the mean, in whichever direction."""
    mean, deviation = fmean(before), pstdev(before)
    if not isfinite(value) or not isfinite(mean):
        return inf
    return abs(value - mean) / deviation if deviation else 0.0 if value == mean else inf


def _words(test: Test) -> str:
    runs = f" in {test.runs} in a row" if test.runs > 1 else ""
    if test.below is not None:
        return f"Below {test.below:g}{runs}"
    if test.above is not None:
        return f"Above {test.above:g}{runs}"
    if test.zscore is not None:
        return f"{test.zscore:g} standard deviations or more from the {max(test.over, FEWEST_FOR_ZSCORE)} before{runs}"
    before = "the one before" if test.over == 1 else f"the mean of the {test.over} before"
    return f"A change of {100 * (test.change or 0):+g} % against {before}{runs}"


@dataclass(frozen=True)
class Standing:
    """Of one thing under a condition that must last: since when it is beyond, and whether that may count."""

    armed: bool = True
    since: datetime | None = None
    seen_at: datetime | None = None


def swing(armed: bool, level: str) -> tuple[bool, bool]:
    """Whether it is armed now, and whether it fires: once when the bound is passed, then not before it is back."""
    if level == BREACH:
        return False, armed
    return (True if level == CLEAR else armed), False


def lasting(before: Standing, level: str, lasts: timedelta, *, now: datetime) -> tuple[Standing, bool]:
    """As `swing`, for what must be beyond its bound for some time without a gap in what is seen of it."""
    if level != BREACH:
        return Standing(before.armed or level == CLEAR, None, now), False
    is_unbroken = before.seen_at is not None and now - before.seen_at <= LONGEST_GAP
    since = before.since if before.since is not None and is_unbroken else now
    fires = before.armed and now - since >= lasts
    return Standing(before.armed and not fires, since, now), fires
