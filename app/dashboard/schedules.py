"""What runs by itself: when it is due, what became of each time, and whether it takes longer or does worse."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from typing import Any

from app.calendar import Ahead, look_ahead, names_seen
from app.dashboard import words
from app.dashboard.desk import View
from levare.decide.belonging import teams_of_work
from levare.decide.outlook import HOUR, Hour
from levare.decide.times import between
from levare.decide.timing import timing_of
from levare.store import comparing, history, schedules
from levare.store.ownership import visible

Row = Mapping[str, Any]

_MOST, _MOST_FIRES, _MOST_RUNS, _MOST_METRICS, _MOST_REVISIONS = 200, 40, 40, 6, 20
_NEXT = 8
_WEEK = timedelta(days=7)
_LEVELS, _TALLEST = 4, 40


def load(view: View) -> dict[str, Any]:
    call = view.call
    with call.database.reading() as connection:
        rows = visible(partial(schedules.page, connection), call.seen, limit=_MOST + 1, after="")
        found = history.standing(connection, rows[:_MOST])
    return {
        "schedules": [{**_shown(row), "may_act": view.may_for(teams_of_work(row["definition"]))} for row in found],
        "is_cut": len(rows) > _MOST,
        **_calendar(view),
    }


def _shown(row: Row) -> dict[str, Any]:
    definition = row["definition"]
    return {
        **row,
        "times": times_of(definition),
        "zone": timing_of(definition).zone.key,
        "teams": sorted(teams_of_work(definition)),
        "work": "pipeline" if "pipeline" in definition else "job",
    }


def times_of(definition: Row) -> str:
    """When it is due, as it was written."""
    if definition.get("cron"):
        return f"cron {definition['cron']}"
    if definition.get("every_seconds"):
        return f"every {words.exactly(definition['every_seconds'])}"
    return f"once, {words.clock(datetime.fromisoformat(str(definition['at'])))}"


def _calendar(view: View) -> dict[str, Any]:
    """The week to come, hour by hour."""
    now = view.call.now
    ahead = view.desk.kept("calendar", lambda: look_ahead(view.call, now + _WEEK))
    week = _Week(ahead, names_seen(view.call, ahead.rows), now)
    today = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today + timedelta(days=day) for day in range(7)]
    return {
        "days": [(day, [week.hour(day + HOUR * hour) for hour in range(24)]) for day in days],
        "fleet_gpus": ahead.fleet,
    }


@dataclass(frozen=True)
class _Week:
    """What is expected, and the names of those schedules that this reader may know."""

    ahead: Ahead
    names: set[str]
    now: datetime

    def hour(self, at: datetime) -> dict[str, Any]:
        load, begun = self._loads.get(at), self._starts.get(at, set())
        gpus, fleet = load.gpus if load else 0.0, self.ahead.fleet
        return {
            "level": min(_LEVELS, int(_LEVELS * gpus / fleet) + 1) if gpus and fleet else 0,
            "gpus": gpus,
            "is_past": at + HOUR <= self.now,
            "is_conflict": bool(load and load.is_conflict),
            "starts": bool(begun),
            "about": f"{at:%a %b %-d, %H:00} UTC: {'; '.join(self._said(load, begun)) or 'nothing is due'}",
        }

    def _said(self, load: Hour | None, begun: set[str]) -> Iterator[str]:
        if begun:
            yield f"starts {', '.join(sorted(begun))}"
        if load:
            runs = [name for name in load.schedules if name in self.names]
            of = f" ({', '.join(runs)})" if runs else ""
            yield f"{load.gpus:g} GPUs usually, {load.gpus_at_most:g} at most{of}"
            if load.is_conflict:
                yield "more than the fleet has"

    @cached_property
    def _loads(self) -> Mapping[datetime, Hour]:
        return {hour.at: hour for hour in self.ahead.hours}

    @cached_property
    def _starts(self) -> Mapping[datetime, set[str]]:
        found: dict[datetime, set[str]] = defaultdict(set)
        for start in self.ahead.starts:
            if start.plan.name in self.names:
                found[start.at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)].add(start.plan.name)
        return found


def load_one(view: View) -> dict[str, Any]:
    call, name = view.call, view.names["name"]
    with call.database.reading() as connection:
        row = history.standing(connection, [schedules.one(connection, name)])[0]
        fires = history.fires_of(connection, name, limit=_MOST_FIRES)
        found = comparing.of_work(connection, schedule=name, family=None, most=_MOST_RUNS, seen=call.seen)
        told = comparing.compared(connection, found, stage=None, name=None, goals=None)
        changed = history.of_schedule(connection, name, limit=_MOST_REVISIONS)
    timing = timing_of(row["definition"])
    ahead = between(timing.rule, row["settled_to"], call.now + 366 * timedelta(days=1), _NEXT)
    return {
        "title": name,
        "schedule": {**_shown(row), "may_act": view.may_for(teams_of_work(row["definition"]))},
        "fires": fires,
        "next": [(due_at, due_at.astimezone(timing.zone), timing.fires_at(name, due_at)) for due_at in ahead],
        "trends": trends(told),
        "revisions": changed,
    }


def trends(told: comparing.Compared) -> list[dict[str, Any]]:
    """How long each run took, and what its first metrics came to: one row of bars for each, oldest first."""
    runs = told.runs
    rows = [_trend("Duration", [run["seconds"] for run in runs], runs, say=words.lasted)]
    for metric in told.metrics[:_MOST_METRICS]:
        best = [each and each["best"] for each in metric["runs"]]
        way = {"min": "less is better", "max": "more is better"}.get(metric["direction"] or "", "")
        rows.append(_trend(f"{metric['stage']} {metric['name']}".strip(), best, runs, note=way))
    return [row for row in rows if any(bar["value"] is not None for bar in row["bars"])]


def _trend(
    title: str,
    values: Sequence[Any],
    runs: Sequence[Row],
    *,
    note: str = "",
    say: Callable[[float], str] = words.number,
) -> dict[str, Any]:
    known = [float(value) for value in values if isinstance(value, int | float)]
    most = max(map(abs, known), default=0.0) or 1.0
    bars = [
        {
            "value": value,
            "said": "not told" if value is None else say(value),
            "height": _TALLEST * max(abs(value) / most, 0.05) if isinstance(value, int | float) else 0,
            "job": run["job"],
            "state": run["state"],
            "at": run["started_at"],
        }
        for value, run in zip(values, runs, strict=True)
    ]
    spread = f"{say(min(known))} to {say(max(known))}" if known else ""
    return {"title": title, "note": note, "bars": bars, "spread": spread}
