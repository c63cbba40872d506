"""
The life of an attempt, one guarded write per step.

    placed    beat, when placement has chosen devices
    starting  the worker, by claiming it; again after a crash, for the supervisor's lock decides who starts
    running   the worker, once the supervisor says that the process exists
    (ending)  the worker, from what the supervisor wrote; beat, when the node is lost

Every write names the states it expects; zero rows is an answer: someone was faster, or it is over.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, case, exists, func, insert, or_, select, update

from levare.decide.arrays import OPEN
from levare.model import (
    BLOCKED,
    CANCELLED,
    FAILED,
    FINAL,
    LIVE,
    LOST,
    PLACED,
    PREEMPTED,
    RUNNING,
    STARTING,
    WAITING,
    Move,
    Node,
    Placement,
    Sharing,
)
from levare.model.failures import NODE_LOST, PREEMPTION
from levare.store import arrays, costs, use
from levare.store.gangs import Gang, gang_of
from levare.store.messages import Message
from levare.store.needs import inputs_of
from levare.store.reruns import Rerun, rerun_of
from levare.store.tables import attempts, jobs
from levare.store.types import Utc, is_one_of


@dataclass(frozen=True)
class Claimed:
    """An attempt that is ours to start, with all that its supervisor needs."""

    attempt_id: str
    job_id: str
    queue: str
    command: Sequence[str]
    cwd: str
    env: Mapping[str, Any]
    """Values, or `{"secret": NAME}`."""
    devices: Mapping[str, int]
    memory_mib: int
    timeout_seconds: int | None
    grace_seconds: int
    on_lost: str
    warning_signal: str | None
    warning_seconds: int
    is_unwanted: bool
    """Somebody wants it ended already."""
    gang: Gang | None = None
    inputs: Sequence[tuple[str, str]] = ()
    """Steps of its pipeline that it needs, and their jobs."""
    rerun: Rerun | None = None
    """The run that it repeats, if it is to have its code or its environment."""


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended and what it used."""

    state: str
    reason: str
    exit_code: int | None = None
    signal: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    peak_memory_mib: int | None = None
    cpu_seconds: float | None = None
    gpu_memory_mib: int | None = None
    gpu_utilisation_percent: float | None = None
    energy_joules: float | None = None
    log_bytes: int = 0
    failure: str | None = None
    """The class of its failure."""


def place(
    connection: Connection,
    placements: Iterable[Placement],
    incarnations: Mapping[str, str],
    *,
    now: datetime,
    fleet: Iterable[Node] = (),
) -> list[Message]:
    """
    Give each job that still waits its next attempt; return what the nodes (name -> incarnation) are to be told.

    A gang has an attempt on each of its nodes, all with one number. `fleet` tells the prices at which they start.
    """
    chosen: dict[str, list[Placement]] = defaultdict(list)
    for placement in arrays.open_elements(connection, list(placements), now=now):
        chosen[placement.job_id].append(placement)
    taken = connection.execute(_PLACE, {"chosen": list(chosen)}).all() if chosen else []
    names = {row.id: row.name for row in taken}
    nodes = {node.name: node for node in fleet}
    rows = [
        _new_attempt(part, row.attempt, incarnations, now) | costs.terms(part, nodes.get(part.node))
        for row in taken
        for part in chosen[row.id]
    ]
    if rows:
        connection.execute(_INSERT, rows)
    return [Message(new["id"], new["queue"], new["node"], names[new["job_id"]]) for new in rows]


def _new_attempt(placement: Placement, number: int, incarnations: Mapping[str, str], now: datetime) -> dict[str, Any]:
    """It counts as sent: if beat dies before it sends, nobody claims it, and it is sent again."""
    return {
        "id": f"{placement.job_id}-{number}" + (f".{placement.rank}" if placement.rank else ""),
        "job_id": placement.job_id,
        "number": number,
        "rank": placement.rank,
        "state": PLACED,
        "node": placement.node,
        "queue": placement.queue,
        "devices": dict(placement.devices),
        "cpus": placement.request.cpus,
        "memory_mib": placement.request.memory_mib,
        "scratch_mib": placement.request.scratch_mib,
        "resources": dict(placement.request.resources),
        "placed_at": now,
        "sent_at": now,
        "sent_to": incarnations.get(placement.node),
        "settled": False,
        "log_bytes": 0,
        "metrics_offset": 0,
        "points": 0,
        "points_dropped": 0,
    }


