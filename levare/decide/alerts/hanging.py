"""Whether a run hangs: how long it may be still, learned from its own steps and those of its family."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from levare.decide.alerts.facts import Live, Profile
from levare.decide.alerts.rules import Hang
from levare.decide.alerts.sight import Sight
from levare.decide.alerts.words import clock, span
from levare.decide.conditions import BETWEEN, BREACH, CLEAR

BUSY = 3
"""What computes all the time may be still so many times as long: a silent computation looks the same."""
_GAPS = 3
_FEW = 3
"""Steps; fewer tell no pace."""


@dataclass(frozen=True)
class Limit:
    """How long a run may be still, and why so long."""

    limit: timedelta
    why: str


def limit(rule: Hang, live: Live, profile: Profile) -> Limit:
    if rule.lasts is not None:
        return Limit(rule.lasts, f"{span(rule.lasts)} is the limit of this rule")
    if live.pace.steps < _FEW:
        seconds = max(rule.startup.total_seconds(), _GAPS * profile.startup, _GAPS * profile.gap)
        bound = _bounded(rule, seconds)
        return Limit(bound, f"{span(bound)} is what it may take to start")
    usual, gap = live.pace.interval(live.pace.stage), max(live.pace.gap, profile.gap)
    seconds = max(rule.least.total_seconds(), rule.factor * (usual or 0.0), _GAPS * gap)
    bound = _bounded(rule, seconds)
    steps = f"A step takes {span(usual or gap)} as a rule and took {span(gap)} at most"
    return Limit(bound, f"{steps}, so {span(bound)} would have been normal")


def _bounded(rule: Hang, seconds: float) -> timedelta:
    return min(timedelta(seconds=seconds), rule.most)


def is_candidate(rule: Hang, live: Live, profile: Profile, *, now: datetime) -> bool:
    """Whether it has been still for long enough that somebody should look at what its processes do."""
    return now - live.told_at >= limit(rule, live, profile).limit


def sight(rule: Hang, live: Live, profile: Profile, *, now: datetime) -> Sight:
    still, bound = now - live.told_at, limit(rule, live, profile)
    does = live.activity
    may_be = bound.limit if does is None or does.is_idle else BUSY * bound.limit
    hangs = does is not None and (does.is_idle or (does.is_steady and live.pace.steps > 0)) and still >= may_be
    return Sight(
        subject=f"job:{live.job.id}",
        level=BREACH if hangs else BETWEEN if live.told_at == live.watched_since else CLEAR,
        message=_message(live, still, bound) if hangs else f"{live.job.title} goes on.",
        job=live.job,
        node=live.node,
        since=live.told_at,
        detail={"still_seconds": round(still.total_seconds(), 1), "limit_seconds": may_be.total_seconds()},
    )


def _message(live: Live, still: timedelta, bound: Limit) -> str:
    does = live.activity.words if live.activity else ""
    how = "does nothing" if live.activity and live.activity.is_idle else "spins"
    last = f"its last step was at {clock(live.pace.seen_at)}" if live.pace.seen_at else "it has made no step yet"
    holds = f" and holds {live.gpus} GPU{'s' * (live.gpus != 1)}" if live.gpus else ""
    return (
        f"{live.job.title} {how} on {live.node}{holds}: no step, no line and no checkpoint for {span(still)}, {does}. "
        f"{last[0].upper()}{last[1:]}. {bound.why}. "
        f"Look at `levare logs {live.job.id}`; `levare cancel {live.job.id}` frees what it holds."
    )
