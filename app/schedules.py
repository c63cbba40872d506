"""Schedules: declare, pause, run, and see what becomes of each due time."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import answer, listed
from app.bodies import Activity, RunRequest
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.jobs import JOB_REFUSALS, shown_job
from app.once import OnceOnly
from app.pages import Cursor, Limit, NameCursor, by, cursor_after, fields_of, page, picked, picking, place_of, selected
from app.schedule_answers import (
    Declared,
    Finding,
    Fire,
    Fires,
    Next,
    Outcome,
    Revision,
    Revisions,
    Schedule,
    ScheduleRun,
    Schedules,
)
from levare.decide import pressure
from levare.decide.belonging import teams_of_work
from levare.decide.due import OUTCOMES
from levare.decide.times import between
from levare.decide.timing import timing_of
from levare.errors import InvalidPipeline, InvalidSchedule, LevareError
from levare.manifest.schedules import ScheduleRequest, within
from levare.manifest.values import Label
from levare.model.access import ADMIN
from levare.pulse import beat_bell
from levare.store import history, outlook, runs, schedules, versions
from levare.store.ids import new_id
from levare.store.jobs import Intake
from levare.store.ownership import visible

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

ScheduleName = Annotated[Label, Path(description="The name of a schedule.", examples=["nightly"])]
ScheduleFields = Annotated[str | None, fields_of(Schedule)]
Outcomes = Annotated[list[Outcome] | None, Query(description="Only these; repeat it for several.")]
Count = Annotated[int, Query(ge=1, le=1000, description="How many due times.", examples=[10])]
_SCHEDULE, _FIRE = tuple(Schedule.model_fields), tuple(Fire.model_fields)
_FINDING, _REVISION = tuple(Finding.model_fields), tuple(Revision.model_fields)
_FURTHEST = timedelta(days=200 * 366)
_PUT_REFUSALS = refusals(InvalidSchedule, InvalidPipeline, *JOB_REFUSALS)


@router.get("", response_model=Schedules)
def list_schedules(call: Asked, cursor: NameCursor = "", limit: Limit = 50, fields: ScheduleFields = None) -> Response:
    """List schedules by name, each with its next due time, its last one and what became of it."""
    names = selected(Schedule, fields)
    with call.database.reading() as connection:
        rows = visible(partial(schedules.page, connection), call.seen, limit=limit + 1, after=cursor)
        found = history.standing(connection, rows[:limit])
    following = by("name")(rows[limit - 1]) if len(rows) > limit else None
    return listed([picked(shown(row), names) for row in found], next_cursor=following)


@router.get("/{name}", response_model=Schedule)
def read_schedule(name: ScheduleName, call: Asked, fields: ScheduleFields = None) -> Response:
    """Look at a schedule."""
    names = selected(Schedule, fields)
    with call.database.reading() as connection:
        row, version = one(connection, name), versions.of(connection, versions.SCHEDULE, name)
    return call.conditions.told(picked(row, names), version)


@router.put("/{name}", response_model=Declared, responses=_PUT_REFUSALS)
def set_schedule(name: ScheduleName, body: ScheduleRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """
    Declare a schedule, or declare it anew: a revision of one object. The same again changes nothing.

    Where its times stay as they were nothing that is owed is lost; new times hold from now on. The answer says, too,
    what its times mean that may not have been meant.
    """
    definition = body.definition(name)
    call.refuse_unless(ADMIN, teams_of_work(definition), what="Its work")
    with call.writing(dry_run=dry_run) as connection:
        _try_out(connection, call, name, definition)
        schedules.put(connection, name, definition, actor=call.actor, now=call.now)
        row = one(connection, name)
        findings = findings_of(call, row, outlook.load(connection, [row], now=call.now))
    _ring(call, dry_run)
    told = [picked(vars(finding), _FINDING) for finding in findings]
    return answer({"schedule": picked(row, _SCHEDULE), "findings": told})


def _try_out(connection: Connection, call: Call, name: str, definition: Mapping[str, Any]) -> None:
    """What could never be submitted is refused, unless it is declared so already."""
    known = schedules.get(connection, name)
    if known and known["definition"] == definition:
        return
    intake = Intake(connection, call.actor, now=call.now, rules=call.rules)
    try:
        runs.try_out(intake, name, definition, new_id=new_id)
    except LevareError as error:
        raise within(error, "job" if "job" in definition else "pipeline") from None


def findings_of(call: Call, row: Mapping[str, Any], facts: outlook.Outlook) -> list[pressure.Finding]:
    """What is to be said of one schedule alone."""
    plan = facts.plan_of(row["name"])
    return [
        *pressure.of_times(plan.name, plan.timing, now=call.now, declared_at=row["changed_at"]),
        *pressure.of_work(plan, facts.nodes, call.rules.licences),
    ]


@router.delete("/{name}", response_model=Schedule)
def remove_schedule(name: ScheduleName, call: Asked, dry_run: DryRun = False) -> Response:
    """Forget a schedule. Its fires, its revisions and its jobs stay."""
    with call.writing(dry_run=dry_run) as connection:
        row = one(connection, name)
        schedules.remove(connection, name, actor=call.actor, now=call.now)
    _ring(call, dry_run)
    return answer(picked(row, _SCHEDULE))


@router.put("/{name}/state", response_model=Schedule)
def set_schedule_state(name: ScheduleName, body: Activity, call: Asked, dry_run: DryRun = False) -> Response:
    """Pause a schedule, so that whatever is due is skipped with this reason, or have it run again what is due."""
    with call.writing(dry_run=dry_run) as connection:
        if body.pauses:
            schedules.pause(connection, name, reason=body.reason, actor=call.actor, now=call.now)
        else:
            schedules.resume(connection, name, actor=call.actor, now=call.now)
        row = one(connection, name)
    _ring(call, dry_run)
    return answer(picked(row, _SCHEDULE))


@router.post(
    "/{name}/run",
    status_code=HTTPStatus.CREATED,
    response_model=ScheduleRun,
    responses={200: {"model": ScheduleRun, "description": "A dry run: as it would be."}}
    | refusals(InvalidPipeline, *JOB_REFUSALS),
)
def run_schedule(
    name: ScheduleName, body: RunRequest, call: Asked, once: OnceOnly, dry_run: DryRun = False
) -> Response:
    """
    Submit the work of a schedule now, as a run of whoever asks.

    Its due times stay as they are, also while it is paused, and overlap is not looked at.
    """
    response = once.answer(lambda connection: _run(connection, name, body, call, dry_run), dry_run=dry_run)
    _ring(call, dry_run)
    return response


def _run(connection: Connection, name: str, body: RunRequest, call: Call, dry_run: bool) -> Response:
    intake = Intake(connection, call.actor, now=call.now, rules=call.rules)
    made = runs.run_now(intake, name, body.parameters, new_id=new_id)
    jobs = [shown_job(job, call) for job in runs.jobs_of(connection, made)]
    run = {"schedule": name, "pipeline": made.pipeline, "jobs": jobs}
    if dry_run:
        return answer(run)
    where = f"/v1/pipelines/{made.pipeline}" if made.pipeline else f"/v1/jobs/{made.jobs[0]}"
    return answer(run, HTTPStatus.CREATED, {"Location": where})


@router.get("/{name}/fires", response_model=Fires)
def list_fires(
    name: ScheduleName, call: Asked, outcome: Outcomes = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List what became of its due times, the newest first, also of a schedule that was removed."""
    place = place_of(cursor)
    before, outcomes = place[0] if place else None, outcome or OUTCOMES
    with call.database.reading() as connection:
        rows = history.fires_of(connection, name, limit=limit + 1, before=before, outcomes=outcomes)
        if not rows and not history.has_fired(connection, name):
            schedules.one(connection, name)
    return page(rows, limit, _after_fire, picking(_FIRE))