def claim(connection: Connection, attempt_id: str, *, node: str, incarnation: str, at: datetime) -> Claimed | None:
    """Make a placed attempt ours to start, or return None if it is not, or no longer."""
    asked = {"attempt": attempt_id, "of_node": node, "by": incarnation, "at": at}
    claimed = connection.execute(_CLAIM, asked).one_or_none()
    if claimed is None:
        return None
    job = connection.execute(_CLAIM_JOB, {"job": claimed.job_id}).one()
    return Claimed(
        attempt_id,
        claimed.job_id,
        claimed.queue,
        job.command,
        job.cwd,
        job.env,
        claimed.devices,
        job.memory_mib,
        job.timeout_seconds,
        job.grace_seconds,
        job.on_lost,
        job.warning_signal,
        job.warning_seconds,
        any(wish is not None for wish in (job.cancel_requested_at, claimed.preempted_at, claimed.peer_ended_at)),
        gang_of(connection, attempt_id) if job.nodes > 1 else None,
        inputs_of(connection, job.array_id or claimed.job_id, pipeline=job.pipeline) if job.pipeline else (),
        rerun_of(connection, job.rerun, devices=claimed.devices) if job.rerun else None,
    )


def started(connection: Connection, attempt_id: str, *, at: datetime) -> bool:
    """The process exists. False if the attempt was not `starting`."""
    row = connection.execute(_STARTED, {"attempt": attempt_id, "at": at}).one_or_none()
    if row is None:
        return False
    if not connection.execute(_STARTED_JOB, {"job": row.job_id, "at": at}).rowcount:
        connection.execute(_LOCK_JOB, {"job": row.job_id})  # of two parts that start at once the second sees the first
        connection.execute(_STARTED_GANG, {"job": row.job_id, "at": at})
    return True


def finish(connection: Connection, attempt_id: str, outcome: Outcome) -> str | None:
    """
    The attempt is over, whatever it was doing; it holds nothing from here on. None if it was over already.

    Returns the state that it ended in: what failed or was ended after it had been told to make room has been
    `preempted`, unless somebody wants it cancelled. It keeps the reason for which it was told to end.
    """
    values = {f"new_{name}": value for name, value in vars(outcome).items()}
    ended = connection.execute(_FINISH, {"attempt": attempt_id, **values}).one_or_none()
    if ended and outcome.started_at:  # what ended at once was never written down as running
        connection.execute(_STARTED_UNSAID, {"job": ended.job_id, "at": outcome.started_at})
    return ended.state if ended else None


def lose(connection: Connection, attempt_ids: Iterable[str], *, reason: str, now: datetime) -> None:
    """Give up attempts whose node is gone."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id.in_(list(attempt_ids)), attempts.c.state.in_(LIVE))
        .values(state=LOST, reason=reason, ended_at=now, failure=NODE_LOST)
    )


def cancel_unclaimed(connection: Connection, attempt_ids: Iterable[str], *, now: datetime) -> None:
    """End attempts that were placed and whose job is to be cancelled, unless a worker has claimed them meanwhile."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id.in_(list(attempt_ids)), attempts.c.state == PLACED)
        .values(state=CANCELLED, reason="Cancelled before it started.", ended_at=now)
    )


def move(
    connection: Connection, moves: Sequence[Move], *, now: datetime, half_life: timedelta = Sharing.half_life
) -> None:
    """
    Carry out each move whose job is still where the decision saw it, and mark its latest attempt as settled.

    What is settled is charged to whom it was for, in the same transaction; so it is charged exactly once.
    """
    for expected, steps in groupby(sorted(moves, key=_expected), key=_expected):
        connection.execute(_MOVES[expected], [_values(step, now) for step in steps])
    settled = [step.job_id for step in moves if step.expected == LIVE]
    if settled:
        over = connection.execute(_SETTLE, {"jobs": settled}).all()
        use.charge(connection, over, half_life=half_life, now=now)
        costs.charge(connection, over, now=now)


def _expected(step: Move) -> tuple[str, ...]:
    return step.expected


def _values(step: Move, now: datetime) -> dict[str, Any]:
    return {
        "job": step.job_id,
        "new_state": step.state,
        "new_reason": step.reason,
        "new_exit_code": step.exit_code,
        "at": now if step.state in FINAL else None,
        "more_losses": int(step.lost),
    }


@dataclass(frozen=True)
class Mine:
    """An attempt that SQL says is alive on a node."""

    attempt_id: str
    state: str
    queue: str
    devices: Mapping[str, int]


def live_on(connection: Connection, node: str) -> list[Mine]:
    """The attempts that a node should have."""
    return [Mine(*row) for row in connection.execute(_LIVE_ON, {"of_node": node})]


def live_nodes(connection: Connection, job_id: str) -> list[str]:
    """The nodes on which a job is now."""
    return list(connection.execute(_LIVE_OF, {"job": job_id}).scalars())


# The statements are built once: building one costs more than running it.

