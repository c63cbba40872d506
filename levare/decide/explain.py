"""
Everything about a job that waits: why, when it will start, who comes first, and what would start it now.

All of it comes from the code that decides, run on the same facts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levare.decide.capacity import Room
from levare.decide.forecast import Estimate, estimate
from levare.decide.order import AGEING, Queue, lanes, level, urgency
from levare.decide.placement import place
from levare.decide.sharing import Books, Standing
from levare.model import Duration, Node, Reason, Request, Sharing, Waiting

MOST_AHEAD = 5
"""So many of those that come first are named."""
MOST_TRIES = 40
"""So many changes are tried at most before it is said that no small one would do."""


@dataclass(frozen=True)
class Change:
    """A change of the request that would start the job at the next decision, in words and as a value."""

    field: str
    value: object
    message: str


@dataclass(frozen=True)
class Ahead:
    """A job that comes first, and why."""

    job_id: str
    reason: str


@dataclass(frozen=True)
class Weight:
    """What the place of a job in the queue is made of."""

    priority: int
    from_age: int
    from_deadline: int
    team: Standing


@dataclass(frozen=True)
class Explanation:
    """`reasons` is empty if the job starts at the next decision."""

    reasons: Sequence[Reason]
    estimate: Estimate
    change: Change | None
    ahead: Sequence[Ahead]
    jobs_ahead: int
    weight: Weight


def explain(
    job: Waiting, others: Sequence[Waiting], nodes: Sequence[Node], *, now: datetime, sharing: Sharing
) -> Explanation:
    """All about one job; `others` are those that wait too, of each lane the first ones."""
    waiting = [*(other for other in others if other.job_id != job.job_id), job]
    facts = _Facts(job, waiting, nodes, now, sharing)
    decision = place(waiting, nodes, now=now, sharing=sharing)
    reasons = list(decision.reasons.get(job.job_id, ()))
    never = any(reason.kind == "can-never-run" for reason in reasons)
    ahead = _ahead(facts)
    return Explanation(
        reasons=reasons,
        estimate=Estimate(None, None) if never else estimate(job, waiting, nodes, now=now, sharing=sharing),
        change=_smallest_change(facts) if reasons else None,
        ahead=[Ahead(other.job_id, _why_first(other, job, facts)) for other in ahead[:MOST_AHEAD]],
        jobs_ahead=len(ahead),
        weight=_weight(facts),
    )


@dataclass(frozen=True)
class _Facts:
    job: Waiting
    waiting: Sequence[Waiting]
    nodes: Sequence[Node]
    now: datetime
    sharing: Sharing

    def starts(self, changed: Waiting) -> bool:
        """Whether the job would start at the next decision if it were changed like that."""
        waiting = [*self.waiting[:-1], changed]
        decision = place(waiting, self.nodes, now=self.now, sharing=self.sharing)
        return any(placement.job_id == changed.job_id for placement in decision.placements)


def _weight(facts: _Facts) -> Weight:
    job, books = facts.job, Books(facts.sharing, facts.nodes, now=facts.now)
    return Weight(
        priority=job.priority,
        from_age=(facts.now - job.since) // AGEING,
        from_deadline=urgency(job, facts.now),
        team=books.standing(job.team),
    )


def _ahead(facts: _Facts) -> list[Waiting]:
    """Those that come first if all were to start, in their order."""
    books = Books(facts.sharing, facts.nodes, now=facts.now)
    queue = Queue(lanes(facts.waiting, facts.now), books, now=facts.now)
    found: list[Waiting] = []
    while (lane := queue.first()) and lane.first.job_id != facts.job.job_id:
        found.append(lane.first)
        books.charge(lane.first)
        queue.skip(lane)
    return found


def _why_first(other: Waiting, job: Waiting, facts: _Facts) -> str:
    if other.team != job.team:
        return f"Team {other.team} has used less of late for its weight than team {job.team}."
    if other.user != job.user:
        return f"User {other.user} has used less of late than user {job.user}."
    theirs, ours = level(other, facts.now), level(job, facts.now)
    if theirs > ours:
        return f"Has priority {theirs} with its age, against {ours}."
    return f"Has the same priority, {ours} with age, and came first."


def _smallest_change(facts: _Facts) -> Change | None:
    """The first of the conceivable changes, the least first, that starts the job."""
    for count, (changed, change) in enumerate(_changes(facts)):
        if count >= MOST_TRIES:
            return None
        if facts.starts(changed):
            return change
    return None


def _changes(facts: _Facts) -> Iterator[tuple[Waiting, Change]]:
    yield from _shorter(facts)
    yield from _of_request(facts)
    yield from _elsewhere(facts)
    yield from _more_urgent(facts)


def _shorter(facts: _Facts) -> Iterator[tuple[Waiting, Change]]:
    """A limit lets it run before a node is needed for another."""
    job = facts.job
    for limit in (timedelta(hours=hours) for hours in (8, 4, 2, 1)):
        if job.expected is None or limit < job.expected.promised:
            short = replace(job, expected=Duration(limit, limit))
            text = f"With a limit of {limit // timedelta(hours=1)} h (--timeout) it would start now."
            yield short, Change("timeout_seconds", limit // timedelta(seconds=1), text)


def _of_request(facts: _Facts) -> Iterator[tuple[Waiting, Change]]:
    """Less of one thing: so much as some node has free, the most first."""
    request, rooms = facts.job.request, [Room(node) for node in facts.nodes]
    amounts = {
        "gpus": [len(room.fitting_devices(request)) for room in rooms],
        "cpus": [room.cpus for room in rooms],
        "memory_mib": [room.memory_mib for room in rooms],
        "scratch_mib": [room.scratch_mib for room in rooms],
        "gpu_memory_mib": [mib for room in rooms for mib in room.free.values()] if request.gpus else [],
        "nodes": list(range(1, request.nodes)),
    }
    for field, free in amounts.items():
        asked = getattr(request, field)
        less = {amount for amount in free if amount > 0 and (asked is None or amount < asked)}
        for value in sorted(less, reverse=True)[:3]:
            before = "whole GPUs" if asked is None else asked
            text = f"With {_phrase(field, value)} instead of {before} it would start now."
            yield _with(facts.job, replace(request, **{field: value})), Change(field, value, text)


def _elsewhere(facts: _Facts) -> Iterator[tuple[Waiting, Change]]:
    """Without one of the things that a node must have or must not."""
    job, request = facts.job, facts.job.request
    for field in ("require", "avoid"):
        for name, value in getattr(request, field):
            rest = tuple(pair for pair in getattr(request, field) if pair != (name, value))
            text = f"Without --{field} {name}={value} it would start now."
            yield _with(job, replace(request, **{field: rest})), Change(field, dict(rest), text)
    if request.gpu_model:
        text = f"With any GPU instead of {request.gpu_model} it would start now."
        yield _with(job, replace(request, gpu_model=None)), Change("gpu_model", None, text)
    if job.only_between:
        text = f"Without --only-between {job.only_between} it would start now."
        yield replace(job, only_between=None), Change("only_between", None, text)


def _more_urgent(facts: _Facts) -> Iterator[tuple[Waiting, Change]]:
    for priority in range(facts.job.priority + 1, 10):
        text = f"With priority {priority} instead of {facts.job.priority} it would start now."
        yield replace(facts.job, priority=priority), Change("priority", priority, text)


def _with(job: Waiting, request: Request) -> Waiting:
    return replace(job, request=request)


def _phrase(field: str, value: int) -> str:
    noun = {
        "gpus": "GPU" + "s" * (value != 1),
        "cpus": "CPU" + "s" * (value != 1),
        "memory_mib": "MiB of memory",
        "scratch_mib": "MiB of scratch",
        "gpu_memory_mib": "MiB of GPU memory",
        "nodes": "node" + "s" * (value != 1),
    }[field]
    return f"{value} {noun}"
