"""What happened in the past, as a trigger would have seen it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import Connection

from levare.decide import happenings as happened
from levare.decide.declared import Absence, Ended, Metric, Trigger, declared
from levare.decide.events import EventFilter
from levare.decide.happenings import Happening
from levare.decide.simulation import Simulation, absences, simulate
from levare.model import SUCCEEDED
from levare.store import activations, ended_runs, events, triggers

MOST = 5000
"""So much of the past is looked at, the newest."""
FROM_EVENTS, FROM_RUNS, FROM_ACTIVATIONS = "events", "runs", "activations"


@dataclass(frozen=True)
class Replay:
    """A simulation and what it rests on."""

    simulation: Simulation
    since: datetime
    until: datetime
    source: str
    """From what it was taken; what only somebody who watched has seen is taken from the activations of that time."""
    lasts: timedelta
    """How long each run is taken to last: the median of its successful jobs, and nothing without any."""


def replay(connection: Connection, name: str, *, since: datetime, until: datetime) -> Replay:
    """What this trigger, as it is declared now, would have done in this time."""
    trigger = declared(name, triggers.one(connection, name)["definition"])
    source, found = _happenings(connection, trigger, since, until)
    lasts = timedelta(seconds=median(ended_runs.lasted(connection, name) or [0.0]))
    return Replay(simulate(trigger, found, lasts=lasts, until=until), since, until, source, lasts)


def _happenings(
    connection: Connection, trigger: Trigger, since: datetime, until: datetime
) -> tuple[str, Sequence[Happening]]:
    match trigger.when:
        case EventFilter() as when:
            return FROM_EVENTS, _sent(_events(connection, when, since, until))
        case Ended() as when:
            ended = ended_runs.history(connection, when.of, since=since, until=until)
            return FROM_RUNS, [each for run in ended if (each := happened.ending(trigger, when, run))]
        case Metric(window=None) as when:
            return FROM_RUNS, _metric(connection, when, since, until)
        case Absence() as when:
            return FROM_EVENTS if when.event else FROM_RUNS, _absences(connection, when, since, until)
        case _:
            rows = activations.since(connection, trigger.name, since, limit=MOST)
            return FROM_ACTIVATIONS, [Happening(row["key"], row["at"], row["event"]) for row in rows]


def _sent(rows: Sequence[Any]) -> list[Happening]:
    return [happened.of_event(row["event"], row["received_at"]) for row in rows]


def _events(connection: Connection, when: EventFilter, since: datetime, until: datetime) -> list[Any]:
    found = events.between(connection, since, until, limit=MOST)
    return [row for row in found if when.mismatch(row["event"]) is None]


def _metric(connection: Connection, when: Metric, since: datetime, until: datetime) -> list[Happening]:
    """As beat saw them one by one: each run with those before it."""
    found, values, armed = list[Happening](), list[float](), True
    for run in ended_runs.jobs_in_history(connection, when.of, since=since, until=until):
        value = ended_runs.value_of(connection, when, run.id)
        if value is None:
            continue
        values = [*values, value][-when.test.reach :] if values else ended_runs.values_until(connection, when, run)
        armed, happening = happened.judge(when, run, armed, values, at=run.finished_at)
        found += [happening] if happening else []
    return found


def _absences(connection: Connection, when: Absence, since: datetime, until: datetime) -> list[Happening]:
    if when.event is not None:
        ends = [row["received_at"] for row in _events(connection, when.event, since, until)]
    elif when.of is not None:
        ended = ended_runs.history(connection, when.of, since=since, until=until)
        ends = [run.finished_at for run in ended if run.state == SUCCEEDED]
    else:
        ends = []
    return [happened.of_absence(when, last, at) for last, at in absences(since, ends, when.lasts, until=until)]
