"""What beat decides on: one consistent reading of everything that may have to change."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, func, or_, select

from levare.decide.capacity import most_starts
from levare.decide.durations import expected
from levare.decide.families import Family
from levare.decide.gangs import decisive, partings
from levare.decide.health import Run
from levare.decide.placement import OWED
from levare.model import (
    BLOCKED,
    FINAL,
    LIVE,
    NEED_OUTCOMES,
    PLACED,
    TAKEN,
    WAITING,
    ArrayState,
    Blocked,
    DayWindow,
    Device,
    Duration,
    Ended,
    Held,
    Member,
    Need,
    Node,
    Parting,
    Rules,
    Sharing,
    Waiting,
)
from levare.store import arrays, health, sharing, windows, wishes
from levare.store.asked import request_of
from levare.store.endings import ended
from levare.store.families import held as held_families
from levare.store.families import known as known_families
from levare.store.messages import Message, messages_due
from levare.store.tables import attempts, devices, families, jobs, needs, nodes
from levare.store.types import Utc, is_one_of

_USUAL = Rules()
HEADS = 64
"""Of each lane so many jobs are looked at in one decision; the rest ask for the same and come later."""
BATCH = 500
"""The most jobs of one kind of change that one decision takes on, so that a transaction stays short."""


@dataclass(frozen=True)
class LiveAttempt:
    attempt_id: str
    node: str
    on_lost: str
    cancel_requested: bool


@dataclass(frozen=True)
class Snapshot:
    nodes: Sequence[Node]
    renewals: Mapping[str, int]
    waiting: Sequence[Waiting]
    """Of each lane as many as could start at the very most."""
    sharing: Sharing
    blocked: Sequence[Blocked]
    arrays: Sequence[ArrayState]
    """Those whose elements have moved so far that the array has to follow."""
    ended: Sequence[Ended]
    live: Sequence[LiveAttempt]
    to_cancel: Sequence[str]
    """Jobs that nobody has begun and somebody wants cancelled."""
    unclaimed_to_cancel: Sequence[str]
    """Attempts that no worker has claimed, of jobs that somebody wants cancelled."""
    to_part: Sequence[Parting]
    """Attempts whose gang has broken."""
    unsent: Sequence[Message]
    """What some node is to be told of again."""
    families: Mapping[str, Family] = field(default_factory=dict)
    """Of the jobs that have ended."""
    runs: Sequence[Run] = ()
    """What ended lately on the nodes on which something has failed soon after its start."""
    cleared: Mapping[str, datetime] = field(default_factory=dict)
    """Until when nodes (by name) and GPUs (by UUID) were excluded last."""


def load(connection: Connection, *, now: datetime, rules: Rules = _USUAL) -> Snapshot:
    unsettled = connection.execute(_UNSETTLED).all()
    live = [row for row in unsettled if row.state in LIVE]
    fleet, renewals = _nodes(connection, live, now)
    over = ended(connection, _over(unsettled))
    runs = health.runs_beside(connection, over, now=now)
    movable = connection.execute(_MOVABLE, {"now": now}).all()
    return Snapshot(
        nodes=fleet,
        renewals=renewals,
        waiting=[job for lane in load_lanes(connection, most=most_starts(fleet), now=now) for job in lane],
        sharing=load_sharing(connection, now=now, rules=rules),
        blocked=_blocked(connection, [row for row in movable if row.cancel_requested_at is None]),
        arrays=arrays.to_follow(connection),
        ended=over,
        live=[LiveAttempt(row.id, row.node, row.on_lost, row.cancel_requested_at is not None) for row in live],
        to_cancel=[row.id for row in movable if row.cancel_requested_at is not None],
        unclaimed_to_cancel=[row.id for row in live if row.state == PLACED and row.cancel_requested_at is not None],
        to_part=[parting for members in _gangs(unsettled) for parting in partings(members)],
        unsent=messages_due(live, {node.name: node.incarnation for node in fleet}, now=now),
        families=known_families(connection, {each.family for each in over}),
        runs=runs,
        cleared=health.cleared(connection) if runs else {},
    )


def load_emptied(connection: Connection) -> list[Node]:
    """The fleet as if nothing ran on it and nothing were excluded for a while."""
    return _nodes(connection, [], None)[0]


def load_nodes(connection: Connection, *, now: datetime) -> list[Node]:
    """The fleet with what each node holds, and what is excluded at `now`."""
    return _nodes(connection, connection.execute(_LIVE).all(), now)[0]


def load_lanes(connection: Connection, *, most: int, now: datetime) -> list[list[Waiting]]:
    """The lanes of what waits; of each the first, which may end others, and `most` at most, but `HEADS` in any case."""
    firsts = connection.execute(_FIRSTS).all()
    behind = [_behind(connection, first, min(most, HEADS)) for first in firsts]
    rows = [row for lane in behind for row in lane]
    expectations, counts = Expectations(connection, rows), arrays.startable(connection, rows)
    owed = wishes.owed(connection, since=now - OWED) if rows else {}
    found = [[_counted(job, counts) for job in _lane(lane, expectations)] for lane in behind]
    return [[replace(job, owed_since=owed.get(job.job_id)) for job in lane] for lane in found] if owed else found


def load_sharing(connection: Connection, *, now: datetime, rules: Rules) -> Sharing:
    books = sharing.load(connection, now=now, rules=rules)
    return replace(books, held_families=held_families(connection, now=now))


def waiting_of(connection: Connection, row: Any) -> Waiting:
    """A row of `jobs` as placement sees it; an array with as many elements as may start."""
    return _counted(_as_waiting(row, Expectations(connection, [row])), arrays.startable(connection, [row]))


def needs_of(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, dict[str, Need]]:
    """What each of these jobs needs, by the job that is needed."""
    found: dict[str, dict[str, Need]] = defaultdict(dict)
    if job_ids:
        for row in connection.execute(_NEEDS, {"jobs": job_ids}):
            found[row.job_id][row.needed_id] = Need(row.state, row.outcome)
    return found


def _nodes(connection: Connection, running: Sequence[Any], now: datetime | None) -> tuple[list[Node], dict[str, int]]:
    """The fleet, and how often each node has renewed its lease."""
    expectations = Expectations(connection, running)
    held: dict[str, list[Held]] = defaultdict(list)
    for row in running:
        held[row.node].append(_as_held(row, expectations))
    cards: dict[str, list[Device]] = defaultdict(list)
    for row in connection.execute(_DEVICES):
        blocked = (row.note or f"It is {row.ownership}.") if row.ownership in TAKEN else _exclusion(row, now)
        cards[row.node].append(Device(row.uuid, row.slot, row.memory_mib, row.model, row.ownership, blocked))
    rows = connection.execute(_NODES).all()
    kept = windows.by_node(connection, now=now) if now else {}
    fleet = [
        Node(
            row.name,
            row.state,
            row.cpus,
            row.memory_mib,
            cards[row.name],
            held[row.name],
            row.incarnation,
            row.labels,
            row.scratch_mib,
            row.resources,
            kept.get(row.name, ()),
            _exclusion(row, now),
            row.price,
        )
        for row in rows
    ]
    return fleet, {row.name: row.renewals for row in rows}


def _exclusion(row: Any, now: datetime | None) -> str:
    """Why a node or GPU takes nothing now; empty if it does."""
    is_out = now is not None and row.excluded_until is not None and row.excluded_until > now
    return (row.excluded_reason or f"Excluded until {row.excluded_until:%Y-%m-%d %H:%M:%S} UTC.") if is_out else ""


def _as_held(row: Any, expectations: "Expectations") -> Held:
    limit = row.timeout_seconds
    return Held(
        attempt_id=row.id,
        job_id=row.job_id,
        devices=row.devices,
        cpus=row.cpus,
        memory_mib=row.memory_mib,
        scratch_mib=row.scratch_mib,
        resources=tuple(sorted(row.resources.items())),
        team=row.team,
        project=row.project,
        user=row.user,
        priority=row.priority,
        preemptible=row.preemptible,
        min_runtime=timedelta(seconds=row.min_runtime_seconds),
        placed_at=row.placed_at,
        safe_at=row.safe_at,
        expected=expectations.of(row),
        limit=None if limit is None else timedelta(seconds=limit),
        progress=row.progress,
        is_ending=_is_told_to_end(row),
        ending_for=row.preempted_for,
    )


class Expectations:
    """How long jobs take, by their families' history and their own limits."""

    def __init__(self, connection: Connection, rows: Iterable[Any]) -> None:
        names = sorted({row.family for row in rows})
        found = connection.execute(_FAMILIES, {"names": names}) if names else []
        self._seconds = {row.name: row.seconds for row in found}
        self._known: dict[tuple[str, int | None], Duration | None] = {}

    def of(self, row: Any) -> Duration | None:
        key = (row.family, row.timeout_seconds)
        if key not in self._known:
            limit = None if key[1] is None else timedelta(seconds=key[1])
            self._known[key] = expected(self._seconds.get(row.family, ()), limit)
        return self._known[key]


