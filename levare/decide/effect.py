"""
What a plan does to the queue and the calendar: fire times, jobs that start earlier or later, work that it touches,
quotas that are exceeded from then on.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from levare.decide.plan import FINISH, KEEP, PAUSED, REQUEUE, Document
from levare.decide.quota import SLACK, Ledger
from levare.decide.sharing import Books
from levare.decide.times import between
from levare.decide.timing import timing_of
from levare.model import Window
from levare.model.changes import Change

FIRES = 3
"""So many fire times before and after are told of a schedule."""
CANCEL = "cancel"
_FURTHEST = timedelta(days=200 * 366)
_LEAST_SHIFT = timedelta(minutes=1)
_WORK = ("job", "pipeline", "parameters")


@dataclass(frozen=True)
class Fires:
    """The next times at which a schedule fires, jitter included, before and after."""

    schedule: str
    before: Sequence[datetime]
    after: Sequence[datetime]


@dataclass(frozen=True)
class Shift:
    """A waiting job that would start at another time; None where that is not known."""

    job: str
    name: str
    team: str
    before: datetime | None
    after: datetime | None


@dataclass(frozen=True)
class InFlight:
    """A job that has been submitted and is not over. `node` is None before it has begun."""

    job: str
    name: str
    team: str
    user: str
    state: str
    node: str | None = None
    schedule: str | None = None
    trigger: str | None = None
    pool: str | None = None
    """Whose worker it is that it runs on, if that pool is about to go."""
    preemptible: bool = True
    usual_end: datetime | None = None
    attempt: str | None = None


@dataclass(frozen=True)
class Touched:
    """A job in flight that a change is about, and what becomes of it: keep, finish, requeue or cancel."""

    job: str
    name: str
    state: str
    node: str | None
    because: str
    fate: str
    attempt: str | None = None


@dataclass(frozen=True)
class Over:
    """A quota of which more is used than it is from then on."""

    account: str
    what: str
    used: float
    limit: float


@dataclass(frozen=True)
class Effect:
    fires: Sequence[Fires] = ()
    shifts: Sequence[Shift] = ()
    touched: Sequence[Touched] = ()
    over_quota: Sequence[Over] = ()


def fires(changes: Iterable[Change], settled: Mapping[str, datetime], *, now: datetime) -> list[Fires]:
    """Those of schedules whose next times are others; `settled` says up to when each has fired."""
    found: list[Fires] = []
    for each in changes:
        since = settled.get(each.name, now)
        before = next_fires(each.name, each.before, since, now=now)
        keeps = each.before is not None and each.after is not None and timing_of(each.before) == timing_of(each.after)
        after = next_fires(each.name, each.after, since if keeps else max(since, now), now=now)
        if before != after:
            found.append(Fires(each.name, before, after))
    return found


def next_fires(name: str, definition: Document | None, since: datetime, *, now: datetime) -> list[datetime]:
    """None of what is paused, for that is skipped."""
    if definition is None or definition.get(PAUSED):
        return []
    timing = timing_of(definition)
    dues = between(timing.rule, max(since, now - timing.jitter), now + _FURTHEST, FIRES)
    return [timing.fires_at(name, due_at) for due_at in dues]


def shifts(
    names: Mapping[str, tuple[str, str]], before: Mapping[str, datetime], after: Mapping[str, datetime]
) -> list[Shift]:
    """The jobs (id -> name and team) whose starts differ by a minute or more, by their new start."""
    found = [Shift(job, *names[job], before.get(job), after.get(job)) for job in names]
    moved = [each for each in found if _has_moved(each)]
    return sorted(moved, key=lambda each: (each.after is None, each.after or each.before, each.job))


def _has_moved(shift: Shift) -> bool:
    if shift.before is None or shift.after is None:
        return shift.before is not shift.after
    return abs(shift.after - shift.before) >= _LEAST_SHIFT


def touched(changes: Iterable[Change], jobs: Sequence[InFlight], in_flight: str, *, now: datetime) -> list[Touched]:
    """The jobs that the changes are about, each once, and what becomes of each."""
    found: dict[str, Touched] = {}
    by_key = {(each.kind, each.name): each for each in changes}
    windows = [each for each in by_key.values() if each.kind == "window"]
    for job in jobs:
        own = [by_key.get((kind, getattr(job, kind) or "")) for kind in ("schedule", "trigger", "pool")]
        for each in (*filter(None, own), *windows):
            because = _because(each, job, now)
            if because and job.job not in found:
                fate = _fate(each, job, in_flight)
                found[job.job] = Touched(job.job, job.name, job.state, job.node, because, fate, job.attempt)
    return list(found.values())


def _because(change: Change, job: InFlight, now: datetime) -> str:
    """What a change has to do with a job, in words; empty for nothing."""
    if change.kind == "window" and job.node is not None:
        return _kept_from(change, job, now)
    if change.kind == "pool" and change.after is None and job.pool == change.name:
        return f"pool {change.name} is removed, so its worker drains"
    if change.kind in ("schedule", "trigger") and getattr(job, change.kind) == change.name:
        if change.after is None:
            return f"{change.kind} {change.name} is removed"
        if change.before and any(change.before.get(part) != change.after.get(part) for part in _WORK):
            return f"{change.kind} {change.name} starts something else from now on"
    return ""


def _kept_from(change: Change, job: InFlight, now: datetime) -> str:
    window = _window(change, job.node or "")
    if window is None or window.ends <= now or window.admits(job.team, job.user):
        return ""
    if job.usual_end is not None and job.usual_end <= window.starts:
        return ""
    return f"window {change.name} keeps {job.node} from {window.starts:%Y-%m-%d %H:%M} UTC on"


def _window(change: Change, node: str) -> Window | None:
    """The window that this node is kept by from then on; None if it is not."""
    document: Mapping[str, Any] = change.after or {}
    if node not in document.get("nodes", ()):
        return None
    starts, ends = (datetime.fromisoformat(document[name]) for name in ("starts", "ends"))
    return Window(change.name, node, starts, ends, document.get("team"), document.get("user"))


def _fate(change: Change, job: InFlight, in_flight: str) -> str:
    if job.node is None:
        return CANCEL if in_flight == FINISH and change.after is None else KEEP
    if in_flight == REQUEUE:
        return REQUEUE if job.preemptible and job.attempt else KEEP
    return in_flight


def over_quota(teams: Iterable[str], books: Books, queued: Mapping[str, int]) -> list[Over]:
    """The quotas of these teams, their projects and users, of which more is used than there is."""
    found = set(teams)
    return [
        over
        for ledger in books.ledgers()
        if ledger.account.name.partition("/")[0].partition(":")[0] in found
        for over in _over(ledger, queued.get(ledger.account.name, 0))
    ]


def _over(ledger: Ledger, queued: int) -> Iterator[Over]:
    quota = ledger.account.quota
    used = {"gpus": ledger.gpus, "running": ledger.running, "queued": queued, "gpu_hours": ledger.gpu_hours}
    for what, amount in used.items():
        limit = getattr(quota, what)
        if limit is not None and amount > limit + SLACK:
            yield Over(ledger.account.name, what, round(amount, 3), limit)
