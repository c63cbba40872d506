"""Triggers as they are declared: from a checked document to what decisions read."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from typing import Any

from levare.decide.conditions import Test
from levare.decide.events import EventFilter
from levare.decide.triggers import Brakes

Document = Mapping[str, Any]

EVENT, FILES, ENDED, METRIC, RESOURCE, ABSENCE = "event", "files", "ended", "metric", "resource", "absence"
KINDS = (EVENT, FILES, ENDED, METRIC, RESOURCE, ABSENCE)
SUCCEEDS, FAILS, ENDS = "success", "failure", "any"
AGGREGATES = ("last", "min", "max", "mean")
RESOURCES = ("gpu", "cpu", "memory", "disk")


@dataclass(frozen=True)
class RunFilter:
    """Which runs: all that is said must be so. A run of a `schedule` or a `pipeline` is the whole of a pipeline."""

    name: str | None = None
    team: str | None = None
    project: str | None = None
    family: str | None = None
    schedule: str | None = None
    trigger: str | None = None
    pipeline: str | None = None

    @property
    def said(self) -> dict[str, str]:
        return {each.name: value for each in fields(self) if (value := getattr(self, each.name)) is not None}

    @property
    def is_of_wholes(self) -> bool:
        return self.schedule is not None or self.pipeline is not None


@dataclass(frozen=True)
class Files:
    """`path` may be a glob; without a `node` it is one of the machine of beat."""

    path: str
    node: str | None = None
    on: tuple[str, ...] = ("created", "changed")
    quiet: timedelta = timedelta(seconds=5)
    existing: bool = False
    interval: timedelta = timedelta(seconds=10)


@dataclass(frozen=True)
class Ended:
    of: RunFilter
    outcome: str = SUCCEEDS


@dataclass(frozen=True)
class Metric:
    """One number of each run, by `aggregate`; with a `window`, one of all that was told in the last so long."""

    of: RunFilter
    metric: str
    test: Test
    stage: str | None = None
    aggregate: str = "last"
    window: timedelta | None = None


@dataclass(frozen=True)
class Resource:
    """In percent, of each GPU or of the whole node, for a time; without a `node` of each node."""

    resource: str
    test: Test
    lasts: timedelta
    node: str | None = None


@dataclass(frozen=True)
class Absence:
    """No success of these runs, or no such event, for a time."""

    lasts: timedelta
    of: RunFilter | None = None
    event: EventFilter | None = None


When = EventFilter | Files | Ended | Metric | Resource | Absence


@dataclass(frozen=True)
class Trigger:
    """What starts what, with which brakes; `work` is a document that `levare.store.work` starts."""

    name: str
    kind: str
    when: When
    brakes: Brakes
    work: Document
    same: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


def declared(name: str, definition: Document) -> Trigger:
    """The trigger of a definition that has been checked."""
    [(kind, when)] = definition["when"].items()
    brakes = definition.get("brakes", {})
    return Trigger(
        name,
        kind,
        _WHENS[kind](when),
        _brakes(brakes),
        {key: definition[key] for key in ("job", "pipeline") if key in definition},
        tuple(brakes.get("same", ())),
        definition.get("parameters", {}),
    )


def _brakes(given: Document) -> Brakes:
    batch = given.get("batch") or {}
    return Brakes(
        cooldown=_span(given, "cooldown_seconds"),
        in_flight=given.get("in_flight"),
        per_day=given.get("per_day"),
        same_within=_span(given, "same_within_seconds", 86400) if given.get("same") else timedelta(),
        quiet=_span(given, "quiet_seconds"),
        batch=batch.get("most", 1),
        batch_within=_span(batch, "within_seconds"),
        waits=given.get("waits", False),
    )


def _event(given: Document) -> EventFilter:
    return EventFilter(**given)


def _files(given: Document) -> Files:
    plain = {name: given[name] for name in ("path", "node", "existing") if name in given}
    on = tuple(given.get("on", Files.on))
    return Files(**plain, on=on, quiet=_span(given, "quiet_seconds", 5), interval=_span(given, "interval_seconds", 10))


def _ended(given: Document) -> Ended:
    return Ended(_runs(given), given.get("outcome", SUCCEEDS))


def _metric(given: Document) -> Metric:
    window = given.get("window_seconds")
    return Metric(
        _runs(given),
        given["metric"],
        _test(given),
        given.get("stage"),
        given.get("aggregate", "last"),
        timedelta(seconds=window) if window else None,
    )


def _resource(given: Document) -> Resource:
    return Resource(given["resource"], _test(given), _span(given, "for_seconds", 300), given.get("node"))


def _absence(given: Document) -> Absence:
    event = given.get("event")
    of = None if event is not None else _runs(given)
    return Absence(_span(given, "for_seconds"), of, EventFilter(**event) if event is not None else None)


def _runs(given: Document) -> RunFilter:
    return RunFilter(**{each.name: given.get(each.name) for each in fields(RunFilter)})


def _test(given: Document) -> Test:
    names = ("below", "above", "change", "zscore", "runs", "over", "rearm")
    return Test(**{name: given[name] for name in names if given.get(name) is not None})


def _span(given: Document, name: str, usual: float = 0) -> timedelta:
    return timedelta(seconds=given.get(name, usual))


_WHENS = {EVENT: _event, FILES: _files, ENDED: _ended, METRIC: _metric, RESOURCE: _resource, ABSENCE: _absence}
