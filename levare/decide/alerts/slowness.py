"""Whether a run is slower than its family was: in all, and from step to step of each stage."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median

from levare.decide.alerts.facts import Live, Profile
from levare.decide.alerts.robust import upper
from levare.decide.alerts.rules import Slow
from levare.decide.alerts.sight import Sight
from levare.decide.alerts.words import span, times
from levare.decide.conditions import BETWEEN, BREACH, CLEAR

_FEWEST_INTERVALS = 8
_STAGE_DEVIATIONS = 1.5
"""The bound of steps is so much further than that of runs: a few slow ones say less."""
_LEAST_STEP = 0.05
"""Seconds; what is slower by less is noise."""


def sight(rule: Slow, live: Live, profile: Profile, *, now: datetime) -> Sight:
    whole, stage = _whole(rule, live, profile, now), _stage(rule, live, profile)
    found = whole or stage
    has_history = len(profile.seconds) >= rule.least_runs or len(profile.runs) >= rule.least_runs
    return Sight(
        subject=f"job:{live.job.id}",
        level=BREACH if found else CLEAR if has_history else BETWEEN,
        message=found or f"{live.job.title} is as fast again as its family was.",
        job=live.job,
        node=live.node,
        lasts=timedelta() if whole else rule.lasts,
        detail={"seconds": round((now - live.started_at).total_seconds(), 1), "stage": live.pace.stage},
    )


def _whole(rule: Slow, live: Live, profile: Profile, now: datetime) -> str | None:
    if len(profile.seconds) < rule.least_runs:
        return None
    bound = _bound(rule, profile.seconds, rule.least.total_seconds())
    took = (now - live.started_at).total_seconds()
    if took <= bound:
        return None
    usual = median(profile.seconds)
    return (
        f"{live.job.title} has run for {span(took)} on {live.node}, {times(took / usual)} as long as the "
        f"{len(profile.seconds)} runs of {live.job.family} before, which took {span(usual)} (at most "
        f"{span(max(profile.seconds))}). `levare show {live.job.id}` tells how far it is."
    )


def _stage(rule: Slow, live: Live, profile: Profile) -> str | None:
    stage, pace = live.pace.stage, live.pace
    known, step = profile.intervals(stage), pace.interval(stage)
    if len(known) < rule.least_runs or step is None or pace.count(stage) < _FEWEST_INTERVALS:
        return None
    least = max(_LEAST_STEP, rule.least.total_seconds() / 1000)
    if step <= _bound(rule, known, least, wider=_STAGE_DEVIATIONS):
        return None
    usual = median(known)
    where = f"a step of stage {stage!r}" if stage else "a step"
    return (
        f"{live.job.title} is slow on {live.node}: {where} takes {span(step)}, {times(step / usual)} as long as in the "
        f"{len(known)} runs of {live.job.family} before, where it took {span(usual)}. `levare show {live.job.id}` "
        f"shows what it waits for; `levare nodes {live.node}` what else runs there."
    )


def _bound(rule: Slow, known: Sequence[float], least: float, *, wider: float = 1.0) -> float:
    return upper(known, part=rule.factor - 1, deviations=rule.deviations * wider, least=least)