def _counted(job: Waiting, counts: Mapping[str, int]) -> Waiting:
    return replace(job, count=counts[job.job_id]) if job.job_id in counts else job


def _lane(rows: Sequence[Any], expectations: Expectations) -> Iterator[Waiting]:
    """The first row is whole; the others differ from it in what makes no lane."""
    first = _as_waiting(rows[0], expectations)
    yield first
    for row in rows[1:]:
        yield replace(first, job_id=row.id, since=row.created_at, family=row.family, expected=expectations.of(row))


def _behind(connection: Connection, first: Any, most: int) -> list[Any]:
    """A lane: its first row, and what comes after it."""
    if most <= 1:
        return [first]
    following = {"lane": first.lane, "since": first.created_at, "first": first.id, "most": most - 1}
    return [first, *connection.execute(_FOLLOWING, following)]


def _as_waiting(row: Any, expectations: Expectations) -> Waiting:
    return Waiting(
        row.id,
        request_of(row),
        row.priority,
        row.created_at,
        team=row.team,
        project=row.project,
        user=row.user,
        family=row.family,
        expected=expectations.of(row),
        deadline=row.deadline,
        only_between=DayWindow.parse(row.only_between) if row.only_between else None,
        shunned=frozenset(row.shunned),
    )


def _blocked(connection: Connection, rows: Sequence[Any]) -> list[Blocked]:
    needed = needs_of(connection, [row.id for row in rows])
    return [Blocked(row.id, needed[row.id], row.start_after) for row in rows]


