"""Alerts: what is not as it should be, since when, and who looks after it; and silences."""

from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from app.alert_answers import Alert, Alerts, Silence, Silences
from app.answers import answer, listed
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.once import OnceOnly
from app.pages import (
    Cursor,
    Limit,
    by_number_and,
    fields_of,
    number_of,
    page,
    picked,
    picking,
    selected,
)
from levare.errors import Conflict, Contradiction, Fault
from levare.manifest.alerts import Severity
from levare.manifest.jobs import JobId
from levare.manifest.patterns import NODE, ONE_LINE
from levare.manifest.values import Body, Label, Time
from levare.model.access import MEMBER, VIEWER
from levare.store import alerts, silences, versions
from levare.store.alerts import AlertFilter
from levare.store.ownership import team_of_silence

router = APIRouter(tags=["alerts"])

_LONGEST_SILENCE = timedelta(days=366)
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of an alert.", examples=[17])]
SilenceNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of a silence.", examples=[3])]
AlertFields = Annotated[str | None, fields_of(Alert)]
SilenceFields = Annotated[str | None, fields_of(Silence)]
State = Annotated[Literal["open", "ended", "any"], Query(description="Which alerts.", examples=["any"])]
OfRule = Annotated[Label | None, Query(description="Only of this rule.", examples=["hang"])]
OfSeverity = Annotated[Severity | None, Query(description="Only of this severity.", examples=["critical"])]
OfJob = Annotated[JobId | None, Query(description="Only about this job.", examples=["k3v9x2m1qa"])]
OfNode = Annotated[str | None, Query(pattern=NODE, description="Only about this node.", examples=["node-a"])]
OfTeam = Annotated[Label | None, Query(description="Only about jobs of this team.", examples=["vision"])]
_SILENCING: Any = {200: {"model": Silence, "description": "A dry run: as it would be."}} | refusals(Contradiction)
_ALERT, _SILENCE = tuple(Alert.model_fields), tuple(Silence.model_fields)


class Acknowledgement(Body):
    """That somebody looks after it."""

    note: str = Field("", pattern=ONE_LINE, max_length=500, description="For people.", examples=["I am on it."])


class SilenceRequest(Body):
    """Of which alerts nobody is told, until when, and why. All that is said must be so."""

    rule: Label | None = Field(None, description="Of this rule.", examples=["gpu-idle"])
    job: JobId | None = Field(None, description="About this job.", examples=["k3v9x2m1qa"])
    team: Label | None = Field(None, description="About jobs of this team.", examples=["vision"])
    node: Annotated[str, Field(pattern=NODE)] | None = Field(
        None, description="About this node, or what runs there.", examples=["node-a"]
    )
    ends_at: Time = Field(description="Until when; at most a year from now.")
    reason: str = Field(pattern=r"^[^\x00-\x1f\x7f]+$", max_length=500, description="Why.", examples=["A new driver."])


@router.get("/v1/alerts", response_model=Alerts)
def list_alerts(
    call: Asked,
    *,
    state: State = "open",
    rule: OfRule = None,
    severity: OfSeverity = None,
    job: OfJob = None,
    node: OfNode = None,
    team: OfTeam = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    fields: AlertFields = None,
) -> Response:
    """List alerts, newest first; those that are open, unless `state` says otherwise."""
    names, place = selected(Alert, fields), number_of(cursor)
    wanted = AlertFilter(None if state == "any" else state == "open", rule, severity, job, node, team, call.seen)
    with call.database.reading() as connection:
        rows = alerts.find(connection, wanted, limit=limit + 1, after=place)
    return page(rows, limit, by_number_and("begun_at"), picking(names))


@router.get("/v1/alerts/{number}", response_model=Alert)
def read_alert(number: Number, call: Asked, fields: AlertFields = None) -> Response:
    """Look at an alert."""
    names = selected(Alert, fields)
    with call.database.reading() as connection:
        row, version = alerts.one(connection, number), versions.of(connection, versions.ALERT, number)
    return call.conditions.told(picked(row, names), version)


@router.put("/v1/alerts/{number}/acknowledgement", response_model=Alert, responses=refusals(Conflict))
def acknowledge_alert(number: Number, body: Acknowledgement, call: Asked, dry_run: DryRun = False) -> Response:
    """Say that you look after an open alert. It stays open; of two who say so the first is kept."""
    with call.writing(dry_run=dry_run) as connection:
        row = alerts.acknowledge(connection, number, note=body.note, actor=call.actor, now=call.now)
    return answer(picked(row, _ALERT))


@router.get("/v1/silences", response_model=Silences)
def list_silences(call: Asked) -> Response:
    """List the silences that have not ended, by their end."""
    with call.database.reading() as connection:
        found = silences.find(connection, now=call.now)
        rows = [row for row in found if call.actor.access.has_in_all(VIEWER, team_of_silence(connection, row))]
    return listed([picked(row, _SILENCE) for row in rows])


@router.post("/v1/silences", response_model=Silence, status_code=201, responses=_SILENCING)
def add_silence(body: SilenceRequest, call: Asked, once: OnceOnly, dry_run: DryRun = False) -> Response:
    """Have nobody told of some alerts for a time; they are recorded all the same."""
    said = {name: getattr(body, name) for name in ("rule", "job", "team", "node")}
    if not any(said.values()):
        fault = Fault("rule", "must be said, or job, team or node", None, "at least one of rule, job, team and node")
        raise Contradiction("The silence says of nothing what it is about.", "To stop a rule, pause it.", [fault])
    if not call.now < body.ends_at <= call.now + _LONGEST_SILENCE:
        fault = Fault("ends_at", "must be in the future, within a year", body.ends_at.isoformat(), "now to a year")
        raise Contradiction("The silence would not end within a year from now.", "Set a time to come.", [fault])
    return once.answer(lambda connection: _silenced(connection, said, body, call, dry_run), dry_run=dry_run)


def _silenced(
    connection: Connection, said: Mapping[str, Any], body: SilenceRequest, call: Call, dry_run: bool
) -> Response:
    call.refuse_unless(MEMBER, team_of_silence(connection, said), what="What it silences")
    row = silences.add(connection, said, ends_at=body.ends_at, reason=body.reason, actor=call.actor, now=call.now)
    if dry_run:
        return answer(picked(row, _SILENCE))
    return answer(picked(row, _SILENCE), HTTPStatus.CREATED, {"Location": f"/v1/silences/{row['number']}"})


@router.get("/v1/silences/{number}", response_model=Silence)
def read_silence(number: SilenceNumber, call: Asked, fields: SilenceFields = None) -> Response:
    """Look at a silence, even if it has ended."""
    names = selected(Silence, fields)
    with call.database.reading() as connection:
        row, version = silences.one(connection, number), versions.of(connection, versions.SILENCE, number)
    return call.conditions.told(picked(row, names), version)


@router.delete("/v1/silences/{number}", response_model=Silence)
def remove_silence(number: SilenceNumber, call: Asked, dry_run: DryRun = False) -> Response:
    """End a silence now; one that has ended stays as it is."""
    with call.writing(dry_run=dry_run) as connection:
        row = silences.remove(connection, number, actor=call.actor, now=call.now)
    return answer(picked(row, _SILENCE))
