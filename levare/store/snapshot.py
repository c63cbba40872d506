"""What beat decides on: one consistent reading of everything that may have to change."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from levare.decide.placement import behind, place
from levare.model import (
    BLOCKED,
    CANCELLED,
    FAILED,
    FINAL,
    LIVE,
    PLACED,
    WAITING,
    Blocked,
    Device,
    Ended,
    Held,
    Node,
    Reason,
    Request,
    Waiting,
)
from levare.store.messages import attempts_to_send
from levare.store.tables import attempts, devices, jobs, needs, nodes

HEADS = 64
"""Of each shape so many jobs are looked at in one decision; the rest ask for the same and come later."""
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
    blocked: Sequence[Blocked]
    ended: Sequence[Ended]
    live: Sequence[LiveAttempt]
    to_cancel: Sequence[str]
    """Jobs that nobody has begun and somebody wants cancelled."""
    unclaimed_to_cancel: Sequence[str]
    """Attempts that no worker has claimed, of jobs that somebody wants cancelled."""
    unsent: bool
    """Whether some node is to be told of an attempt, for the first time or again."""


def load(connection: Connection, *, now: datetime) -> Snapshot:
    running = _live(connection)
    wishes = _cancel_wishes(connection)
    return Snapshot(
        nodes=_nodes(connection, running),
        renewals={row.name: row.renewals for row in connection.execute(select(nodes.c.name, nodes.c.renewals))},
        waiting=_waiting(connection),
        blocked=_blocked(connection, now),
        ended=_ended(connection),
        live=[LiveAttempt(row.id, row.node, row.on_lost, row.cancel_requested_at is not None) for row in running],
        to_cancel=[row.id for row in wishes if row.state in (BLOCKED, WAITING)],
        unclaimed_to_cancel=[row.id for row in running if row.state == PLACED and row.cancel_requested_at is not None],
        unsent=bool(attempts_to_send(connection, now=now)),
    )


def load_nodes(connection: Connection) -> list[Node]:
    """The fleet with what each node holds."""
    return _nodes(connection, _live(connection))


def explain(connection: Connection, job_id: str, *, now: datetime) -> Sequence[Reason]:
    """Every reason why a job waits now, from the code that decides; none if it does not wait."""
    job = connection.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
    if job is None or job.state not in (BLOCKED, WAITING):
        return []
    if job.state == BLOCKED:
        return _blockers(connection, job)
    return explain_request(connection, _as_waiting(job), now=now)


def explain_request(connection: Connection, job: Waiting, *, now: datetime) -> Sequence[Reason]:
    """Why this job, queued or only asked about, would wait."""
    others = [other for other in _waiting(connection) if other.job_id != job.job_id]
    decision = place([*others, job], load_nodes(connection), now=now)
    if job.job_id not in decision.reasons:
        return [Reason("starting-soon", "will-wait", "There is room for it; it starts at the next decision.")]
    return [*decision.reasons[job.job_id], *behind(_ahead(connection, job))]


def _nodes(connection: Connection, running: Sequence[Any]) -> list[Node]:
    held: dict[str, list[Held]] = defaultdict(list)
    for row in running:
        held[row.node].append(Held(row.id, row.job_id, row.devices, row.cpus, row.memory_mib))
    cards: dict[str, list[Device]] = defaultdict(list)
    slot = devices.c["index"].label("slot")  # `index` is a method of rows
    for row in connection.execute(select(devices, slot).order_by(devices.c.node, slot)):
        cards[row.node].append(Device(row.uuid, row.slot, row.memory_mib, row.model))
    return [
        Node(row.name, row.state, row.cpus, row.memory_mib, cards[row.name], held[row.name])
        for row in connection.execute(select(nodes).order_by(nodes.c.name))
    ]


def _live(connection: Connection) -> Sequence[Any]:
    a = attempts.c
    return connection.execute(
        select(a.id, a.job_id, a.state, a.node, a.devices, a.cpus, a.memory_mib, jobs.c.on_lost)
        .add_columns(jobs.c.cancel_requested_at)
        .join(jobs, jobs.c.id == a.job_id)
        .where(a.state.in_(LIVE))
        .order_by(a.id)
    ).all()


def _waiting(connection: Connection) -> list[Waiting]:
    first = (jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id)
    rank = func.row_number().over(partition_by=jobs.c.shape, order_by=first).label("rank")
    columns = [jobs.c[name] for name in ("id", "priority", "created_at", *_REQUEST)]
    ranked = (
        select(*columns, rank).where(jobs.c.state == WAITING, jobs.c.cancel_requested_at.is_(None)).subquery("ranked")
    )
    return [_as_waiting(row) for row in connection.execute(select(ranked).where(ranked.c.rank <= HEADS))]


_REQUEST = ("gpus", "gpu_memory_mib", "cpus", "memory_mib")


def _as_waiting(row: Any) -> Waiting:
    return Waiting(row.id, Request(*(getattr(row, name) for name in _REQUEST)), row.priority, row.created_at)


def _ahead(connection: Connection, job: Waiting) -> int:
    older = and_(jobs.c.priority == job.priority, jobs.c.created_at < job.since)
    first = or_(jobs.c.priority > job.priority, older)
    return connection.execute(
        select(func.count()).select_from(jobs).where(jobs.c.state == WAITING, jobs.c.id != job.job_id, first)
    ).scalar_one()


def _blocked(connection: Connection, now: datetime) -> list[Blocked]:
    """Only those that can move now: all they need is over and their time has come, or something they need failed."""
    hopeless = _needs_a_job_that(jobs.c.id, lambda needed: needed.c.state.in_((FAILED, CANCELLED)))
    unmet = _needs_a_job_that(jobs.c.id, lambda needed: needed.c.state.not_in(FINAL))
    is_time = or_(jobs.c.start_after.is_(None), jobs.c.start_after <= now)
    rows = connection.execute(
        select(jobs.c.id, jobs.c.start_after)
        .where(jobs.c.state == BLOCKED, or_(hopeless, and_(is_time, ~unmet)))
        .order_by(jobs.c.created_at, jobs.c.id)
        .limit(BATCH)
    ).all()
    states = _states_of_needs(connection, [row.id for row in rows])
    return [Blocked(row.id, states[row.id], row.start_after) for row in rows]


def _needs_a_job_that(job_id: ColumnElement[str], test: Any) -> ColumnElement[bool]:
    needed = jobs.alias("needed")
    return exists().where(needs.c.job_id == job_id, needs.c.needed_id == needed.c.id, test(needed))


def _states_of_needs(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, dict[str, str]]:
    states: dict[str, dict[str, str]] = defaultdict(dict)
    if job_ids:
        rows = connection.execute(
            select(needs.c.job_id, needs.c.needed_id, jobs.c.state)
            .join(jobs, jobs.c.id == needs.c.needed_id)
            .where(needs.c.job_id.in_(job_ids))
        )
        for row in rows:
            states[row.job_id][row.needed_id] = row.state
    return states


def _ended(connection: Connection) -> list[Ended]:
    a, j = attempts.c, jobs.c
    rows = connection.execute(
        select(a.job_id, a.id, a.state, a.exit_code, a.reason, a.number, j.retries, j.losses, j.cancel_requested_at)
        .join(jobs, and_(j.id == a.job_id, j.attempt == a.number))
        .where(a.settled.is_(False), a.state.not_in(LIVE), j.state.in_(LIVE))
        .limit(BATCH)
    )
    return [
        Ended(
            row.job_id,
            row.id,
            row.state,
            row.exit_code,
            row.reason or "",
            row.number,
            row.retries,
            row.losses,
            row.cancel_requested_at is not None,
        )
        for row in rows
    ]


def _cancel_wishes(connection: Connection) -> Sequence[Any]:
    pending = and_(jobs.c.cancel_requested_at.is_not(None), jobs.c.state.in_((BLOCKED, WAITING)))
    return connection.execute(select(jobs.c.id, jobs.c.state).where(pending).limit(BATCH)).all()


def _blockers(connection: Connection, job: Any) -> list[Reason]:
    states = _states_of_needs(connection, [job.id])[job.id]
    unmet = [
        Reason("needs", "will-wait", f"Needs {needed}, which is {state}.")
        for needed, state in sorted(states.items())
        if state != "succeeded"
    ]
    if job.start_after:
        unmet.append(Reason("start-after", "will-wait", f"Starts at {job.start_after.isoformat()} at the earliest."))
    return unmet
