"""Rules as they are declared: from a checked document to what decisions read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from levare.decide.alerts.facts import Job
from levare.decide.conditions import Test
from levare.decide.declared import RunFilter

Document = Mapping[str, Any]

FAILURE, SLOW, DEGRADED, METRIC, NOT_FINITE = "failure", "slow", "degraded", "metric", "not_finite"
SAMPLE, LOG, HANG, NODE_LOST, UNHEALTHY = "sample", "log", "hang", "node_lost", "unhealthy"
QUEUE, DISK, IDLE, ABSENCE = "queue", "disk", "idle", "absence"
KINDS = (
    *(FAILURE, SLOW, DEGRADED, METRIC, NOT_FINITE, SAMPLE, LOG),
    *(HANG, NODE_LOST, UNHEALTHY, QUEUE, DISK, IDLE, ABSENCE),
)
INFO, WARNING, CRITICAL = "info", "warning", "critical"
SEVERITIES = (INFO, WARNING, CRITICAL)
MIN, MAX = "min", "max"
_NONE = timedelta()
_ANY = RunFilter()


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A job has failed and is not tried again; well again when a job of its family succeeds."""

    of: RunFilter = _ANY


@dataclass(frozen=True, kw_only=True)
class Slow:
    """
    A run, or a step of a stage, takes longer than those of its family did.

    The bound is the median times `factor`, `deviations` robust deviations above it, or a quarter more than 4 of 5 runs
    took, whichever is further; that of steps is further than that of runs.
    """

    of: RunFilter = _ANY
    factor: float = 1.5
    deviations: float = 5.0
    least_runs: int = 5
    least: timedelta = timedelta(minutes=10)
    """A run that is slower by less than this is not slow."""
    lasts: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Degraded:
    """The best value of a metric in a stage is worse than those of the family were, or than `bound`."""

    of: RunFilter = _ANY
    metric: str | None = None
    """None for all whose names say what is better."""
    stage: str | None = None
    goal: str | None = None
    """`min` or `max`; None for what the name of the metric says."""
    bound: float | None = None
    part: float = 0.05
    deviations: float = 5.0
    least_runs: int = 5


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric of a job that runs; with `absent`, that it is not told for so long."""

    metric: str
    of: RunFilter = _ANY
    stage: str | None = None
    test: Test | None = None
    lasts: timedelta = _NONE
    absent: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class NotFinite:
    """A metric is NaN or infinite, all the last `lines` times that it was told."""

    of: RunFilter = _ANY
    metric: str | None = None
    lines: int = 3


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A number of the heartbeats of nodes, by a name that may hold `*`."""

    sample: str
    node: str | None = None
    test: Test | None = None
    lasts: timedelta = timedelta(minutes=1)
    absent: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class Log:
    """A line of a log matches a regular expression, of RE2's kind: it takes time in proportion to the line."""

    pattern: str
    of: RunFilter = _ANY


@dataclass(frozen=True, kw_only=True)
class Hang:
    """
    No step, no line of log, no checkpoint, and processes that do nothing, or the same all the time.

    The limit is learned: `factor` times the usual interval of the stage, three times the longest gap of this run and of
    the last ones of its family, and not below `least`; until the first step `startup`. `lasts` fixes it instead.
    """

    of: RunFilter = _ANY
    factor: float = 10.0
    least: timedelta = timedelta(minutes=10)
    most: timedelta = timedelta(hours=6)
    startup: timedelta = timedelta(minutes=30)
    lasts: timedelta | None = None


@dataclass(frozen=True, kw_only=True)
class NodeLost:
    node: str | None = None


@dataclass(frozen=True, kw_only=True)
class Unhealthy:
    """`worker`: a lease that is late, or no heartbeat; `beat`: nobody decided for a time; None for both."""

    part: str | None = None
    lasts: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, kw_only=True)
class Queue:
    of: RunFilter = _ANY
    lasts: timedelta = timedelta(hours=24)


@dataclass(frozen=True, kw_only=True)
class Disk:
    """More than `above` percent are used, or will all be within `full_within` at the pace of the last hour."""

    node: str | None = None
    above: float = 95.0
    rearm: float = 93.0
    full_within: timedelta | None = timedelta(hours=4)
    lasts: timedelta = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Idle:
    """GPUs that a job holds are busy less than `below` percent."""

    of: RunFilter = _ANY
    below: float = 5.0
    lasts: timedelta = timedelta(minutes=30)


@dataclass(frozen=True, kw_only=True)
class Absence:
    """No success of such jobs."""

    of: RunFilter
    lasts: timedelta


When = (
    Failure
    | Slow
    | Degraded
    | Metric
    | NotFinite
    | Sample
    | Log
    | Hang
    | NodeLost
    | Unhealthy
    | Queue
    | Disk
    | Idle
    | Absence
)


@dataclass(frozen=True, kw_only=True)
class Rule:
    name: str
    kind: str
    when: When
    severity: str = WARNING
    channels: Sequence[str] = ()
    """Empty for all whose routes take it."""
    definition: Document = field(default_factory=dict)
    declared_at: datetime | None = None
    """None for a default."""


def declared(name: str, definition: Document, *, at: datetime | None = None) -> Rule:
    """The rule of a definition that has been checked."""
    [(kind, when)] = definition["when"].items()
    return Rule(
        name=name,
        kind=kind,
        when=_WHENS[kind](when),
        severity=definition.get("severity", WARNING),
        channels=tuple(definition.get("channels", ())),
        definition=definition,
        declared_at=at,
    )


def concerns(of: RunFilter, job: Job) -> bool:
    return all(getattr(job, name, None) == value for name, value in of.said.items())


def _when(kind: Any, given: Document) -> Any:
    """Names that end in `_seconds` are durations, `for_seconds` is `lasts`; what is not said is as usual."""
    names = {each.name for each in fields(kind)}
    values: dict[str, Any] = {}
    for key, value in given.items():
        name = "lasts" if key == "for_seconds" else key.removesuffix("_seconds")
        if name in names and name not in ("of", "test") and value is not None:
            values[name] = timedelta(seconds=value) if key.endswith("_seconds") else value
    if "full_within_seconds" in given and given["full_within_seconds"] is None:
        values["full_within"] = None
    if "of" in names:
        values["of"] = RunFilter(**{each.name: given.get(each.name) for each in fields(RunFilter)})
    return kind(**values | ({"test": _test(given)} if "test" in names else {}))


def _test(given: Document) -> Test | None:
    names = ("below", "above", "change", "zscore", "runs", "over", "rearm")
    said = {name: given[name] for name in names if given.get(name) is not None}
    return Test(**said) if said.keys() & {"below", "above", "change", "zscore"} else None


_KINDS: Mapping[str, Any] = {
    FAILURE: Failure,
    SLOW: Slow,
    DEGRADED: Degraded,
    METRIC: Metric,
    NOT_FINITE: NotFinite,
    SAMPLE: Sample,
    LOG: Log,
    HANG: Hang,
    NODE_LOST: NodeLost,
    UNHEALTHY: Unhealthy,
    QUEUE: Queue,
    DISK: Disk,
    IDLE: Idle,
    ABSENCE: Absence,
}


def _reader(kind: Any) -> Callable[[Document], When]:
    return lambda given: _when(kind, given)


_WHENS: Mapping[str, Callable[[Document], When]] = {name: _reader(kind) for name, kind in _KINDS.items()}
