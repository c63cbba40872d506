"""The priority of a job that has not begun: it may be changed as long as that decides something."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from levare.errors import Conflict, Fault
from levare.model import BLOCKED, WAITING
from levare.store import audit, views
from levare.store.audit import Actor
from levare.store.jobs import lane_of
from levare.store.tables import jobs

Row = Mapping[str, Any]


def put(connection: Connection, job_id: str, priority: int, *, actor: Actor, now: datetime) -> Row:
    """Let a job come earlier or later, and return it; Conflict for one that has begun or is being cancelled."""
    known = views.job(connection, job_id)
    if known["priority"] == priority:
        return known
    row = connection.execute(select(jobs).where(jobs.c.id == job_id)).mappings().one()
    change = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.state.in_((BLOCKED, WAITING)), jobs.c.cancel_requested_at.is_(None))
        .values(priority=priority, lane=lane_of({**row, "priority": priority}))
    )
    if not connection.execute(change).rowcount:
        raise _too_late(known, priority)
    about = {"before": str(known["priority"]), "after": str(priority)}
    audit.record(connection, actor, "job.priority_set", job_id, now=now, **about)
    return views.job(connection, job_id)


def _too_late(job: Row, priority: int) -> Conflict:
    stands = "is being cancelled" if job["cancel_requested_at"] else f"is {job['state']}"
    return Conflict(
        f"Job {job['id']} {stands}, so its priority decides nothing any more.",
        "Submit it again with another priority, if it matters.",
        [Fault("priority", "counts only before a job has begun", priority, "a job that is waiting or blocked")],
    )
