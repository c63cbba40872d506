"""Schedules together: what is wrong with them, and the load that they bring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.answers import answer
from app.call import Asked, Call
from app.document import refusals
from app.pages import picked
from app.schedule_answers import CalendarAnswer, CalendarHour, Finding, Findings, Slot
from app.schedules import ScheduleName, findings_of
from levare.decide import outlook as decide
from levare.decide import pressure
from levare.decide.belonging import teams_of_work
from levare.decide.outlook import HOUR, Start
from levare.errors import Contradiction, Fault
from levare.store import history, outlook, schedules
from levare.store.outlook import Outlook

router = APIRouter(prefix="/v1/schedules", tags=["schedules"])

Days = Annotated[int, Query(ge=1, le=31, description="How many days from now on.", examples=[7])]
Gpus = Annotated[int | None, Query(ge=1, le=4096, description="Look for a slot with so many GPUs.", examples=[2])]
Seconds = Annotated[
    int | None, Query(ge=60, le=31 * 86400, description="Look for a slot that is so long.", examples=[3600])
]
Row = Mapping[str, Any]
_FINDING, _HOUR, _SLOT = (tuple(model.model_fields) for model in (Finding, CalendarHour, Slot))
_MOST_SCHEDULES = 10_000
_MOST_STARTS = 1000


@router.get("/lint", response_model=Findings)
def lint_schedules(call: Asked) -> Response:
    """
    Look over all schedules: times that nobody meant, work that no node can run, crowds, and windows in the way.

    Crowds, GPUs and windows are looked at for the next 7 days, without schedules that are paused.
    """
    rows, facts = _load(call)
    own = [finding for row in rows for finding in findings_of(call, row, facts)]
    return answer(_told(_seen([*own, *_pressure(call, rows, facts)], names_seen(call, rows))))


@router.get("/{name}/lint", response_model=Findings)
def lint_schedule(name: ScheduleName, call: Asked) -> Response:
    """Look over one schedule, also at what it and others do to each other."""
    rows, facts = _load(call)
    row = next((row for row in rows if row["name"] == name), None)
    if row is None:
        raise schedules.unknown(name)
    together = [each for each in _pressure(call, rows, facts) if name in each.schedules]
    return answer(_told(_seen([*findings_of(call, row, facts), *together], names_seen(call, rows))))


def names_seen(call: Call, rows: Sequence[Row]) -> set[str]:
    """Of those that whoever asks may know."""
    return {row["name"] for row in rows if call.seen is None or teams_of_work(row["definition"]) <= set(call.seen)}


def _seen(found: Sequence[pressure.Finding], names: set[str]) -> list[pressure.Finding]:
    """What is about others too is left out, for it names them."""
    return [finding for finding in found if names.issuperset(finding.schedules)]


def _load(call: Call) -> tuple[Sequence[Row], Outlook]:
    with call.database.reading() as connection:
        rows = schedules.find(connection, limit=_MOST_SCHEDULES)
        return rows, outlook.load(connection, rows, now=call.now)


def _pressure(call: Call, rows: Sequence[Row], facts: Outlook) -> list[pressure.Finding]:
    starts = _starts(rows, facts, call.now, call.now + pressure.AHEAD)
    return pressure.of_pressure(starts, facts.nodes, call.rules.licences, fleet=facts.fleet)


def _starts(rows: Sequence[Row], facts: Outlook, now: datetime, upto: datetime) -> list[Start]:
    """Of those that will run what is due."""
    active = {row["name"] for row in rows if history.state_of_schedule(row) == history.ACTIVE}
    return decide.expected_starts([plan for plan in facts.plans if plan.name in active], now=now, upto=upto)


def _told(found: Sequence[pressure.Finding]) -> dict[str, Any]:
    """Errors come first."""
    ordered = sorted(found, key=lambda finding: pressure.LEVELS.index(finding.level))
    return {"items": [picked(vars(finding), _FINDING) for finding in ordered]}


@dataclass(frozen=True)
class Ahead:
    """What schedules bring until a time, of all teams; `kept` are the GPUs of windows."""

    rows: Sequence[Row]
    starts: Sequence[Start]
    kept: Sequence[decide.Hold]
    hours: Sequence[decide.Hour]
    fleet: float


def look_ahead(call: Call, upto: datetime) -> Ahead:
    rows, facts = _load(call)
    starts = _starts(rows, facts, call.now, upto)
    kept = decide.kept_by_windows(facts.nodes)
    count = (upto - call.now) // HOUR + 1
    return Ahead(
        rows, starts, kept, decide.hours(starts, kept, fleet=facts.fleet, now=call.now, count=count), facts.fleet
    )


@router.get("/calendar", response_model=CalendarAnswer, responses=refusals(Contradiction))
def read_calendar(call: Asked, days: Days = 7, gpus: Gpus = None, seconds: Seconds = None) -> Response:
    """
    See the load that schedules bring: their starts, the GPUs that they hold hour by hour, and where that is too much.

    With `gpus` and `seconds` it says, too, when so many GPUs are free for so long with the least load beside them.
    """
    if (gpus is None) != (seconds is None):
        name = "gpus" if gpus is None else "seconds"
        fault = Fault(name, "is required with the other", None, "gpus and seconds, or none of them")
        raise Contradiction("A slot has a number of GPUs and a length.", f"Give {name} too.", [fault])
    upto = call.now + timedelta(days=days)
    ahead = look_ahead(call, upto)
    names = names_seen(call, ahead.rows)
    shown = [start for start in ahead.starts if start.plan.name in names]
    slot = None
    if gpus and seconds:
        held = [*decide.holds_of(ahead.starts, is_promised=True), *ahead.kept]
        length = timedelta(seconds=seconds)
        slot = decide.best_slot(held, gpus, length, fleet=ahead.fleet, now=call.now, upto=upto)
    return answer(
        {
            "begins": call.now,
            "ends": upto,
            "fleet_gpus": ahead.fleet,
            "starts": [_start(start) for start in shown[:_MOST_STARTS]],
            "starts_left_off": max(0, len(shown) - _MOST_STARTS),
            "hours": [_hour(hour, names) for hour in ahead.hours],
            "slot": slot and picked(vars(slot), _SLOT),
        }
    )


def _hour(hour: decide.Hour, names: set[str]) -> dict[str, Any]:
    return picked({**vars(hour), "schedules": [name for name in hour.schedules if name in names]}, _HOUR)


def _start(start: Start) -> dict[str, Any]:
    taken = start.plan.taken
    return {
        "schedule": start.plan.name,
        "due_at": start.due_at,
        "starts_at": start.at,
        "until": start.until,
        "count": start.count,
        "gpus": start.plan.gpus,
        "typical_seconds": taken.typical.total_seconds(),
        "promised_seconds": taken.promised.total_seconds(),
        "known": start.plan.is_known,
    }