def _over(unsettled: Sequence[Any]) -> list[Any]:
    """Of each job that is over the one attempt that decides what becomes of it."""
    deciding = {member.attempt_id for members in _gangs(unsettled) if (member := decisive(members))}
    return [row for row in unsettled if row.state not in LIVE and (row.nodes == 1 or row.id in deciding)]


def _gangs(unsettled: Sequence[Any]) -> list[list[Member]]:
    gangs: dict[str, list[Member]] = defaultdict(list)
    for row in unsettled:
        if row.nodes > 1:
            gangs[row.job_id].append(_as_member(row))
    return list(gangs.values())


def _as_member(row: Any) -> Member:
    return Member(row.id, row.rank, row.node, row.state, row.exit_code, row.ended_at, _is_told_to_end(row))


def _is_told_to_end(row: Any) -> bool:
    return any(wish is not None for wish in (row.peer_ended_at, row.preempted_at, row.cancel_requested_at))


# The statements are built once: building one costs more than running it.


def _firsts() -> Any:
    """
    Of each lane the first, without a look at the rest of it: the lanes are found one by one, each by the index.

    (A loose index scan; a window function would read every waiting job.)
    """
    other = jobs.alias("other")
    lanes = select(func.min(jobs.c.lane).label("lane")).where(jobs.c.state == WAITING).cte("lanes", recursive=True)
    following = select(func.min(other.c.lane)).where(other.c.state == WAITING, other.c.lane > lanes.c.lane)
    lanes = lanes.union_all(select(following.scalar_subquery()).where(lanes.c.lane.is_not(None)))
    head = other.alias("head")
    first = (
        select(head.c.id)
        .where(head.c.state == WAITING, head.c.cancel_requested_at.is_(None), head.c.lane == lanes.c.lane)
        .where(arrays.may_start(head))
        .order_by(head.c.created_at, head.c.id)
        .limit(1)
        .scalar_subquery()
    )
    return select(*(jobs.c[name] for name in _OF_WAITING)).join_from(lanes, jobs, jobs.c.id == first)


def _following() -> Any:
    after = or_(
        jobs.c.created_at > bindparam("since", type_=Utc),
        and_(jobs.c.created_at == bindparam("since", type_=Utc), jobs.c.id > bindparam("first")),
    )
    queued = and_(jobs.c.state == WAITING, jobs.c.cancel_requested_at.is_(None), jobs.c.lane == bindparam("lane"))
    return (
        select(*(jobs.c[name] for name in _OF_FOLLOWING))
        .where(queued, after, arrays.may_start(jobs))
        .order_by(jobs.c.created_at, jobs.c.id)
        .limit(bindparam("most"))
    )


