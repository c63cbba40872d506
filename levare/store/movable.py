"""Jobs that nobody has begun and that can move on without a node: into the queue, or to their end."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, exists, or_, select, union_all

from levare.model import BLOCKED, FINAL, NEED_OUTCOMES, WAITING, Blocked, Need
from levare.store.tables import jobs, needs
from levare.store.types import Utc, is_one_of

BATCH = 500
"""The most jobs of one kind of change that one decision takes on, so that a transaction stays short."""


@dataclass(frozen=True)
class Movable:
    blocked: Sequence[Blocked] = ()
    to_cancel: Sequence[str] = ()
    """What somebody wants cancelled."""


def load(connection: Connection, *, now: datetime) -> Movable:
    rows = connection.execute(_MOVABLE, {"now": now}).all()
    unwanted = [row.id for row in rows if row.cancel_requested_at is not None]
    waiting = [row for row in rows if row.cancel_requested_at is None]
    needed = needs_of(connection, [row.id for row in waiting])
    return Movable([Blocked(row.id, needed[row.id], row.start_after) for row in waiting], unwanted)


def needs_of(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, dict[str, Need]]:
    """What each of these jobs needs, by the job that is needed."""
    found: dict[str, dict[str, Need]] = defaultdict(dict)
    if job_ids:
        for row in connection.execute(_NEEDS, {"jobs": job_ids}):
            found[row.job_id][row.needed_id] = Need(row.state, row.outcome)
    return found


# The statements are built once: building one costs more than running it.


def _movable() -> Any:
    """
    Blocked jobs that can move, for all they need is over and it is time, or a need is hopeless; unbegun cancels.

    Each state by the index that serves it: what only waits is not looked at.
    """
    hopeless = _needs_a_job_that(_cannot_end_as_wanted)
    unmet = _needs_a_job_that(lambda needed: ~is_one_of(needed.c.state, FINAL))
    is_time = or_(jobs.c.start_after.is_(None), jobs.c.start_after <= bindparam("now", type_=Utc))
    is_unwanted = jobs.c.cancel_requested_at.is_not(None)
    blocked = select(*_MOVED).where(jobs.c.state == BLOCKED, or_(is_unwanted, hopeless, and_(is_time, ~unmet)))
    has_not_begun = jobs.c.array_next == 0  # an array that has begun ends with its elements
    unwanted = select(*_MOVED).where(jobs.c.state == WAITING, is_unwanted, has_not_begun)
    movable = union_all(blocked, unwanted).subquery()
    return select(movable).order_by(movable.c.created_at, movable.c.id).limit(BATCH)


def _needs_a_job_that(test: Any) -> ColumnElement[bool]:
    needed = jobs.alias("needed")
    return exists().where(needs.c.job_id == jobs.c.id, needs.c.needed_id == needed.c.id, test(needed))


def _cannot_end_as_wanted(needed: Any) -> ColumnElement[bool]:
    fates = [(outcome, state) for outcome in NEED_OUTCOMES for state in FINAL if Need(state, outcome).is_hopeless]
    return or_(*(and_(needs.c.outcome == outcome, needed.c.state == state) for outcome, state in fates))


_MOVED = (jobs.c.id, jobs.c.start_after, jobs.c.cancel_requested_at, jobs.c.created_at)
_MOVABLE = _movable()
_NEEDS = (
    select(needs.c.job_id, needs.c.needed_id, needs.c.outcome, jobs.c.state)
    .join(jobs, jobs.c.id == needs.c.needed_id)
    .where(needs.c.job_id.in_(bindparam("jobs", expanding=True)))
)
