"""The queue as placement sees it: the lanes of what waits, and of each the first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from levare.decide.placement import OWED
from levare.model import WAITING, DayWindow, Request, Waiting
from levare.store import arrays, wishes
from levare.store.asked import request_of
from levare.store.expectations import Expectations, Histories
from levare.store.tables import jobs
from levare.store.types import Utc

HEADS = 64
"""Of each lane so many jobs are looked at in one decision; the rest ask for the same and come later."""


def load_lanes(
    connection: Connection,
    *,
    most: Callable[[Request], int],
    now: datetime,
    histories: Histories | None = None,
    beside: Histories | None = None,
) -> list[list[Waiting]]:
    """
    The lanes of what waits; of each the first, which may end others.

    `most` says how many could start at the very most; of a lane no more than these are read.
    """
    firsts = connection.execute(_FIRSTS).all()
    behind = [_behind(connection, first, min(most(request_of(first)), HEADS)) for first in firsts]
    rows = [row for lane in behind for row in lane]
    expectations = (histories or Histories()).read(connection, {row.family for row in rows}, beside=beside)
    counts = arrays.startable(connection, rows)
    owed = wishes.owed(connection, since=now - OWED) if rows else {}
    found = [[_counted(job, counts) for job in _lane(lane, expectations)] for lane in behind]
    return [[replace(job, owed_since=owed.get(job.job_id)) for job in lane] for lane in found] if owed else found


def waiting_of(connection: Connection, row: Any) -> Waiting:
    """A row of `jobs` as placement sees it; an array with as many elements as may start."""
    expectations = Histories().read(connection, [row.family])
    return _counted(_as_waiting(row, expectations), arrays.startable(connection, [row]))


def _behind(connection: Connection, first: Any, most: int) -> list[Any]:
    """A lane: its first row, and what comes after it."""
    if most <= 1:
        return [first]
    following = {"lane": first.lane, "since": first.created_at, "first": first.id, "most": most - 1}
    return [first, *connection.execute(_FOLLOWING, following)]


def _lane(rows: Sequence[Any], expectations: Expectations) -> Iterator[Waiting]:
    """The first row is whole; the others differ from it in what makes no lane."""
    first = _as_waiting(rows[0], expectations)
    yield first
    for row in rows[1:]:
        yield Waiting(
            row.id,
            first.request,
            first.priority,
            row.created_at,
            team=first.team,
            project=first.project,
            user=first.user,
            family=row.family,
            expected=expectations.of(row),
            deadline=first.deadline,
            only_between=first.only_between,
            shunned=first.shunned,
        )


def _counted(job: Waiting, counts: Mapping[str, int]) -> Waiting:
    return replace(job, count=counts[job.job_id]) if job.job_id in counts else job


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


_OF_FOLLOWING = ("id", "created_at", "family", "timeout_seconds", "array_size", "array_cap", "array_next")
_OF_WAITING = (
    *("id", "priority", "created_at", "gpus", "gpu_memory_mib", "cpus", "memory_mib", "scratch_mib", "gpu_model"),
    *("resources", "require", "prefer", "avoid", "nodes", "spread", "team", "project", "user", "family"),
    *("timeout_seconds", "deadline", "only_between", "shunned", "lane"),
    *("array_size", "array_cap", "array_next"),
)
_FIRSTS, _FOLLOWING = _firsts(), _following()