def _movable() -> Any:
    """Blocked jobs that can move, for all they need is over and it is time, or a need is hopeless; unbegun cancels."""
    hopeless = _needs_a_job_that(_cannot_end_as_wanted)
    unmet = _needs_a_job_that(lambda needed: ~is_one_of(needed.c.state, FINAL))
    is_time = or_(jobs.c.start_after.is_(None), jobs.c.start_after <= bindparam("now", type_=Utc))
    can_move = and_(jobs.c.state == BLOCKED, or_(hopeless, and_(is_time, ~unmet)))
    unwanted = and_(is_one_of(jobs.c.state, (BLOCKED, WAITING)), jobs.c.cancel_requested_at.is_not(None))
    unwanted = and_(unwanted, jobs.c.array_next == 0)  # an array that has begun ends with its elements
    return (
        select(jobs.c.id, jobs.c.start_after, jobs.c.cancel_requested_at)
        .where(or_(can_move, unwanted))
        .order_by(jobs.c.created_at, jobs.c.id)
        .limit(BATCH)
    )


def _needs_a_job_that(test: Any) -> ColumnElement[bool]:
    needed = jobs.alias("needed")
    return exists().where(needs.c.job_id == jobs.c.id, needs.c.needed_id == needed.c.id, test(needed))


def _cannot_end_as_wanted(needed: Any) -> ColumnElement[bool]:
    fates = [(outcome, state) for outcome in NEED_OUTCOMES for state in FINAL if Need(state, outcome).is_hopeless]
    return or_(*(and_(needs.c.outcome == outcome, needed.c.state == state) for outcome, state in fates))


def _attempts_and_jobs() -> Any:
    """The latest attempts with what a decision needs of their jobs."""
    a, j = attempts.c, jobs.c
    return (
        select(*(a[name] for name in _OF_ATTEMPT), *(j[name] for name in _OF_JOB))
        .join(jobs, and_(j.id == a.job_id, j.attempt == a.number))
        .order_by(a.placed_at, a.id)
    )


_OF_FOLLOWING = ("id", "created_at", "family", "timeout_seconds", "array_size", "array_cap", "array_next")
_OF_WAITING = (
    *("id", "priority", "created_at", "gpus", "gpu_memory_mib", "cpus", "memory_mib", "scratch_mib", "gpu_model"),
    *("resources", "require", "prefer", "avoid", "nodes", "spread", "team", "project", "user", "family"),
    *("timeout_seconds", "deadline", "only_between", "shunned", "lane"),
    *("array_size", "array_cap", "array_next"),
)
_OF_ATTEMPT = (
    *("id", "job_id", "number", "state", "node", "queue", "devices", "cpus", "memory_mib"),
    *("scratch_mib", "resources", "placed_at", "safe_at", "preempted_at", "preempted_for", "rank"),
    *("sent_at", "sent_to", "exit_code", "reason", "ended_at", "peer_ended_at"),
)
_OF_JOB = (
    *("name", "on_lost", "retries", "losses", "cancel_requested_at", "team", "project", "user", "family"),
    *("priority", "preemptible", "min_runtime_seconds", "timeout_seconds", "progress", "nodes"),
)
_UNSETTLED = _attempts_and_jobs().where(attempts.c.settled.is_(False))
_LIVE = _attempts_and_jobs().where(is_one_of(attempts.c.state, LIVE))
_SLOT = devices.c["index"].label("slot")  # `index` is a method of rows
_DEVICES = select(devices, _SLOT).order_by(devices.c.node, _SLOT)
_NODES = select(nodes).order_by(nodes.c.name)
_FIRSTS, _FOLLOWING = _firsts(), _following()
_MOVABLE = _movable()
_NEEDS = (
    select(needs.c.job_id, needs.c.needed_id, needs.c.outcome, jobs.c.state)
    .join(jobs, jobs.c.id == needs.c.needed_id)
    .where(needs.c.job_id.in_(bindparam("jobs", expanding=True)))
)
_FAMILIES = select(families).where(families.c.name.in_(bindparam("names", expanding=True)))
