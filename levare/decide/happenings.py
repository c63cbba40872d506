"""What has happened, as occurrences of triggers: each with a key for ever and an event that tells its jobs of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from levare.decide.conditions import BREACH, read, swing
from levare.decide.declared import ENDS, FAILS, SUCCEEDS, Absence, Ended, Metric, Resource, RunFilter, Trigger
from levare.decide.events import Event, sameness, shortened, text_of
from levare.decide.files import Print
from levare.decide.triggers import Occurrence
from levare.model import FAILED, SUCCEEDED, Parameters

SOURCE = "levare"
_OUTCOMES = {SUCCEEDED: SUCCEEDS, FAILED: FAILS}


@dataclass(frozen=True, kw_only=True)
class Run:
    """A job or a whole pipeline that has ended; of a pipeline `name` and `pipeline` are its name."""

    id: str
    name: str
    team: str | None
    project: str | None
    family: str | None
    schedule: str | None
    trigger: str | None
    pipeline: str | None
    is_whole: bool
    """Whether it is no step of anything."""
    state: str
    reason: str | None
    finished_at: datetime
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class Happening:
    """An occurrence with its event."""

    key: str
    at: datetime
    event: Event
    settled: str | None = None
    """Why it starts nothing, whatever the brakes say."""

    def occurrence(self, trigger: Trigger) -> Occurrence:
        return Occurrence(self.key, self.at, sameness(self.event, trigger.same), len(text_of(self.event).encode()))


def is_of(wanted: RunFilter, run: Run) -> bool:
    if wanted.is_of_wholes and not run.is_whole:
        return False
    return all(getattr(run, name) == value for name, value in wanted.said.items())


def is_job_of(wanted: RunFilter, run: Run) -> bool:
    """As `is_of`, but of jobs alone, whether they are steps or not."""
    return run.family is not None and all(getattr(run, name) == value for name, value in wanted.said.items())


def ending(trigger: Trigger, when: Ended, run: Run) -> Happening | None:
    """None if it is not about this run. A trigger is never about what it started itself."""
    if run.trigger == trigger.name or not is_of(when.of, run):
        return None
    if when.outcome != ENDS and _OUTCOMES.get(run.state) != when.outcome:
        return None
    kind = "pipeline" if run.family is None else "job"
    return _made(f"{kind}:{run.id}", f"levare.{kind}.ended", run.id, run.finished_at, of_run(run))


def of_event(event: Event, at: datetime) -> Happening:
    return Happening(shortened(f"event:{event['id']} of {event['source']}"), at, event)


def of_metric(when: Metric, run: Run | None, message: str, values: list[float], at: datetime) -> Happening:
    """By the run that ended, or of a window by the time."""
    key = f"job:{run.id}" if run else f"at:{at.isoformat()}"
    data = {"metric": when.metric, "stage": when.stage, "values": values, "message": message}
    return _made(key, "levare.metric.crossed", when.metric, at, data | ({"run": of_run(run)} if run else {}))


def judge(
    when: Metric, run: Run | None, armed: bool, values: list[float], *, at: datetime
) -> tuple[bool, Happening | None]:
    """Whether it is armed after these values, and what has happened if they are beyond the bound."""
    reading = read(when.test, values)
    was_armed, (armed, fires) = armed, swing(armed, reading.level)
    if reading.level != BREACH or (run is None and not was_armed):
        return armed, None
    happening = of_metric(when, run, reading.message, values, at)
    return armed, happening if fires else replace(happening, settled=f"{reading.message} {_again(when)}")


def _again(when: Metric) -> str:
    test = when.test
    past = test.rearm if test.rearm is not None else "its bound"
    return f"It has fired for that already, and does so again when it has been back past {past}."


def of_resource(when: Resource, subject: str, since: datetime, value: float | None, at: datetime) -> Happening:
    data = {"resource": when.resource, "of": subject, "value": value, "since": since.isoformat()}
    return _made(f"{subject}:{since.isoformat()}", "levare.resource.crossed", subject, at, data)


def of_absence(when: Absence, last_at: datetime, at: datetime) -> Happening:
    data = {"last_at": last_at.isoformat(), "for_seconds": when.lasts.total_seconds()}
    return _made(f"absence:{last_at.isoformat()}", "levare.absence", None, at, data)


def of_file(path: str, mark: Print, news: str, *, node: str, at: datetime) -> Happening:
    data = {"path": path, "size": mark.size, "node": node or None}
    return _made(shortened(f"file:{path}:{mark}"), f"levare.file.{news}", path, at, data)


def of_run(run: Run) -> dict[str, Any]:
    names = ("id", "name", "team", "project", "family", "schedule", "trigger", "pipeline", "state", "reason")
    return {name: getattr(run, name) for name in names} | {"parameters": dict(run.parameters)}


def _made(key: str, kind: str, subject: str | None, at: datetime, data: Mapping[str, Any]) -> Happening:
    about = {"subject": subject} if subject else {}
    event = {"specversion": "1.0", "id": key, "source": SOURCE, "type": kind, **about, "time": at.isoformat()}
    return Happening(key, at, event | {"data": data})
