"""What a trigger sees at one look: of events and endings what it is about, and what it finds by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from levare.decide import happenings as happened
from levare.decide.conditions import Standing, lasting, read
from levare.decide.declared import ABSENCE, ENDED, EVENT, METRIC, Absence, Ended, Metric, Resource, Trigger
from levare.decide.events import EventFilter
from levare.decide.happenings import Happening, Run, is_job_of, is_of
from levare.decide.resources import readings
from levare.model import SUCCEEDED
from levare.store import ended_runs, events

Row = Mapping[str, Any]
WINDOW_EVERY = timedelta(seconds=10)
RESOURCE_EVERY = timedelta(seconds=5)
_MOST_EVENTS = 1000
_ABOUT_RUNS = (ENDED, METRIC, ABSENCE)


@dataclass(frozen=True)
class World:
    """What is new to all triggers, in its order, and what Redis says of the nodes."""

    events: Sequence[Row] = ()
    runs: Sequence[Run] = ()
    heartbeats: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Sight:
    """What has happened to a trigger, what it has to know at its next look, and when that is."""

    happenings: Sequence[Happening]
    state: Mapping[str, Any]
    wakes_at: datetime | None = None


def concerns(row: Any, world: World, *, now: datetime) -> bool:
    """Whether a trigger may have anything to look at."""
    if row.wakes_at is not None and row.wakes_at <= now:
        return True
    return bool(world.events and row.kind in (EVENT, ABSENCE)) or bool(world.runs and row.kind in _ABOUT_RUNS)


def look(connection: Connection, trigger: Trigger, row: Any, world: World, *, now: datetime) -> Sight:
    """What a trigger sees; `row` says since when it looks, and what it knew."""
    match trigger.when:
        case EventFilter() as when:
            return Sight(_events(when, world, row.begun_at), row.state)
        case Ended() as when:
            seen = (happened.ending(trigger, when, run) for run in world.runs)
            return Sight([each for each in seen if each], row.state)
        case Metric() as when:
            return _window(connection, when, row, now) if when.window else _metric(connection, when, row, world)
        case Resource() as when:
            return _resource(when, row, world, now)
        case Absence() as when:
            return _absence(connection, when, row, world, now)
        case _:
            return Sight((), row.state)  # who watches the files records what happens to them


def _events(when: EventFilter, world: World, begun_at: datetime) -> list[Happening]:
    return [
        happened.of_event(row["event"], row["received_at"])
        for row in world.events
        if row["received_at"] >= begun_at and when.mismatch(row["event"]) is None
    ]


def _metric(connection: Connection, when: Metric, row: Any, world: World) -> Sight:
    armed, found = row.state.get("armed", True), list[Happening]()
    for run in world.runs:
        if is_job_of(when.of, run) and ended_runs.value_of(connection, when, run.id) is not None:
            armed, happening = happened.judge(
                when, run, armed, ended_runs.values_until(connection, when, run), at=run.finished_at
            )
            found += [happening] if happening else []
    return Sight(found, row.state | {"armed": armed})


def _window(connection: Connection, when: Metric, row: Any, now: datetime) -> Sight:
    value = ended_runs.value_in_window(connection, when, begin=now - (when.window or timedelta()))
    armed, happening = happened.judge(
        when, None, row.state.get("armed", True), [] if value is None else [value], at=now
    )
    return Sight([happening] if happening else (), row.state | {"armed": armed}, now + WINDOW_EVERY)


def _resource(when: Resource, row: Any, world: World, now: datetime) -> Sight:
    known, found = dict(row.state.get("of", {})), list[Happening]()
    for subject, value in readings(when, world.heartbeats).items():
        standing, fires = lasting(_standing(known.get(subject)), read(when.test, [value]).level, when.lasts, now=now)
        known[subject] = _kept(standing)
        if fires and standing.since:
            found.append(happened.of_resource(when, subject, standing.since, value, now))
    return Sight(found, {**row.state, "of": known}, now + RESOURCE_EVERY)


def _standing(kept: Mapping[str, Any] | None) -> Standing:
    if kept is None:
        return Standing()
    return Standing(kept["armed"], _moment(kept["since"]), _moment(kept["seen_at"]))


def _kept(standing: Standing) -> dict[str, Any]:
    times = {"since": standing.since, "seen_at": standing.seen_at}
    return {"armed": standing.armed, **{name: at and at.isoformat() for name, at in times.items()}}


def _absence(connection: Connection, when: Absence, row: Any, world: World, now: datetime) -> Sight:
    last_at = _moment(row.state.get("last_at")) or _last(connection, when, row.begun_at, now)
    last_at = max([last_at, *(at for at in ends_of_absence(when, world) if at <= now)])
    state = {**row.state, "last_at": last_at.isoformat()}
    ends = last_at + when.lasts
    if now < ends:
        return Sight((), state, ends)
    return Sight([happened.of_absence(when, last_at, now)], state)


def ends_of_absence(when: Absence, world: World) -> list[datetime]:
    """When something happened that an absence trigger misses."""
    if when.event is not None:
        return [row["received_at"] for row in world.events if when.event.mismatch(row["event"]) is None]
    of = when.of
    return [run.finished_at for run in world.runs if of and is_of(of, run) and run.state == SUCCEEDED]


def _last(connection: Connection, when: Absence, begun_at: datetime, now: datetime) -> datetime:
    """When it last happened as far as is known; at the latest when somebody began to miss it."""
    if when.of is not None:
        return ended_runs.last_success(connection, when.of, until=now) or begun_at
    known = events.between(connection, now - when.lasts, now, limit=_MOST_EVENTS)
    return max(ends_of_absence(when, World(known)), default=begun_at)


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
