"""Runs of schedules: tried when one is declared, and made when somebody asks for one."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy.exc import IntegrityError

from levare.errors import CanNeverRun, QuotaQueued
from levare.model import Parameters
from levare.store import audit, jobs, schedules, views, work
from levare.store.fires import cause_of
from levare.store.jobs import Intake
from levare.store.tables import jobs as jobs_table
from levare.store.work import Started

Row = Mapping[str, Any]


def try_out(intake: Intake, name: str, definition: Row, *, new_id: Callable[[], str]) -> None:
    """
    Raise whatever a submit of the work would raise, and keep nothing of it.

    That no node has room for it, or no queue, is no error: both may be otherwise when it is due.
    """
    with intake.connection.begin_nested() as trial:
        try:
            work.start(intake, definition, cause_of(name, definition, None), new_id=new_id)
        except (CanNeverRun, QuotaQueued):
            pass
        finally:
            trial.rollback()


def run_now(
    intake: Intake, name: str, parameters: Parameters, *, key: str | None, new_id: Callable[[], str]
) -> Started:
    """
    Submit the work of a schedule now, for whoever asks; no due instant is touched, and no overlap is looked at.

    `parameters` go before those of the definition. The same key gives the same run.
    """
    connection, actor, now = intake.connection, intake.actor, intake.now
    definition = schedules.one(connection, name)["definition"]
    digest = sha256(json.dumps(["schedule", name, parameters], sort_keys=True).encode()).hexdigest()
    known = jobs.known_job(connection, digest, actor, key) if key else None
    if known:
        return _started(connection, known)
    cause = cause_of(name, definition, None)
    cause = replace(cause, parameters={**cause.parameters, **parameters})
    try:
        with connection.begin_nested():
            made = work.start(intake, definition, cause, new_id=new_id)
            audit.record(connection, actor, "schedule.run", name, now=now, jobs=list(made.jobs))
            if key:
                jobs.record_key(connection, actor, key, digest=digest, job_id=made.jobs[0], now=now)
    except IntegrityError:  # the same key came at the same instant, and was faster
        known = jobs.known_job(connection, digest, actor, key) if key else None
        if known is None:
            raise
        return _started(connection, known)
    return made


def _started(connection: Connection, job: Row) -> Started:
    """The run that a job belongs to."""
    if job["pipeline"] is None:
        return Started([job["id"]])
    return Started(connection.execute(_OF_PIPELINE, {"of": job["pipeline"]}).scalars().all(), job["pipeline"])


def jobs_of(connection: Connection, started: Started) -> list[Row]:
    """The jobs of a run as they stand."""
    return [views.job(connection, job_id) for job_id in started.jobs]


_OF_PIPELINE = (
    select(jobs_table.c.id)
    .where(jobs_table.c.pipeline == bindparam("of"), jobs_table.c.array_id.is_(None))
    .order_by(jobs_table.c.step)
)
