"""Whether a run is slower than its family was: in all, and from step to step of each stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median

from levare.decide.alerts.facts import Live, Profile
from levare.decide.alerts.robust import quantile, upper
from levare.decide.alerts.rules import Slow
from levare.decide.alerts.sight import Sight
from levare.decide.alerts.words import span, times
from levare.decide.conditions import BETWEEN, BREACH, CLEAR

_FEWEST_INTERVALS = 20
_STEPS_FURTHER = 1.6
"""The bound of steps is so much further from the median than that of runs: a slow epoch says less than a slow run."""
_HIGH, _BEYOND_HIGH = 0.8, 1.25
"""And what is slow took longer than this part of the runs before by this factor: of few the median says little."""
_REARM = 0.85
"""It is as fast again below this part of the bound."""
_LEAST_STEP = 0.05
"""Seconds; what is slower by less is noise."""


@dataclass(frozen=True)
class _Found:
    level: str
    message: str = ""


def sight(rule: Slow, live: Live, profile: Profile, *, now: datetime) -> Sight:
    whole, stage = _whole(rule, live, profile, now), _stage(rule, live, profile)
    found = whole if whole.level == BREACH else stage
    return Sight(
        subject=f"job:{live.job.id}",
        level=found.level,
        message=found.message or f"{live.job.title} is as fast again as its family was.",
        job=live.job,
        node=live.node,
        lasts=timedelta() if whole.level == BREACH else rule.lasts,
        detail={"seconds": round((now - live.started_at).total_seconds(), 1), "stage": live.pace.stage},
    )


def _whole(rule: Slow, live: Live, profile: Profile, now: datetime) -> _Found:
    if len(profile.seconds) < rule.least_runs:
        return _Found(BETWEEN)
    bound = _bound(rule, profile.seconds, rule.least.total_seconds())
    took = (now - live.started_at).total_seconds()
    if took <= bound:
        return _Found(CLEAR)
    usual = median(profile.seconds)
    return _Found(
        BREACH,
        f"{live.job.title} has run for {span(took)} on {live.node}, {times(took / usual)} as long as the "
        f"{len(profile.seconds)} runs of {live.job.family} before, which took {span(usual)} (at most "
        f"{span(max(profile.seconds))}). `levare show {live.job.id}` tells how far it is.",
    )


def _stage(rule: Slow, live: Live, profile: Profile) -> _Found:
    stage, pace = live.pace.stage, live.pace
    known, step = profile.intervals(stage), pace.interval(stage)
    if len(known) < rule.least_runs or step is None or pace.count(stage) < _FEWEST_INTERVALS:
        return _Found(BETWEEN)
    least = max(_LEAST_STEP, rule.least.total_seconds() / 1000)
    bound = _bound(rule, known, least, further=_STEPS_FURTHER)
    if step <= bound:
        return _Found(CLEAR if step <= _REARM * bound else BETWEEN)
    usual = median(known)
    where = f"a step of stage {stage!r}" if stage else "a step"
    return _Found(
        BREACH,
        f"{live.job.title} is slow on {live.node}: {where} takes {span(step)}, {times(step / usual)} as long as in the "
        f"{len(known)} runs of {live.job.family} before, where it took {span(usual)}. `levare show {live.job.id}` "
        f"shows what it waits for; `levare nodes {live.node}` what else runs there.",
    )


def _bound(rule: Slow, known: Sequence[float], least: float, *, further: float = 1.0) -> float:
    part, deviations = (rule.factor - 1) * further, rule.deviations * further
    return max(upper(known, part=part, deviations=deviations, least=least), _BEYOND_HIGH * quantile(known, _HIGH))
