"""Triggers: what each looks for, what holds it back, what it starts."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from levare.errors import Contradiction, Fault
from levare.manifest.arrays import Value
from levare.manifest.jobs import JobRequest
from levare.manifest.patterns import DOTTED, FILES, NO_NUL, NODE, SOMETHING, VARIABLE, VISIBLE
from levare.manifest.pipelines import PipelineRequest
from levare.manifest.values import MOST_SECONDS, WHOLE, Body, Label, Whole

_MOST_NUMBER = 1e15
_CLOSED: dict[str, JsonValue] = {"additionalProperties": False}

Dotted = Annotated[str, Field(pattern=DOTTED, max_length=200)]
Pattern = Annotated[str, Field(pattern=VISIBLE, max_length=500)]
Text = Annotated[str, Field(pattern=VISIBLE, max_length=200)]
Seconds = Annotated[int, Field(ge=1, le=MOST_SECONDS), WHOLE]
Bound = Annotated[float, Field(ge=-_MOST_NUMBER, le=_MOST_NUMBER, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Few = Annotated[int, Field(ge=1, le=100), WHOLE]


class EventWhen(Body):
    """A CloudEvent that was sent to `POST /v1/events`. All that is said must be so."""

    type: Pattern | None = Field(None, description="Its type; `*` stands for anything.", examples=["dataset.*"])
    source: Pattern | None = Field(None, description="Its source; `*` stands for anything.", examples=["/lake"])
    subject: Pattern | None = Field(None, description="Its subject; `*` stands for anything.", examples=["churn/*"])
    where: dict[Dotted, Value] = Field(
        default_factory=dict,
        max_length=50,
        description="Attributes, extensions, or fields of its data by their path, with the value that they must have.",
        examples=[{"data.dataset": "churn"}],
        json_schema_extra=_CLOSED,
    )


class FilesWhen(Body):
    """A file that is new or has changed, and has been still since."""

    path: str = Field(
        pattern=FILES,
        max_length=1000,
        description="An absolute path; `*`, `?`, `[a-z]` and `**` stand for names. Of a folder the files in it.",
        examples=["/data/incoming/*.csv"],
    )
    node: Annotated[str, Field(pattern=NODE)] | None = Field(
        None, description="The node that has it; null for the machine where beat runs.", examples=["node-a"]
    )
    on: list[Literal["created", "changed"]] = Field(
        default_factory=lambda: ["created", "changed"],
        min_length=1,
        max_length=2,
        description="What counts.",
        examples=[["created"]],
    )
    quiet_seconds: Whole = Field(
        5, ge=0, le=86400, description="Seconds without a change of its size and time before it counts.", examples=[5]
    )
    interval_seconds: Whole = Field(10, ge=1, le=86400, description="Seconds between two looks.", examples=[10])
    existing: bool = Field(False, description="Whether files that are there at the first look count.")


class Runs(Body):
    """Which runs. All that is said must be so."""

    name: Text | None = Field(None, description="Of the job.", examples=["churn"])
    team: Label | None = Field(None, description="Of the job.", examples=["vision"])
    project: Label | None = Field(None, description="Of the job.", examples=["imagenet"])
    family: Text | None = Field(None, description="team/project/name.", examples=["vision/imagenet/resnet-50"])
    schedule: Label | None = Field(None, description="The schedule that started it.", examples=["nightly"])
    trigger: Label | None = Field(None, description="The trigger that started it.", examples=["new-data"])
    pipeline: Text | None = Field(None, description="The name of the pipeline.", examples=["retrain"])


class EndedWhen(Runs):
    """The end of a job; of a schedule or pipeline that of the whole run."""

    outcome: Literal["success", "failure", "any"] = Field(
        "success", description="How it must have ended.", examples=["failure"]
    )


class TriggerMetricWhen(Runs):
    """A number that such jobs tell is beyond a bound. One of `below`, `above`, `change` and `zscore` says which."""

    metric: Annotated[str, Field(pattern=SOMETHING, max_length=128)] = Field(
        description="Its name.", examples=["accuracy"]
    )
    stage: Annotated[str, Field(pattern=NO_NUL, max_length=128)] | None = Field(
        None, description="Only of this stage; empty for what has none.", examples=["val"]
    )
    aggregate: Literal["last", "min", "max", "mean"] = Field(
        "last", description="Which number of a run counts.", examples=["max"]
    )
    below: Bound | None = Field(None, description="It happens when the number is lower.", examples=[0.9])
    above: Bound | None = Field(None, description="It happens when the number is higher.", examples=[2.5])
    change: Bound | None = Field(
        None,
        description="It happens when the number falls (negative) or rises (positive) by this part of what it was.",
        examples=[-0.05],
    )
    zscore: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = Field(
        None, description="It happens at so many standard deviations from the mean.", examples=[3]
    )
    runs: Few = Field(1, description="In so many runs in a row.", examples=[3])
    over: Few = Field(1, description="How many runs before are compared, for `change` and `zscore`.", examples=[10])
    window_seconds: Seconds | None = Field(
        None,
        description="Instead of runs: one number of all that was told in this time. For `below` and `above`.",
        examples=[600],
    )
    rearm: Bound | None = Field(
        None, description="It happens again only after the number has been back past this.", examples=[0.92]
    )


class ResourceWhen(Body):
    """A resource is above or below a bound for a time."""

    resource: Literal["gpu", "cpu", "memory", "disk"] = Field(
        description="Of each GPU its utilisation; of the node its CPUs, memory, or the disk of LEVARE_HOME.",
        examples=["gpu"],
    )
    node: Annotated[str, Field(pattern=NODE)] | None = Field(
        None, description="The node; null for each.", examples=["node-a"]
    )
    below: Percent | None = Field(None, description="Percent.", examples=[5])
    above: Percent | None = Field(None, description="Percent.", examples=[95])
    rearm: Percent | None = Field(None, description="It happens again only after it has been back past this.")
    for_seconds: Whole = Field(300, ge=0, le=MOST_SECONDS, description="For how long.", examples=[600])


class TriggerAbsenceWhen(Runs):
    """No success of such runs, or no such event, for a time."""

    event: EventWhen | None = Field(None, description="The event that is missed; nothing else is said then.")
    for_seconds: Seconds = Field(description="For how long.", examples=[93600])


class When(Body):
    """What it looks for: exactly one of these."""

    event: EventWhen | None = Field(None, description="An event was sent.")
    files: FilesWhen | None = Field(None, description="A file is new or has changed.")
    ended: EndedWhen | None = Field(None, description="A job, or a run of a schedule or pipeline, has ended.")
    metric: TriggerMetricWhen | None = Field(None, description="A metric of a model is beyond a bound.")
    resource: ResourceWhen | None = Field(None, description="A resource is beyond a bound.")
    absence: TriggerAbsenceWhen | None = Field(None, description="Something has not happened.")


class Batch(Body):
    """Several that share a run."""

    most: Whole = Field(ge=2, le=1000, description="At most so many.", examples=[50])
    within_seconds: Seconds = Field(description="Seconds from the first to the run.", examples=[60])


class BrakesRequest(Body):
    """What holds it back; what is left out does not."""

    cooldown_seconds: Whole = Field(
        0, ge=0, le=MOST_SECONDS, description="Seconds from the start of a run to the next.", examples=[3600]
    )
    in_flight: Annotated[int, Field(ge=1, le=10_000), WHOLE] | None = Field(
        None, description="The most of its runs that are not over.", examples=[1]
    )
    per_day: Annotated[int, Field(ge=1, le=1_000_000), WHOLE] | None = Field(
        None, description="The most runs that start on one day in UTC.", examples=[3]
    )
    same: list[Dotted] = Field(
        default_factory=list,
        max_length=10,
        description="Paths into the event: two with the same values there are the same.",
        examples=[["data.dataset"]],
    )
    same_within_seconds: Seconds = Field(
        86400, description="What is the same counts once in this time.", examples=[3600]
    )
    quiet_seconds: Whole = Field(
        0, ge=0, le=86400, description="A run waits until nothing has come for so long, and gets all.", examples=[30]
    )
    batch: Batch | None = Field(None, description="Several share a run.")
    waits: bool = Field(
        False, description="What the cool-down, `in_flight` or `per_day` stops waits for it instead of being held."
    )


def _no_brakes() -> BrakesRequest:
    return BrakesRequest.model_validate({})


class FromEvent(Body):
    """The value of the event at a path."""

    path: Dotted = Field(alias="from", description="Where it stands.", examples=["data.dataset"])
    default: Value | None = Field(None, description="Where the event has none; without it the run is held.")


Parameter = Value | FromEvent


class TriggerRequest(Body):
    """When to start what. The work is a `job` or a `pipeline`, as their submits take it."""

    when: When = Field(description="What it looks for: exactly one thing.")
    job: JobRequest | None = Field(None, description="The job that it starts.")
    pipeline: PipelineRequest | None = Field(None, description="The pipeline that it starts.")
    parameters: dict[Annotated[str, Field(pattern=VARIABLE, max_length=100)], Parameter] = Field(
        default_factory=dict,
        max_length=100,
        description="What its jobs find as LEVARE_PARAM_<NAME>: a value, or `{'from': path}` for one of the event.",
        examples=[{"dataset": {"from": "data.dataset"}, "epochs": 5}],
        json_schema_extra=_CLOSED,
    )
    brakes: BrakesRequest = Field(default_factory=_no_brakes, description="What holds it back.")
    paused: bool | None = Field(
        None, description="Whether it is paused; null leaves that as it is, and a new one active.", examples=[True]
    )
    description: str = Field(
        "", pattern=NO_NUL, max_length=2000, description="For people.", examples=["Retrain on new data."]
    )

    def definition(self) -> dict[str, Any]:
        """As it is kept, without what is as usual. Raise Contradiction, and what a submit of the work would raise."""
        faults = list(_contradictions(self))
        if faults:
            raise Contradiction(f"{faults[0].field} {faults[0].message}.", "docs/triggers.md shows examples.", faults)
        work = self.job or self.pipeline
        _ = work and work.check()
        return _said(self.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def _said(value: dict[str, Any]) -> dict[str, Any]:
    """Without what is null at the top and in `when`: to say nothing is the same."""
    when = {name: each for name, each in value["when"].items() if each is not None}
    return {name: each for name, each in value.items() if each is not None} | {"when": when}


def _contradictions(body: TriggerRequest) -> Iterator[Fault]:
    kinds = [name for name in When.model_fields if getattr(body.when, name) is not None]
    if len(kinds) != 1:
        yield Fault("when", "must say exactly one thing", ", ".join(kinds) or None, ", ".join(When.model_fields))
    if (body.job is None) == (body.pipeline is None):
        both = None if body.job is None else "job, pipeline"
        yield Fault("job", "must be said, or else pipeline, and not both", both, "one of job and pipeline")
    names = [name.upper() for name in body.parameters]
    if len(set(names)) < len(names):
        yield Fault("parameters", "must not differ only in capitals", ", ".join(body.parameters), "different names")
    for check in (_of_files, _of_ended, _of_metric, _of_resource, _of_absence):
        yield from check(body.when)


def _of_files(when: When) -> Iterator[Fault]:
    if when.files and ("//" in when.files.path or "/../" in f"{when.files.path}/"):
        yield Fault("when.files.path", "must be a plain path", when.files.path, "no // and no ..")


def _of_ended(when: When) -> Iterator[Fault]:
    if when.ended and not _says_any(when.ended):
        yield Fault("when.ended", "must say which runs", None, ", ".join(Runs.model_fields))


def _of_metric(when: When) -> Iterator[Fault]:
    if when.metric is None:
        return
    if not _says_any(when.metric):
        yield Fault("when.metric", "must say of which runs", None, ", ".join(Runs.model_fields))
    yield from _one_test("when.metric", when.metric, ("below", "above", "change", "zscore"))
    if when.metric.change == 0:
        yield Fault("when.metric.change", "must not be 0", 0, "a fall such as -0.05 or a rise such as 0.05")
    if when.metric.window_seconds is not None:
        yield from _of_window(when.metric)


def _of_window(metric: TriggerMetricWhen) -> Iterator[Fault]:
    for name in ("change", "zscore"):
        if getattr(metric, name) is not None:
            yield Fault(f"when.metric.{name}", "must compare runs, not a window", getattr(metric, name), "below, above")
    if metric.runs > 1:
        yield Fault("when.metric.runs", "must be 1 for a window", metric.runs, 1)


def _of_resource(when: When) -> Iterator[Fault]:
    if when.resource:
        yield from _one_test("when.resource", when.resource, ("below", "above"))


def _of_absence(when: When) -> Iterator[Fault]:
    if when.absence and _says_any(when.absence) == (when.absence.event is not None):
        yield Fault("when.absence", "must say which runs, or which event, and not both", None, "runs or an event")


def _one_test(field: str, when: TriggerMetricWhen | ResourceWhen, names: tuple[str, ...]) -> Iterator[Fault]:
    said = [name for name in names if getattr(when, name) is not None]
    if len(said) != 1:
        yield Fault(field, "must have exactly one test", ", ".join(said) or None, ", ".join(names))
        return
    bound: float = getattr(when, said[0])
    falls = said[0] == "below" or (said[0] == "change" and bound < 0)
    if when.rearm is not None and (when.rearm < bound if falls else when.rearm > bound):
        limit = f"at {'least' if falls else 'most'} {bound:g}"
        yield Fault(f"{field}.rearm", "must lie where it is well again", when.rearm, limit)


def _says_any(runs: Runs) -> bool:
    return any(getattr(runs, name) is not None for name in Runs.model_fields)
