"""How well it learns: metrics that are no numbers, beyond a bound, or worse than those of the family."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile
from math import isfinite
from statistics import median

from levare.decide.alerts.facts import Key, Live, Over, Point, Profile, Summary
from levare.decide.alerts.robust import lower, upper
from levare.decide.alerts.rules import MIN, Degraded, Metric, NotFinite
from levare.decide.alerts.sight import Sight
from levare.decide.alerts.words import clock, number, span
from levare.decide.amounts import joined
from levare.decide.conditions import BETWEEN, BREACH, CLEAR, Reading, read
from levare.decide.summaries import direction

_NOTHING = Reading(BETWEEN, "It was not told yet.")
_BADNESS = (BREACH, BETWEEN, CLEAR)
_TRAINS = ("train", "training")
"""What comes of these stages is no measure of the model where there is another."""


@dataclass(frozen=True)
class _Worse:
    key: Key
    value: float
    usual: float
    bound: float
    runs: int

    @property
    def words(self) -> str:
        stage, metric = self.key
        where = f"{stage} {metric}" if stage else metric
        if not self.runs:
            return f"{where} came to {number(self.value)}, beyond the bound of {number(self.bound)}"
        return f"{where} came to {number(self.value)}, against {number(self.usual)} in the {self.runs} runs before"


def degraded(rule: Degraded, over: Over, profile: Profile) -> Sight | None:
    """None for a run of which nothing can be said."""
    summary = over.summary
    if summary is None:
        return None
    judged = [each for key in _wanted(rule, summary) if (each := _judge(rule, key, summary, profile))]
    if not judged:
        return None
    worse = [each for each, is_worse in judged if is_worse]
    family = over.job.family
    return Sight(
        subject=f"family:{family}",
        scope=family,
        level=BREACH if worse else CLEAR,
        message=_told(over, worse) if worse else f"{over.job.title} came to a model as good as those of its family.",
        job=over.job,
        node=over.node,
        since=over.at,
        detail={f"{each.key[0]}/{each.key[1]}": each.value for each in worse},
    )


def _told(over: Over, worse: Sequence[_Worse]) -> str:
    more = f" ({len(worse) - 1} more metrics are worse, too)" if len(worse) > 1 else ""
    return (
        f"{over.job.title} has come to a worse model than {over.job.family} did: {worse[0].words}{more}. "
        f"Compare with `levare show {over.job.id}` before it goes anywhere; look for what changed in data, code and "
        "configuration since."
    )


def _wanted(rule: Degraded, summary: Summary) -> Iterator[Key]:
    """The metrics that are looked at: those that are named, or all that tell what is better, but of training last."""
    keys = [key for key in sorted(summary.metrics) if rule.metric in (None, key[1]) and rule.stage in (None, key[0])]
    is_named = rule.metric is not None
    telling = [key for key in keys if is_named or direction(key[1])]
    measures = [key for key in telling if key[0] not in _TRAINS]
    yield from telling if is_named or not measures else measures


def _judge(rule: Degraded, key: Key, summary: Summary, profile: Profile) -> tuple[_Worse, bool] | None:
    goal = rule.goal or direction(key[1]) or MIN  # a rule names one wherever the metric does not
    value, before = _best(summary, key, goal), [_best(run, key, goal) for run in profile.runs if key in run.metrics]
    if rule.bound is not None:
        return _Worse(key, value, rule.bound, rule.bound, 0), _is_beyond(value, rule.bound, goal)
    if len(before) < rule.least_runs:
        return None
    bound = (upper if goal == MIN else lower)(before, part=rule.part, deviations=rule.deviations)
    return _Worse(key, value, median(before), bound, len(before)), _is_beyond(value, bound, goal)


def _best(summary: Summary, key: Key, goal: str) -> float:
    _, least, greatest = summary.metrics[key]
    return least if goal == MIN else greatest


def _is_beyond(value: float, bound: float, goal: str) -> bool:
    return not (value <= bound if goal == MIN else value >= bound)


def not_finite(rule: NotFinite, live: Live) -> Sight:
    series = _series(rule, live.points)
    diverged = [found for told in series.values() if (found := _since(told, rule.lines))]
    is_ill = any(not isfinite(told[-1][1]) for told in series.values())
    first = min(diverged, key=lambda point: point.at) if diverged else None
    return Sight(
        subject=f"job:{live.job.id}",
        level=BREACH if first else CLEAR if series and not is_ill else BETWEEN,
        message=_diverged(live, first) if first else f"{live.job.title} tells numbers again.",
        job=live.job,
        node=live.node,
        since=first.at if first else None,
    )


def _series(rule: NotFinite, points: Sequence[Point]) -> Mapping[Key, list[tuple[Point, float]]]:
    found: dict[Key, list[tuple[Point, float]]] = defaultdict(list)
    for point in points:
        for name, value in point.values.items():
            if rule.metric in (None, name):
                found[point.stage, name].append((point, value))
    return found


def _since(told: Sequence[tuple[Point, float]], lines: int) -> Point | None:
    """The first line of those at the end that tell no number, if there are so many of them."""
    ill = list(takewhile(lambda each: not isfinite(each[1]), reversed(told)))
    return ill[-1][0] if len(ill) >= lines else None


def _diverged(live: Live, first: Point) -> str:
    names = [name for name, value in sorted(first.values.items()) if not isfinite(value)]
    where = f" of stage {first.stage!r}" if first.stage else ""
    at = f"step {first.step}, " if first.step is not None else ""
    return (
        f"{live.job.title} has diverged on {live.node}: {joined(names)}{where} is no finite number any more, since {at}"
        f"{clock(first.at)}. That does not mend itself: `levare cancel {live.job.id}`, then go on from a checkpoint "
        "before that, with a smaller learning rate or clipped gradients."
    )


def metric(rule: Metric, live: Live, *, now: datetime) -> Sight:
    told = [p for p in live.points if rule.metric in p.values and rule.stage in (None, p.stage)]
    if rule.absent is not None:
        return _absent(rule, live, _last_at(live, told), now)
    stage, reading = _worst(rule, told)
    where = f"{stage} {rule.metric}" if stage else rule.metric
    is_breach = reading.level == BREACH
    return Sight(
        subject=f"job:{live.job.id}",
        level=reading.level,
        message=(
            f"{where} of {live.job.title} on {live.node} is where it should not be. {reading.message} "
            f"`levare show {live.job.id}` has the whole course."
            if is_breach
            else f"{where} of {live.job.title} is back where it should be."
        ),
        job=live.job,
        node=live.node,
        lasts=rule.lasts,
        detail={"value": reading.value},
    )


def _worst(rule: Metric, told: Sequence[Point]) -> tuple[str, Reading]:
    """Where the stages stand, each by itself: the first that is beyond the bound, else the first that is not back."""
    values: dict[str, list[float]] = defaultdict(list)
    for point in told:
        values[point.stage].append(point.values[rule.metric])
    readings = [(stage, read(rule.test, each)) for stage, each in values.items()] if rule.test else []
    known = [(stage, reading) for stage, reading in readings if reading.value is not None]
    return min(known, key=lambda each: _BADNESS.index(each[1].level), default=("", _NOTHING))


def _last_at(live: Live, told: Sequence[Point]) -> datetime:
    """The latest time at which it may have told it."""
    return max(live.started_at, live.unread_before or live.started_at, *(point.at for point in told[-1:]))


def _absent(rule: Metric, live: Live, last_at: datetime, now: datetime) -> Sight:
    missing = now - last_at
    is_breach = missing >= (rule.absent or timedelta())
    return Sight(
        subject=f"job:{live.job.id}",
        level=BREACH if is_breach else CLEAR,
        message=(
            f"{live.job.title} has not told {rule.metric!r} for {span(missing)}; {span(rule.absent or missing)} is the "
            f"limit. `levare logs {live.job.id}` shows what it does instead."
            if is_breach
            else f"{live.job.title} tells {rule.metric!r} again."
        ),
        job=live.job,
        node=live.node,
        since=last_at,
    )
