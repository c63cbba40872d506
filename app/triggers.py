"""Triggers: what starts a job or a pipeline when something happens, what holds it back, and what became of it all."""

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from app.answers import answer
from app.bodies import Activity
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.jobs import JOB_REFUSALS
from app.pages import (
    Cursor,
    Limit,
    NameCursor,
    by,
    by_number_and,
    fields_of,
    number_of,
    page,
    picked,
    selected,
)
from app.trigger_answers import Activation, Activations, Simulation, Trigger, Triggers, WhyNot
from levare.decide.belonging import NOBODY, teams_of_work, watched_by
from levare.errors import InvalidPipeline
from levare.manifest.patterns import SINCE
from levare.manifest.triggers import TriggerRequest
from levare.manifest.values import Label, Time
from levare.model.access import ADMIN, VIEWER
from levare.pulse import beat_bell
from levare.store import activations, simulation, triggers, versions, why_not
from levare.store.jobs import Intake
from levare.store.ownership import visible
from levare.written import duration_seconds

router = APIRouter(prefix="/v1/triggers", tags=["triggers"])

TriggerName = Annotated[Label, Path(description="The name of a trigger.", examples=["new-data"])]
TriggerFields = Annotated[str | None, fields_of(Trigger)]
Outcome = Annotated[
    Literal["run", "held", "pending"] | None, Query(description="Only with this outcome.", examples=["held"])
]
Since = Annotated[
    str,
    Query(pattern=SINCE, description="How far back, such as 12h or 30d.", examples=["30d"]),
]
Moment = Annotated[Time | None, Query(description="The time that is asked about; now by default.")]
_FIELDS = tuple(Trigger.model_fields)
_ACTIVATION = tuple(Activation.model_fields)
_MOST_SHOWN = 500


@router.get("", response_model=Triggers)
def list_triggers(call: Asked, cursor: NameCursor = "", limit: Limit = 50, fields: TriggerFields = None) -> Response:
    """List triggers by name."""
    names = selected(Trigger, fields)
    with call.database.reading() as connection:
        rows = visible(partial(triggers.page, connection), call.seen, limit=limit + 1, after=cursor)
        counts = activations.counts(connection, [row["name"] for row in rows], now=call.now)
    return page(rows, limit, by("name"), lambda row: picked({**row, **counts[row["name"]]}, names))


@router.get("/{name}", response_model=Trigger)
def read_trigger(name: TriggerName, call: Asked, fields: TriggerFields = None) -> Response:
    """Look at a trigger."""
    names = selected(Trigger, fields)
    with call.database.reading() as connection:
        row = _whole(call, connection, triggers.one(connection, name))
        version = versions.of(connection, versions.TRIGGER, name)
    return call.conditions.told(picked(row, names), version)


@router.put("/{name}", response_model=Trigger, responses=refusals(InvalidPipeline, *JOB_REFUSALS))
def set_trigger(name: TriggerName, body: TriggerRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """
    Declare a trigger, or declare it anew, as a revision; the same again changes nothing.

    Where what it looks for is new, that counts from now on.
    """
    definition = body.definition()
    _refuse_foreign(call, definition)
    with call.writing(dry_run=dry_run) as connection:
        intake = Intake(connection, call.actor, now=call.now, rules=call.rules)
        row = _whole(call, connection, triggers.put(connection, name, definition, intake=intake))
    return _changed(call, row, dry_run=dry_run)


@router.put("/{name}/state", response_model=Trigger)
def set_trigger_state(name: TriggerName, body: Activity, call: Asked, dry_run: DryRun = False) -> Response:
    """Pause a trigger, or let it go on. What happens while it is paused is held, and stays so."""
    with call.writing(dry_run=dry_run) as connection:
        if body.pauses:
            row = triggers.pause(connection, name, reason=body.reason, actor=call.actor, now=call.now)
        else:
            row = triggers.resume(connection, name, actor=call.actor, now=call.now)
        row = _whole(call, connection, row)
    return _changed(call, row, dry_run=dry_run)


@router.delete("/{name}", response_model=Trigger)
def remove_trigger(name: TriggerName, call: Asked, dry_run: DryRun = False) -> Response:
    """Remove a trigger, as a revision. What waits is held; its jobs and what is known of it stay."""
    with call.writing(dry_run=dry_run) as connection:
        row = _whole(call, connection, triggers.one(connection, name))
        triggers.remove(connection, name, actor=call.actor, now=call.now)
    return _changed(call, row, dry_run=dry_run)


@router.get("/{name}/activations", response_model=Activations)
def list_activations(
    name: TriggerName, call: Asked, *, outcome: Outcome = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """List what has happened to a trigger and what became of it, newest first; also of one that was removed."""
    place = number_of(cursor)
    with call.database.reading() as connection:
        rows = activations.find(connection, name, limit=limit + 1, outcome=outcome, after=place)
        if not rows and place is None and outcome is None:
            triggers.one(connection, name)
    return page(rows, limit, by_number_and("at"), _activation)


@router.get("/{name}/simulate", response_model=Simulation)
def simulate_trigger(name: TriggerName, call: Asked, since: Since = "30d") -> Response:
    """
    Say what a trigger, as it is declared now, would have done with what has happened.

    The past is fed through the very decisions that beat takes. A run is taken to last as long as its jobs usually do.
    Of files, resources and metrics in a window the past is what was recorded of this trigger.
    """
    begin = call.now - timedelta(seconds=duration_seconds(since))
    with call.database.reading() as connection:
        found = simulation.replay(connection, name, since=begin, until=call.now)
    items = found.simulation.items
    shown = [
        {
            "key": each.occurrence.key,
            "at": each.occurrence.at,
            "outcome": each.outcome,
            "reason": each.reason,
            "decided_at": each.decided_at,
            "run": each.run,
        }
        for each in items[-_MOST_SHOWN:]
    ]
    facts = {"trigger": name, "since": found.since, "until": found.until, "source": found.source}
    sums = {"runs": found.simulation.runs, "occurrences": len(items), "totals": dict(found.simulation.totals)}
    return answer({**facts, "run_seconds": found.lasts.total_seconds(), **sums, "items": shown})


@router.get("/{name}/why", response_model=WhyNot)
def why_trigger(name: TriggerName, call: Asked, at: Moment = None) -> Response:
    """Say why a trigger did, or did not, start something at a time."""
    moment = at or call.now
    with call.database.reading() as connection:
        found = why_not.why(connection, name, moment)
    return answer(
        {
            "trigger": name,
            "at": moment,
            "message": found.message,
            "before": found.before and _activation(found.before),
            "after": found.after and _activation(found.after),
            "not_for_it": [
                {**picked(event, ("id", "source", "type", "received_at")), "reason": reason}
                for event, reason in found.strangers
            ],
        }
    )


def _refuse_foreign(call: Call, definition: Mapping[str, Any]) -> None:
    """Its work is for a team, and what it looks for must be no other team's."""
    call.refuse_unless(ADMIN, teams_of_work(definition), what="Its work")
    watched = watched_by(definition)
    if watched != NOBODY:
        call.refuse_unless(VIEWER, watched or (), what="What it looks for")


def _changed(call: Call, row: Mapping[str, Any], *, dry_run: bool) -> Response:
    if not dry_run:
        call.pulse.ring(beat_bell())
    return answer(picked(row, _FIELDS))


def _whole(call: Call, connection: Any, row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, **activations.counts(connection, [row["name"]], now=call.now)[row["name"]]}


def _activation(row: Mapping[str, Any]) -> dict[str, Any]:
    return picked({**row, "job": row["job_id"]}, _ACTIVATION)
