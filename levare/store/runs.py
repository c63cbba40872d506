"""Runs of schedules: tried when one is declared, and made when somebody asks for one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from levare.errors import CanNeverRun, QuotaQueued
from levare.model import Parameters
from levare.store import audit, schedules, views, work
from levare.store.fires import cause_of
from levare.store.jobs import Intake
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


def run_now(intake: Intake, name: str, parameters: Parameters, *, new_id: Callable[[], str]) -> Started:
    """
    Submit the work of a schedule now, for whoever asks; no due instant is touched, and no overlap is looked at.

    `parameters` go before those of the definition.
    """
    definition = schedules.one(intake.connection, name)["definition"]
    cause = cause_of(name, definition, None)
    cause = replace(cause, parameters={**cause.parameters, **parameters})
    made = work.start(intake, definition, cause, new_id=new_id)
    audit.record(intake.connection, intake.actor, "schedule.run", name, now=intake.now, jobs=list(made.jobs))
    return made


def jobs_of(connection: Connection, started: Started) -> list[Row]:
    """The jobs of a run as they stand."""
    return [views.job(connection, job_id) for job_id in started.jobs]