_A, _J = attempts.c, jobs.c
_ATTEMPT = _A.id == bindparam("attempt")
_JOB = _J.id == bindparam("job")
_OF_NODE = _A.node == bindparam("of_node")
_AT = bindparam("at", type_=Utc)
_NEEDED_TO_START = (
    "pipeline",
    "array_id",
    "command",
    "cwd",
    "env",
    "memory_mib",
    "timeout_seconds",
    "grace_seconds",
    "on_lost",
    "warning_signal",
    "warning_seconds",
    "nodes",
    "cancel_requested_at",
    "rerun",
)
_OUTCOME = [field.name for field in fields(Outcome)]
_SETTLED = ("id", "job_id", "devices", "cpus", "placed_at", "ended_at", "price", "node_share", "energy_joules")
_EXPECTED = {(BLOCKED,), (WAITING,), (BLOCKED, WAITING), LIVE, OPEN}

_STILL_WAITS = _J.state.concat("") == WAITING  # without this SQLite takes many ids for worse than all that waits
_PLACE = (
    update(jobs)
    .where(_J.id.in_(bindparam("chosen", expanding=True)), _STILL_WAITS, _J.cancel_requested_at.is_(None))
    .values(state=PLACED, attempt=_J.attempt + 1, progress=None)
    .returning(_J.id, _J.attempt, _J.name)
)
_INSERT = insert(attempts)
_CLAIM = (
    update(attempts)
    .where(_ATTEMPT, _OF_NODE, is_one_of(_A.state, (PLACED, STARTING)))
    .values(state=STARTING, incarnation=bindparam("by"), claimed_at=_AT)
    .returning(_A.job_id, _A.queue, _A.devices, _A.preempted_at, _A.peer_ended_at)
)
_CLAIM_JOB = (
    update(jobs)
    .where(_JOB, is_one_of(_J.state, (PLACED, STARTING)))
    .values(state=STARTING)
    .returning(*(_J[name] for name in _NEEDED_TO_START))
)
_STARTED = (
    update(attempts).where(_ATTEMPT, _A.state == STARTING).values(state=RUNNING, started_at=_AT).returning(_A.job_id)
)
_STARTED_JOB = update(jobs).where(_JOB, _J.nodes == 1, _J.state == STARTING).values(state=RUNNING, started_at=_AT)
_LOCK_JOB = select(_J.id).where(_JOB).with_for_update()
_STARTED_GANG = (
    update(jobs)
    .where(
        _JOB,
        _J.state == STARTING,
        ~exists().where(_A.job_id == _J.id, _A.number == _J.attempt, is_one_of(_A.state, (PLACED, STARTING))),
    )
    .values(state=RUNNING, started_at=_AT)
)
_STARTED_UNSAID = update(jobs).where(_JOB, _J.started_at.is_(None)).values(started_at=_AT)
_NEW: dict[str, ColumnElement[Any]] = {
    name: func.coalesce(bindparam(f"new_{name}", type_=_A[name].type), _A[name]) for name in _OUTCOME
}
_IS_UNWANTED = exists().where(_J.id == _A.job_id, _J.cancel_requested_at.is_not(None))
_MADE_ROOM = and_(_A.preempted_at.is_not(None), is_one_of(_NEW["state"], (CANCELLED, FAILED)), ~_IS_UNWANTED)
_PARTED = and_(_A.peer_ended_at.is_not(None), _NEW["state"] == CANCELLED)
_AS_TOLD = {
    "state": case((_MADE_ROOM, PREEMPTED), else_=_NEW["state"]),
    "reason": case((or_(_MADE_ROOM, _PARTED), func.coalesce(_A.reason, _NEW["reason"])), else_=_NEW["reason"]),
    "failure": case((_MADE_ROOM, PREEMPTION), else_=_NEW["failure"]),
}
_FINISH = (
    update(attempts).where(_ATTEMPT, is_one_of(_A.state, LIVE)).values(_NEW | _AS_TOLD).returning(_A.job_id, _A.state)
)
_MOVES = {
    expected: update(jobs)
    .where(_JOB, is_one_of(_J.state, expected))
    .values(
        state=bindparam("new_state"),
        reason=bindparam("new_reason"),
        exit_code=bindparam("new_exit_code"),
        finished_at=_AT,
        losses=_J.losses + bindparam("more_losses"),
    )
    for expected in _EXPECTED
}
_SETTLE = (
    update(attempts)
    .where(_A.job_id.in_(bindparam("jobs", expanding=True)), ~is_one_of(_A.state, LIVE), _A.settled.is_(False))
    .values(settled=True)
    .returning(*(_A[name] for name in _SETTLED))
)
_LIVE_ON = select(_A.id, _A.state, _A.queue, _A.devices).where(_OF_NODE, is_one_of(_A.state, LIVE)).order_by(_A.id)
_LIVE_OF = select(_A.node).where(_A.job_id == bindparam("job"), is_one_of(_A.state, LIVE)).order_by(_A.rank)