def _after_fire(row: Mapping[str, Any]) -> str:
    return cursor_after({"created_at": row["due_at"], "id": "due"})


@router.get("/{name}/next", response_model=Next)
def list_next(name: ScheduleName, call: Asked, count: Count = 10) -> Response:
    """List the next due times, by UTC and by the clocks of its zone."""
    with call.database.reading() as connection:
        row = schedules.one(connection, name)
    timing = timing_of(row["definition"])
    dues = between(timing.rule, row["settled_to"], call.now + _FURTHEST, count)
    items = [
        {
            "due_at": due_at,
            "local": due_at.astimezone(timing.zone).isoformat(),
            "fires_at": timing.fires_at(name, due_at),
        }
        for due_at in dues
    ]
    state = history.state_of_schedule(row)
    return answer({"schedule": name, "zone": timing.zone.key, "state": state, "items": items})


@router.get("/{name}/revisions", response_model=Revisions)
def list_revisions(name: ScheduleName, call: Asked, limit: Limit = 50) -> Response:
    """List how it was declared, the newest first, also of a schedule that was removed."""
    with call.database.reading() as connection:
        rows = history.of_schedule(connection, name, limit=limit)
    return listed([picked(row, _REVISION) for row in rows])


def one(connection: Connection, name: str) -> dict[str, Any]:
    """A schedule as it is shown."""
    return shown(history.standing(connection, [schedules.one(connection, name)])[0])


def shown(row: Mapping[str, Any]) -> dict[str, Any]:
    last = row["last"] and picked(row["last"], _FIRE)
    return {**row, "zone": timing_of(row["definition"]).zone.key, "last": last}


def _ring(call: Call, dry_run: bool) -> None:
    if not dry_run:
        call.pulse.ring(beat_bell())
