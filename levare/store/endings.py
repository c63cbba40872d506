"""What ended, with all that decides what follows from it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, distinct, func, select

from levare.model import LOST, PREEMPTED, Ended
from levare.store.asked import request_of
from levare.store.tables import attempts, jobs


def ended(connection: Connection, rows: Sequence[Any]) -> list[Ended]:
    """These attempts, which are over, with what their jobs say of such an ending."""
    wishes = {row.id: row for row in _of(connection, _WISHES, [row.job_id for row in rows])}
    preemptions = _preemptions(connection, [row.job_id for row in rows if row.state == LOST])
    fates = {row.id: row for row in _of(connection, _FATES, [row.id for row in rows])}
    return [_as_ended(row, fates[row.id], wishes[row.job_id], preemptions.get(row.job_id, 0)) for row in rows]


def _as_ended(row: Any, attempt: Any, job: Any, preemptions: int) -> Ended:
    return Ended(
        row.job_id,
        row.id,
        row.state,
        attempt.exit_code,
        attempt.reason or "",
        attempt.number,
        job.retries,
        job.losses,
        row.cancel_requested_at is not None,
        node=row.node,
        request=request_of(job),
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        family=job.family,
        preemptions=preemptions,
        retry_on=tuple(job.retry_on),
        backoff=timedelta(seconds=job.backoff_seconds),
        memory_growth=job.memory_growth,
        shunned=tuple(job.shunned),
        failure=attempt.failure,
    )


def _preemptions(connection: Connection, job_ids: Sequence[str]) -> Mapping[str, int]:
    """How often each job has made room for another."""
    return {row.job_id: row.times for row in _of(connection, _PREEMPTIONS, job_ids)}


def _of(connection: Connection, query: Any, ids: Sequence[str]) -> Sequence[Any]:
    return connection.execute(query, {"ids": sorted(set(ids))}).all() if ids else []


_IDS = bindparam("ids", expanding=True)
_WISHED = (
    *("id", "family", "retries", "losses", "retry_on", "backoff_seconds", "memory_growth", "shunned"),
    *("gpus", "gpu_memory_mib", "cpus", "memory_mib", "scratch_mib", "gpu_model", "nodes", "spread"),
    *("resources", "require", "prefer", "avoid"),
)
_WISHES = select(*(jobs.c[name] for name in _WISHED)).where(jobs.c.id.in_(_IDS))
_FATE = ("id", "number", "exit_code", "reason", "started_at", "ended_at", "failure")
_FATES = select(*(attempts.c[name] for name in _FATE)).where(attempts.c.id.in_(_IDS))
_PREEMPTIONS = (
    select(attempts.c.job_id, func.count(distinct(attempts.c.number)).label("times"))
    .where(attempts.c.job_id.in_(_IDS), attempts.c.state == PREEMPTED)
    .group_by(attempts.c.job_id)
)
