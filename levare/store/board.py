"""What pages show at a glance: how many jobs are in which state, and who had which GPU lately."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, or_, select

from levare.model import FINAL, LIVE
from levare.store.tables import attempts, jobs
from levare.store.types import Utc

Row = Mapping[str, Any]


def counts(connection: Connection, seen: Collection[str] | None, *, since: datetime) -> dict[str, int]:
    """State -> how many jobs of these teams; of the final ones those that ended from then on."""
    query = _COUNTS if seen is None else _COUNTS.where(jobs.c.team.in_(seen))
    return {row.state: row.number for row in connection.execute(query, {"since": since})}


def spans(connection: Connection, *, since: datetime, most: int = 2000) -> Sequence[Row]:
    """The newest attempts that lived at any time from then on, with whose they are, in the order of their placement."""
    found = connection.execute(_SPANS, {"since": since, "most": most}).mappings()
    return [dict(row) for row in found][::-1]


_SINCE = bindparam("since", type_=Utc)
_COUNTS = (
    select(jobs.c.state, func.count().label("number"))
    .where(or_(jobs.c.state.not_in(FINAL), jobs.c.finished_at >= _SINCE))
    .group_by(jobs.c.state)
)
_SPANS = (
    select(
        *(attempts.c[name] for name in ("id", "job_id", "number", "state", "node", "devices")),
        *(attempts.c[name] for name in ("placed_at", "started_at", "ended_at", "failure")),
        *(jobs.c[name] for name in ("name", "team", "user", "progress")),
    )
    .join_from(attempts, jobs, jobs.c.id == attempts.c.job_id)
    .where(or_(attempts.c.state.in_(LIVE), attempts.c.ended_at >= _SINCE))
    .order_by(attempts.c.placed_at.desc(), attempts.c.id.desc())
    .limit(bindparam("most"))
)
