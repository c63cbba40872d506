"""
The life of an attempt, one guarded write per step.

    placed    beat, when placement has chosen devices
    starting  the worker, by claiming it; again after a crash, for the supervisor's lock decides who starts
    running   the worker, once the supervisor says that the process exists
    (ending)  the worker, from what the supervisor wrote; beat, when the node is lost

Every write names the states it expects; zero rows is an answer: someone was faster, or it is over.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, insert, select, update

from levare.model import (
    CANCELLED,
    FINAL,
    LIVE,
    LOST,
    PLACED,
    RUNNING,
    STARTING,
    WAITING,
    Move,
    Placement,
)
from levare.store.tables import attempts, jobs


@dataclass(frozen=True)
class Claimed:
    """An attempt that is ours to start, with all that its supervisor needs."""

    attempt_id: str
    job_id: str
    queue: str
    command: Sequence[str]
    cwd: str
    env: Mapping[str, str]
    devices: Mapping[str, int]
    memory_mib: int
    timeout_seconds: int | None
    grace_seconds: int
    on_lost: str
    cancel_requested: bool


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
    log_bytes: int = 0


def place(connection: Connection, placements: Iterable[Placement], *, now: datetime) -> list[str]:
    """Give each job that still waits its next attempt; return the attempts that were made."""
    chosen = {placement.job_id: placement for placement in placements}
    taken = connection.execute(
        update(jobs)
        .where(jobs.c.id.in_(chosen), jobs.c.state == WAITING, jobs.c.cancel_requested_at.is_(None))
        .values(state=PLACED, attempt=jobs.c.attempt + 1, progress=None)
        .returning(jobs.c.id, jobs.c.attempt)
    ).all()
    rows = [_new_attempt(chosen[row.id], row.attempt, now) for row in taken]
    if rows:
        connection.execute(insert(attempts), rows)
    return [row["id"] for row in rows]


def _new_attempt(placement: Placement, number: int, now: datetime) -> dict[str, Any]:
    return {
        "id": f"{placement.job_id}-{number}",
        "job_id": placement.job_id,
        "number": number,
        "state": PLACED,
        "node": placement.node,
        "queue": placement.queue,
        "devices": dict(placement.devices),
        "cpus": placement.request.cpus,
        "memory_mib": placement.request.memory_mib,
        "placed_at": now,
        "settled": False,
        "log_bytes": 0,
        "metrics_offset": 0,
        "points": 0,
        "points_dropped": 0,
    }


def claim(connection: Connection, attempt_id: str, *, node: str, incarnation: str, at: datetime) -> Claimed | None:
    """Make a placed attempt ours to start, or return None if it is not, or no longer."""
    claimed = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.node == node, attempts.c.state.in_((PLACED, STARTING)))
        .values(state=STARTING, incarnation=incarnation, claimed_at=at)
        .returning(attempts.c.job_id, attempts.c.queue, attempts.c.devices)
    ).one_or_none()
    if claimed is None:
        return None
    job = connection.execute(
        update(jobs)
        .where(jobs.c.id == claimed.job_id, jobs.c.state.in_((PLACED, STARTING)))
        .values(state=STARTING)
        .returning(*_claim_columns())
    ).one()
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
        job.cancel_requested_at is not None,
    )


def _claim_columns() -> list[Any]:
    names = (
        "command",
        "cwd",
        "env",
        "memory_mib",
        "timeout_seconds",
        "grace_seconds",
        "on_lost",
        "cancel_requested_at",
    )
    return [jobs.c[name] for name in names]


def started(connection: Connection, attempt_id: str, *, at: datetime) -> bool:
    """The process exists. False if the attempt was not `starting`."""
    row = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state == STARTING)
        .values(state=RUNNING, started_at=at)
        .returning(attempts.c.job_id)
    ).one_or_none()
    if row is None:
        return False
    connection.execute(
        update(jobs).where(jobs.c.id == row.job_id, jobs.c.state == STARTING).values(state=RUNNING, started_at=at)
    )
    return True


def finish(connection: Connection, attempt_id: str, outcome: Outcome) -> bool:
    """The attempt is over, whatever it was doing; it holds nothing from here on. False if it was over already."""
    values = {key: value for key, value in vars(outcome).items() if value is not None}
    ended = connection.execute(
        update(attempts)
        .where(attempts.c.id == attempt_id, attempts.c.state.in_(LIVE))
        .values(values)
        .returning(attempts.c.job_id)
    ).one_or_none()
    if ended and outcome.started_at:  # what ended at once was never written down as running
        never_said = and_(jobs.c.id == ended.job_id, jobs.c.started_at.is_(None))
        connection.execute(update(jobs).where(never_said).values(started_at=outcome.started_at))
    return ended is not None


def lose(connection: Connection, attempt_ids: Iterable[str], *, reason: str, now: datetime) -> None:
    """Give up attempts whose node is gone."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id.in_(list(attempt_ids)), attempts.c.state.in_(LIVE))
        .values(state=LOST, reason=reason, ended_at=now)
    )


def cancel_unclaimed(connection: Connection, attempt_ids: Iterable[str], *, now: datetime) -> None:
    """End attempts that were placed and whose job is to be cancelled, unless a worker has claimed them meanwhile."""
    connection.execute(
        update(attempts)
        .where(attempts.c.id.in_(list(attempt_ids)), attempts.c.state == PLACED)
        .values(state=CANCELLED, reason="Cancelled before it started.", ended_at=now)
    )


def move(connection: Connection, moves: Iterable[Move], *, now: datetime) -> None:
    """Carry out each move whose job is still where the decision saw it, and mark its latest attempt as settled."""
    for step in moves:
        values: dict[str, Any] = {"state": step.state, "reason": step.reason, "exit_code": step.exit_code}
        if step.state in FINAL:
            values["finished_at"] = now
        if step.lost:
            values["losses"] = jobs.c.losses + 1
        connection.execute(update(jobs).where(jobs.c.id == step.job_id, jobs.c.state.in_(step.expected)).values(values))
    settled = [step.job_id for step in moves if step.expected == LIVE]
    if settled:
        over = and_(attempts.c.job_id.in_(settled), attempts.c.state.not_in(LIVE), attempts.c.settled.is_(False))
        connection.execute(update(attempts).where(over).values(settled=True))


@dataclass(frozen=True)
class Mine:
    """An attempt that SQL says is alive on a node."""

    attempt_id: str
    state: str
    queue: str
    devices: Mapping[str, int]


def live_on(connection: Connection, node: str) -> list[Mine]:
    """The attempts that a node should have."""
    columns = (attempts.c.id, attempts.c.state, attempts.c.queue, attempts.c.devices)
    rows = connection.execute(
        select(*columns).where(attempts.c.node == node, attempts.c.state.in_(LIVE)).order_by(attempts.c.id)
    )
    return [Mine(*row) for row in rows]


def cancel_wishes(connection: Connection, node: str) -> list[str]:
    """Attempts of a node that somebody wants ended."""
    rows = connection.execute(
        select(attempts.c.id)
        .join(jobs, jobs.c.id == attempts.c.job_id)
        .where(
            attempts.c.node == node, attempts.c.state.in_((STARTING, RUNNING)), jobs.c.cancel_requested_at.is_not(None)
        )
    )
    return [row.id for row in rows]
