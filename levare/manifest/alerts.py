"""Rules of alerts: what each kind looks for, how bad it is, who is told."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from levare.decide import patterns
from levare.decide.summaries import direction
from levare.errors import Contradiction, Fault
from levare.manifest.patterns import NO_NUL, NODE, SAMPLE, SOMETHING, VISIBLE
from levare.manifest.triggers import Bound, Few, Percent, Text
from levare.manifest.values import MOST_SECONDS, WHOLE, Body, Label, distinct
from levare.model import counters

Severity = Literal["info", "warning", "critical"]
Seconds = Annotated[int, Field(ge=0, le=MOST_SECONDS), WHOLE]
Positive = Annotated[int, Field(ge=1, le=MOST_SECONDS), WHOLE]
Factor = Annotated[float, Field(gt=1, le=1000, allow_inf_nan=False)]
Deviations = Annotated[float, Field(ge=0, le=1000, allow_inf_nan=False)]
History = Annotated[int, Field(ge=2, le=50), WHOLE]
NodeName = Annotated[str, Field(pattern=NODE)]
MetricName = Annotated[str, Field(pattern=SOMETHING, max_length=128)]
Stage = Annotated[str, Field(pattern=NO_NUL, max_length=128)]
Description = Annotated[str, Field(pattern=NO_NUL, max_length=2000)]
_OF_NODE: Any = Field(None, description="Only of this node; null for each.", examples=["node-a"])


class OfJobs(Body):
    """Of which jobs. All that is said must be so; without anything it is all jobs."""

    name: Text | None = Field(None, description="Of the job.", examples=["churn"])
    team: Label | None = Field(None, description="Of the job.", examples=["vision"])
    project: Label | None = Field(None, description="Of the job.", examples=["imagenet"])
    family: Text | None = Field(None, description="team/project/name.", examples=["vision/imagenet/resnet-50"])
    schedule: Label | None = Field(None, description="The schedule that started it.", examples=["nightly"])
    trigger: Label | None = Field(None, description="The trigger that started it.", examples=["new-data"])


class FailureWhen(OfJobs):
    """A job has failed and is not tried again. It is well again when a job of its family succeeds."""


class SlowWhen(OfJobs):
    """A run, or a step of a stage, takes longer than in the runs of its family before."""

    factor: Factor = Field(1.5, description="So many times the median is slow.", examples=[2])
    deviations: Deviations = Field(5, description="And so many robust deviations above it.", examples=[5])
    least_runs: History = Field(5, description="With fewer runs before nothing is slow.", examples=[5])
    least_seconds: Seconds = Field(600, description="A run is slow only by more than this.", examples=[600])
    for_seconds: Seconds = Field(300, description="How long steps must be slow.", examples=[300])


class DegradedWhen(OfJobs):
    """The best value of a metric in a stage is worse than in the runs of the family before, or than a bound."""

    metric: MetricName | None = Field(
        None,
        description="Null for all whose names say what is better, such as loss and accuracy.",
        examples=["accuracy"],
    )
    stage: Stage | None = Field(None, description="Only of this stage.", examples=["val"])
    goal: Literal["min", "max"] | None = Field(None, description="What is better; null: what its name says.")
    bound: Bound | None = Field(None, description="Compare with this, not with the runs before.", examples=[0.9])
    part: Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)] = Field(
        0.05, description="Worse by this part of the median.", examples=[0.05]
    )
    deviations: Deviations = Field(5, description="And by so many robust deviations.", examples=[5])
    least_runs: History = Field(5, description="With fewer runs before nothing is worse.", examples=[5])


class Tested(Body):
    """One of `below`, `above`, `change` and `zscore`, or `absent_seconds`."""

    below: Bound | None = Field(None, description="It is a breach when the number is lower.", examples=[0.5])
    above: Bound | None = Field(None, description="It is a breach when the number is higher.", examples=[10])
    change: Bound | None = Field(
        None, description="When it falls (negative) or rises by this part of what it was.", examples=[-0.2]
    )
    zscore: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = Field(
        None, description="At so many standard deviations from the mean.", examples=[4]
    )
    runs: Few = Field(1, description="So many values in a row.", examples=[3])
    over: Few = Field(1, description="How many values before are compared, for `change` and `zscore`.", examples=[20])
    rearm: Bound | None = Field(None, description="It is well again past this; the bound by default.", examples=[9])
    absent_seconds: Positive | None = Field(None, description="It is not told for so long.", examples=[600])


class MetricWhen(OfJobs, Tested):
    """A number that a job tells while it runs."""

    metric: MetricName = Field(description="Its name.", examples=["loss"])
    stage: Stage | None = Field(None, description="Only of this stage.", examples=["train"])
    for_seconds: Seconds = Field(0, description="For how long.", examples=[60])


class NotFiniteWhen(OfJobs):
    """A number that a job tells is NaN or infinite."""

    metric: MetricName | None = Field(None, description="Null for any.", examples=["loss"])
    lines: Few = Field(3, description="So many times in a row.", examples=[3])


class SampleWhen(Tested):
    """A number in the heartbeats of nodes."""

    sample: Annotated[str, Field(pattern=SAMPLE, max_length=128)] = Field(
        description="Its name; `*` stands for anything.", examples=["gpu*_temperature_celsius"]
    )
    node: NodeName | None = _OF_NODE
    for_seconds: Seconds = Field(60, description="For how long.", examples=[300])


class LogWhen(OfJobs):
    """A line that a job writes matches a regular expression."""

    pattern: Annotated[str, Field(pattern=VISIBLE, max_length=patterns.LONGEST)] = Field(
        description="Of RE2's syntax: without look-arounds and back-references, so that it is fast on any line.",
        examples=["(?i)cuda error"],
    )


class HangWhen(OfJobs):
    """No step, no line, no checkpoint, and processes that do nothing, for longer than is usual for this job."""

    factor: Factor = Field(10, description="So many times the usual interval of steps.", examples=[10])
    least_seconds: Positive = Field(600, description="The learned limit is at least this.", examples=[600])
    most_seconds: Positive = Field(21600, description="And at most this.", examples=[21600])
    startup_seconds: Positive = Field(1800, description="Until the first step.", examples=[1800])
    for_seconds: Positive | None = Field(None, description="A fixed limit instead of the learned one.", examples=[900])


class NodeLostWhen(Body):
    """A node has not renewed its lease for LEVARE_LOST_AFTER."""

    node: NodeName | None = _OF_NODE


class UnhealthyWhen(Body):
    """A worker is late with its lease or without a heartbeat, or beat decides nothing."""

    part: Literal["worker", "beat"] | None = Field(None, description="Null for both.", examples=["worker"])
    for_seconds: Positive = Field(30, description="For how long.", examples=[30])


class QueueWhen(OfJobs):
    """A job waits for its first start."""

    for_seconds: Positive = Field(86400, description="For how long.", examples=[3600])


class DiskWhen(Body):
    """A disk is nearly full, or will be soon at the pace of the last hour."""

    node: NodeName | None = _OF_NODE
    above: Percent = Field(95, description="Percent that are used.", examples=[95])
    rearm: Percent = Field(93, description="It is well again at this or less.", examples=[93])
    full_within_seconds: Positive | None = Field(
        14400, description="It will be full within this; null to predict nothing.", examples=[14400]
    )
    for_seconds: Seconds = Field(60, description="For how long.", examples=[60])


class IdleWhen(OfJobs):
    """A job holds GPUs and does not use them."""

    below: Percent = Field(5, description="Percent that they are busy, on average.", examples=[5])
    for_seconds: Positive = Field(1800, description="For how long.", examples=[1800])


class AbsenceWhen(OfJobs):
    """No such job succeeds for a time."""

    for_seconds: Positive = Field(description="For how long.", examples=[93600])


class RuleWhen(Body):
    """What it looks for: exactly one of these."""

    failure: FailureWhen | None = Field(None, description="A job has failed.")
    slow: SlowWhen | None = Field(None, description="A run is slower than its family was.")
    degraded: DegradedWhen | None = Field(None, description="A model is worse than those of its family.")
    metric: MetricWhen | None = Field(None, description="A metric is where it should not be.")
    not_finite: NotFiniteWhen | None = Field(None, description="A metric is no number any more.")
    sample: SampleWhen | None = Field(None, description="A number of a node is where it should not be.")
    log: LogWhen | None = Field(None, description="A line of a log matches.")
    hang: HangWhen | None = Field(None, description="A job does nothing.")
    node_lost: NodeLostWhen | None = Field(None, description="A node is lost.")
    unhealthy: UnhealthyWhen | None = Field(None, description="A worker or beat is late.")
    queue: QueueWhen | None = Field(None, description="A job waits too long.")
    disk: DiskWhen | None = Field(None, description="A disk is full, or will be.")
    idle: IdleWhen | None = Field(None, description="GPUs are held and not used.")
    absence: AbsenceWhen | None = Field(None, description="Something does not succeed any more.")


class AlertRuleRequest(Body):
    """What is worth an alert."""

    when: RuleWhen = Field(description="What it looks for: exactly one kind.")
    severity: Severity = Field("warning", description="How bad that is.", examples=["critical"])
    channels: list[Label] = Field(
        default_factory=list,
        max_length=20,
        description="Who is told; by default all channels whose routes take it.",
        examples=[["ops"]],
    )
    paused: bool | None = Field(
        None, description="Whether it is paused; null leaves that as it is, and a new one active.", examples=[True]
    )
    description: Description = Field("", description="For people.", examples=["The nightly model must not get worse."])

    def definition(self) -> dict[str, Any]:
        """As it is kept, without what is as usual. Raise Contradiction for what cannot be meant."""
        faults = list(_contradictions(self))
        if faults:
            raise Contradiction(
                f"{faults[0].field} {faults[0].message}.", "docs/monitoring.md shows an example of each kind.", faults
            )
        _ = distinct(self.channels)
        found = self.model_dump(mode="json", exclude_defaults=True)
        return found | {"when": {kind: each for kind, each in found["when"].items() if each is not None}}


def _contradictions(body: AlertRuleRequest) -> Iterator[Fault]:
    kinds = [name for name in RuleWhen.model_fields if getattr(body.when, name) is not None]
    if len(kinds) != 1:
        known = ", ".join(RuleWhen.model_fields)
        yield Fault("when", "must say exactly one kind", ", ".join(kinds) or None, known)
        return
    for kind in ("metric", "sample"):
        if getattr(body.when, kind) is not None:
            yield from _of_test(f"when.{kind}", getattr(body.when, kind))
    yield from _of_sample(body.when)
    yield from _of_degraded(body.when)
    yield from _of_hang(body.when)
    yield from _of_log(body.when)
    yield from _of_absence(body.when)
    yield from _of_disk(body.when)


def _of_test(field: str, when: MetricWhen | SampleWhen) -> Iterator[Fault]:
    names = ("below", "above", "change", "zscore", "absent_seconds")
    said = [name for name in names if getattr(when, name) is not None]
    if len(said) != 1:
        yield Fault(field, "must have exactly one test", ", ".join(said) or None, ", ".join(names))
    elif when.change == 0:
        yield Fault(f"{field}.change", "must not be 0", 0, "a fall such as -0.2 or a rise such as 0.2")
    elif when.rearm is not None and said[0] != "absent_seconds":
        bound: float = getattr(when, said[0])
        falls = said[0] == "below" or (said[0] == "change" and bound < 0)
        if when.rearm < bound if falls else when.rearm > bound:
            limit = f"at {'least' if falls else 'most'} {bound:g}"
            yield Fault(f"{field}.rearm", "must lie where it is well again", when.rearm, limit)


def _of_sample(when: RuleWhen) -> Iterator[Fault]:
    if when.sample and not counters.is_of_node(when.sample.sample):
        near = counters.nearest(when.sample.sample)
        limit = f"a counter of docs/monitoring-samples.md, such as {near[0] if near else 'gpu*_temperature_celsius'}"
        yield Fault("when.sample.sample", "is nothing that a node tells", when.sample.sample, limit)


def _of_degraded(when: RuleWhen) -> Iterator[Fault]:
    rule = when.degraded
    if rule and rule.metric and not (rule.goal or direction(rule.metric)):
        message = f"must be said, for {rule.metric} does not say what is better"
        yield Fault("when.degraded.goal", message, None, "min or max")


def _of_hang(when: RuleWhen) -> Iterator[Fault]:
    if when.hang and when.hang.most_seconds < when.hang.least_seconds:
        limit = f"at least {when.hang.least_seconds}"
        yield Fault("when.hang.most_seconds", "must not be less than least_seconds", when.hang.most_seconds, limit)


def _of_log(when: RuleWhen) -> Iterator[Fault]:
    if when.log is None:
        return
    try:
        patterns.compiled(when.log.pattern)
    except ValueError as error:
        limit = "RE2's syntax: no look-arounds, no back-references"
        yield Fault("when.log.pattern", f"is no pattern: {error}", when.log.pattern, limit)


def _of_absence(when: RuleWhen) -> Iterator[Fault]:
    if when.absence and all(getattr(when.absence, name) is None for name in OfJobs.model_fields):
        yield Fault("when.absence", "must say of which jobs", None, ", ".join(OfJobs.model_fields))


def _of_disk(when: RuleWhen) -> Iterator[Fault]:
    if when.disk and when.disk.rearm > when.disk.above and "rearm" in when.disk.model_fields_set:
        yield Fault("when.disk.rearm", "must lie where it is well again", when.disk.rearm, f"at most {when.disk.above}")
