"""Jobs: a command and what it needs to run."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, JsonValue, Tag, model_serializer

from levare.manifest.arrays import ArrayRequest
from levare.manifest.patterns import COMMIT, DIGEST, DIRECTORY, JOB_ID, MODEL, NO_NUL, ONE_LINE, VARIABLE
from levare.manifest.values import (
    MOST_SECONDS,
    WHOLE,
    Amounts,
    Body,
    Ending,
    Hours,
    Label,
    Labels,
    Secret,
    Signal,
    Time,
    Whole,
    distinct,
    refusal,
)

MOST_ENV_BYTES = 64 * 1024
MOST_COMMAND_BYTES = 128 * 1024  # the kernel's limit of a single argument
MOST_MIB = 1 << 30
T = TypeVar("T")

_PROGRAM: dict[str, JsonValue] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MOST_COMMAND_BYTES,
    "pattern": NO_NUL,
}


def _command(values: list[str]) -> list[str]:
    if not values[0]:
        raise refusal("a list that begins with the name of a program")
    return _within(MOST_COMMAND_BYTES, values, values)


def _environment(values: dict[str, str | Secret]) -> dict[str, str | Secret]:
    texts = [value if isinstance(value, str) else value.secret for value in values.values()]
    return _within(MOST_ENV_BYTES, [*values, *texts], values)


def _within(most: int, texts: list[str], values: T) -> T:
    """The values, if the texts in them are no larger than this in UTF-8, with a byte at the end of each."""
    size = sum(len(text.encode()) + 1 for text in texts)
    if size > most:
        raise refusal(f"at most {most} bytes in all, and is {size}")
    return values


Argument = Annotated[str, Field(pattern=NO_NUL, max_length=MOST_COMMAND_BYTES)]
Variable = Annotated[str, Field(pattern=VARIABLE, max_length=256)]
Value = Annotated[str, Field(pattern=NO_NUL, max_length=MOST_ENV_BYTES)]
ValueOrSecret = Annotated[
    Annotated[Value, Tag("[value]")] | Annotated[Secret, Tag("[secret]")],
    Discriminator(lambda value: "[secret]" if isinstance(value, dict | Secret) else "[value]"),
]
NeedOutcome = Literal["success", "failure", "always"]
JobId = Annotated[str, Field(pattern=JOB_ID)]


class NeededJob(Body):
    """A job and how it must end."""

    job: JobId = Field(description="Its id.", examples=["a1b2c3d4e5"])
    on: NeedOutcome = Field(
        "success",
        description="`success` or `failure` as its end, or `always` for any end, a cancel included.",
        examples=["failure"],
    )

    @model_serializer
    def as_written(self) -> str | dict[str, str]:
        """The bare id where its success is what counts."""
        return self.job if self.on == "success" else {"job": self.job, "on": self.on}


def _as_object(value: Any) -> Any:
    return {"job": value} if isinstance(value, str) else value


def _distinct_needs(values: list[NeededJob]) -> list[NeededJob]:
    if len({need.job for need in values}) < len(values):
        raise refusal("free of repetitions")
    return values


Need = Annotated[NeededJob, BeforeValidator(_as_object, json_schema_input_type=JobId | NeededJob)]


class Code(Body):
    """What the checkout held from which a job was submitted."""

    commit: str = Field(pattern=COMMIT, description="Of git.", examples=["3f2a9c1d0b7e"])
    branch: str = Field("", pattern=ONE_LINE, max_length=250, description="Of git.", examples=["main"])
    root: str = Field("", pattern=NO_NUL, max_length=4096, description="Its folder.", examples=["/home/ann/run"])
    dirty: bool | None = Field(
        None, description="Whether files differed from the commit; null if unknown.", examples=[True]
    )
    diff: Annotated[str, Field(pattern=DIGEST, max_length=64)] | None = Field(
        None, description="A digest of what differed; null for nothing.", examples=["9be1c02a77d4"]
    )


class JobRequest(Body):
    """A command and what it needs to run."""

    command: Annotated[list[Argument], AfterValidator(_command)] = Field(
        min_length=1,
        max_length=1000,
        description=f"The program and its arguments, without a shell; at most {MOST_COMMAND_BYTES} bytes in all.",
        examples=[["python", "train.py", "--epochs", "10"]],
        json_schema_extra={"prefixItems": [_PROGRAM]},
    )
    name: str = Field(
        "",
        pattern=ONE_LINE,
        max_length=200,
        description="For people; that of its script or program if empty.",
        examples=["resnet"],
    )
    team: Label = Field("default", description="Who it is for.", examples=["vision"])
    project: Label = Field("default", description="What it belongs to.", examples=["imagenet"])
    priority: Whole = Field(5, ge=0, le=9, description="From 0 to 9; 9 is the most urgent.", examples=[5])
    gpus: Whole = Field(0, ge=0, le=64, description="GPUs of each node.", examples=[1])
    gpu_memory_mib: Annotated[int, Field(ge=1, le=MOST_MIB), WHOLE] | None = Field(
        None,
        description="MiB of each GPU, whose rest others may use; null for whole GPUs. With `gpus` 0 it means one GPU.",
        examples=[20480],
    )
    cpus: Whole = Field(1, ge=1, le=65536, description="CPUs.", examples=[4])
    memory_mib: Whole = Field(0, ge=0, le=MOST_MIB, description="MiB of main memory.", examples=[16384])
    scratch_mib: Whole = Field(0, ge=0, le=MOST_MIB, description="MiB of disk for its own files.", examples=[51200])
    gpu_model: Annotated[str, Field(pattern=MODEL, max_length=100)] | None = Field(
        None,
        description="A part of the model's name, in whatever case; null for any. With `gpus` 0 it means one GPU.",
        examples=["H100"],
    )
    resources: Amounts = Field(
        default_factory=dict,
        description="How many of each custom resource, of the node or of the fleet, it holds while it runs.",
        examples=[{"licence": 1}],
    )
    require: Labels = Field(
        default_factory=dict,
        description="Labels that a node must have, all with these values.",
        examples=[{"disk": "nvme"}],
    )
    prefer: Labels = Field(
        default_factory=dict,
        description="Labels that choose among the nodes that serve.",
        examples=[{"zone": "a"}],
    )
    avoid: Labels = Field(
        default_factory=dict,
        description="Labels of which a node must have none with this value.",
        examples=[{"node": "node-b"}],
    )
    nodes: Whole = Field(
        1, ge=1, le=64, description="On how many nodes it runs at once; all else it asks for is of each.", examples=[1]
    )
    spread: bool = Field(False, description="On the emptiest node that serves, not the fullest.", examples=[False])
    needs: Annotated[list[Need], AfterValidator(_distinct_needs)] = Field(
        default_factory=list,
        max_length=1000,
        description="Jobs that must end before it starts: an id, for its success, or an object that says how.",
        examples=[[]],
        json_schema_extra={"uniqueItems": True},
    )
    retries: Whole = Field(0, ge=0, le=100, description="How often it is started again after a failure.", examples=[2])
    retry_on: Annotated[list[Ending], AfterValidator(distinct)] = Field(
        default_factory=list,
        max_length=20,
        description="The endings after which it is started again: `failed`, `timed_out`, `out_of_memory`, `lost`, "
        "`preempted`, or exit codes as `exit:75` or `exit:64-78`; empty for all that a retry can cure.",
        examples=[["out_of_memory", "exit:75"]],
        json_schema_extra={"uniqueItems": True},
    )
    backoff_seconds: Whole = Field(
        0, ge=0, le=86400, description="Seconds until the first retry; doubled for each one more.", examples=[30]
    )
    memory_growth: float = Field(
        1.0, ge=1, le=4, description="What its memory is multiplied with after it ran out of it.", examples=[1.5]
    )
    preemptible: bool = Field(
        True, description="Whether it may be ended, and start again later, to make room.", examples=[True]
    )
    min_runtime_seconds: Whole = Field(
        300, ge=0, le=MOST_SECONDS, description="Seconds that it runs before it may be preempted.", examples=[300]
    )
    warning_signal: Signal | None = Field(
        None,
        description="The signal that it gets `warning_seconds` before SIGTERM, when it is preempted or at its limit.",
        examples=["USR1"],
    )
    warning_seconds: Whole = Field(
        0, ge=0, le=86400, description="Seconds from the warning signal to SIGTERM.", examples=[0]
    )
    deadline: Time | None = Field(
        None, description="When it should be done; as that nears, it becomes more urgent. It is not ended then."
    )
    only_between: Hours | None = Field(
        None,
        description="The hours of the day, in UTC, in which it may start; they may go over midnight.",
        examples=["22:00-06:00"],
    )
    timeout_seconds: Annotated[int, Field(ge=1, le=MOST_SECONDS), WHOLE] | None = Field(
        None, description="Seconds until it is ended; null for never.", examples=[3600]
    )
    grace_seconds: Whole = Field(10, ge=0, le=86400, description="Seconds from SIGTERM to SIGKILL.", examples=[10])
    env: Annotated[dict[Variable, ValueOrSecret], AfterValidator(_environment)] = Field(
        default_factory=dict,
        max_length=1000,
        description=f"Environment variables; at most {MOST_ENV_BYTES} bytes in all. Of a secret only its name stands "
        "here: its value is read by its worker when it starts.",
        examples=[{"SEED": "1", "API_KEY": {"secret": "HUB_KEY"}}],
        json_schema_extra={"additionalProperties": False},
    )
    cwd: str = Field(
        "",
        pattern=DIRECTORY,
        max_length=4096,
        description="An absolute path on the node; empty for a directory of its own under LEVARE_HOME.",
        examples=["/data/imagenet"],
    )
    start_after: Time | None = Field(None, description="It does not start before this time, which has a zone.")
    on_lost: Literal["keep", "requeue"] = Field(
        "keep",
        description="When its node falls silent: `keep` it there until the node is back, or `requeue` it elsewhere.",
        examples=["keep"],
    )

    array: ArrayRequest | None = Field(None, description="Many jobs in one; null for a single job.")
    code: Code | None = Field(
        None,
        description="The code that it was submitted from, for whoever looks for what has changed; null if unknown.",
    )

    def check(self) -> None:
        """Raise InvalidArray for an array that cannot be meant."""
        _ = self.array and self.array.elements()
