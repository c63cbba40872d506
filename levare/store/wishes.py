"""
What is to end though its process goes on: for a person, for a job with a stronger claim, or for its broken gang.

Written down here, carried out by the worker of its node. What no worker has claimed yet ends at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, bindparam, case, exists, func, or_, select, update

from levare.model import CANCELLED, LIVE, PLACED, PREEMPTED, RUNNING, STARTING, Parting, Preemption
from levare.store import audit
from levare.store.audit import BEAT, Actor
from levare.store.tables import attempts, jobs
from levare.store.types import Utc, is_one_of

PEER = "peer"


@dataclass(frozen=True)
class EndWish:
    """An attempt that is to end: `cancelled`, `preempted`, which means after its warning, or as a `peer` of another."""

    attempt_id: str
    kind: str


def preempt(connection: Connection, preemptions: Sequence[Preemption], *, now: datetime) -> list[str]:
    """
    Have attempts make room, each with all of its gang; return the nodes that are to be told.

    One that was told before, or is over, is left as it is.
    """
    told: set[str] = set()
    for each in preemptions:
        asked = {"attempt": each.attempt_id, "job": each.job_id, "for_job": each.for_job, "why": each.reason, "at": now}
        told |= _stop(connection, asked, BEAT)
    return sorted(told)


def requeue(connection: Connection, attempt: str, job: str, why: str, *, actor: Actor, now: datetime) -> None:
    """Have an attempt end, with all of its gang, as if it made room, for no job: its own waits again."""
    _stop(connection, {"attempt": attempt, "job": job, "for_job": None, "why": why, "at": now}, actor)


def _stop(connection: Connection, asked: Mapping[str, Any], actor: Actor) -> set[str]:
    nodes = set(connection.execute(_PREEMPT, asked).scalars())
    if nodes:
        detail = {"attempt": asked["attempt"], "for_job": asked["for_job"], "reason": asked["why"]}
        audit.record(connection, actor, "job.preempted", asked["job"], now=asked["at"], **detail)
    return nodes


def part(connection: Connection, partings: Iterable[Parting], *, now: datetime) -> list[str]:
    """Have attempts end because another part of their gang has; return the nodes that are to be told."""
    told: set[str] = set()
    for each in partings:
        asked = {"attempt": each.attempt_id, "why": each.reason, "at": now}
        told |= set(connection.execute(_PART, asked).scalars())
    return sorted(told)


def end_wishes(connection: Connection, node: str) -> list[EndWish]:
    """Attempts of a node that are to end, and why."""
    return [EndWish(row.id, _kind(row)) for row in connection.execute(_WISHES_ON, {"of_node": node})]


def _kind(row: Any) -> str:
    if row.cancel_requested_at is not None:
        return CANCELLED
    return PEER if row.peer_ended_at is not None else PREEMPTED


def owed(connection: Connection, *, since: datetime) -> dict[str, datetime]:
    """The jobs for which others were told to make room since then, and that have not started after it: job -> when."""
    return {row.preempted_for: row.at for row in connection.execute(_OWED, {"since": since}) if row.preempted_for}


# The statements are built once: building one costs more than running it.

_A, _J = attempts.c, jobs.c
_AT, _WHY = bindparam("at", type_=Utc), bindparam("why")
_told = attempts.alias("told")


def _ending(state: str) -> dict[str, ColumnElement[Any]]:
    """What an attempt that nobody has claimed becomes at once."""
    is_unclaimed = _A.state == PLACED
    return {"state": case((is_unclaimed, state), else_=_A.state), "ended_at": case((is_unclaimed, _AT))}


_PREEMPT = (
    update(attempts)
    .where(
        _A.job_id == bindparam("job"),
        _A.number == select(_told.c.number).where(_told.c.id == bindparam("attempt")).scalar_subquery(),
        is_one_of(_A.state, LIVE),
        _A.preempted_at.is_(None),
    )
    .values(preempted_at=_AT, preempted_for=bindparam("for_job"), reason=_WHY, **_ending(PREEMPTED))
    .returning(_A.node)
)
_PART = (
    update(attempts)
    .where(
        _A.id == bindparam("attempt"),
        is_one_of(_A.state, LIVE),
        _A.peer_ended_at.is_(None),
        _A.preempted_at.is_(None),
    )
    .values(peer_ended_at=_AT, reason=_WHY, **_ending(CANCELLED))
    .returning(_A.node)
)
_WISHES_ON = (
    select(_A.id, _A.peer_ended_at, _J.cancel_requested_at)
    .join(jobs, _J.id == _A.job_id)
    .where(
        _A.node == bindparam("of_node"),
        is_one_of(_A.state, (STARTING, RUNNING)),
        or_(_J.cancel_requested_at.is_not(None), _A.peer_ended_at.is_not(None), _A.preempted_at.is_not(None)),
    )
)
_LATER = attempts.alias("later")
_OWED = (
    select(_A.preempted_for, func.max(_A.preempted_at).label("at"))
    .where(
        _A.preempted_at >= bindparam("since", type_=Utc),
        ~exists().where(_LATER.c.job_id == _A.preempted_for, _LATER.c.placed_at >= _A.preempted_at),
    )
    .group_by(_A.preempted_for)
)
