"""What the API takes. Nothing unknown, nothing unbounded, no NUL anywhere."""

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue
from pydantic_core import PydanticCustomError

from app.arrays import ArrayRequest
from levare.store.jobs import Submission

MOST_ENV_BYTES = 64 * 1024
MOST_COMMAND_BYTES = 128 * 1024  # the kernel's limit of a single argument
MOST_MIB = 1 << 30
MOST_SECONDS = 10 * 365 * 24 * 3600
T = TypeVar("T")

_FIRST_YEAR, _LAST_YEAR = 2000, 2199

_NO_NUL = r"^[^\x00]*$"
_PROGRAM: dict[str, JsonValue] = {
    "type": "string",
    "minLength": 1,
    "maxLength": MOST_COMMAND_BYTES,
    "pattern": _NO_NUL,
}
_LABEL = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


def _a_text(value: Any) -> Any:
    """Numbers are no times: nobody can tell seconds from milliseconds."""
    if not isinstance(value, str):
        raise _refusal("a time such as 2030-01-01T12:00:00Z")
    return value


def _whole(value: Any) -> Any:
    """JSON makes no difference between 1 and 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_our_time(value: datetime) -> datetime:
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise _refusal(f"in a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return value


def _command(values: list[str]) -> list[str]:
    if not values[0]:
        raise _refusal("a list that begins with the name of a program")
    return _within(MOST_COMMAND_BYTES, values, values)


def _environment(values: dict[str, str]) -> dict[str, str]:
    return _within(MOST_ENV_BYTES, [*values, *values.values()], values)


def _within(most: int, texts: list[str], values: T) -> T:
    """The values, if the texts in them are no larger than this in UTF-8, with a byte at the end of each."""
    size = sum(len(text.encode()) + 1 for text in texts)
    if size > most:
        raise _refusal(f"at most {most} bytes in all, and is {size}")
    return values


def _refusal(limit: str) -> PydanticCustomError:
    return PydanticCustomError("limit", "must be {limit}", {"limit": limit})


Whole = Annotated[int, BeforeValidator(_whole)]
Time = Annotated[
    AwareDatetime,
    BeforeValidator(_a_text),
    AfterValidator(_in_our_time),
    Field(strict=False, examples=["2030-01-01T12:00:00Z"], json_schema_extra={"pattern": "^2[01][0-9]{2}-"}),
]
Label = Annotated[str, Field(pattern=_LABEL, max_length=63)]
Argument = Annotated[str, Field(pattern=_NO_NUL, max_length=MOST_COMMAND_BYTES)]
Variable = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
Value = Annotated[str, Field(pattern=_NO_NUL, max_length=MOST_ENV_BYTES)]
NeedOutcome = Literal["success", "failure", "always"]
JobId = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class NeededJob(Body):
    """A job and how it must end."""

    job: JobId = Field(description="Its id.", examples=["a1b2c3d4e5"])
    on: NeedOutcome = Field(
        "success",
        description="`success` or `failure` as its end, or `always` for any end, a cancel included.",
        examples=["failure"],
    )


def _as_object(value: Any) -> Any:
    return {"job": value} if isinstance(value, str) else value


def _distinct_needs(values: list[NeededJob]) -> list[NeededJob]:
    if len({need.job for need in values}) < len(values):
        raise _refusal("free of repetitions")
    return values


Need = Annotated[NeededJob, BeforeValidator(_as_object, json_schema_input_type=JobId | NeededJob)]


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
        pattern=r"^[^\x00-\x1f\x7f]*$",
        max_length=200,
        description="For people; that of its script or program if empty.",
        examples=["resnet"],
    )
    team: Label = Field("default", description="Who it is for.", examples=["vision"])
    project: Label = Field("default", description="What it belongs to.", examples=["imagenet"])
    priority: Whole = Field(5, ge=0, le=9, description="From 0 to 9; 9 is the most urgent.", examples=[5])
    gpus: Whole = Field(0, ge=0, le=64, description="GPUs, all on one node.", examples=[1])
    gpu_memory_mib: Annotated[int, Field(ge=1, le=MOST_MIB), BeforeValidator(_whole)] | None = Field(
        None,
        description="MiB of each GPU, whose rest others may use; null for whole GPUs. With `gpus` 0 it means one GPU.",
        examples=[20480],
    )
    cpus: Whole = Field(1, ge=1, le=65536, description="CPUs.", examples=[4])
    memory_mib: Whole = Field(0, ge=0, le=MOST_MIB, description="MiB of main memory.", examples=[16384])
    needs: Annotated[list[Need], AfterValidator(_distinct_needs)] = Field(
        default_factory=list,
        max_length=1000,
        description="Jobs that must end before it starts: an id, for its success, or an object that says how.",
        examples=[[]],
        json_schema_extra={"uniqueItems": True},
    )
    retries: Whole = Field(0, ge=0, le=100, description="How often it is started again after a failure.", examples=[2])
    timeout_seconds: Annotated[int, Field(ge=1, le=MOST_SECONDS), BeforeValidator(_whole)] | None = Field(
        None, description="Seconds until it is ended; null for never.", examples=[3600]
    )
    grace_seconds: Whole = Field(10, ge=0, le=86400, description="Seconds from SIGTERM to SIGKILL.", examples=[10])
    env: Annotated[dict[Variable, Value], AfterValidator(_environment)] = Field(
        default_factory=dict,
        max_length=1000,
        description=f"Environment variables; at most {MOST_ENV_BYTES} bytes in all.",
        examples=[{"SEED": "1"}],
        json_schema_extra={"additionalProperties": False},
    )
    cwd: str = Field(
        "",
        pattern=r"^(/[^\x00]*)?$",
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

    def submission(self) -> Submission:
        fields: dict[str, Any] = {name: getattr(self, name) for name in type(self).model_fields}
        needs = {need.job: need.on for need in self.needs}
        return Submission(**{**fields, "needs": needs, "array": self.array and self.array.elements()})


class NodeState(Body):
    """What a node is to do from now on."""

    state: Literal["ready", "draining"] = Field(
        description="`draining` takes nothing new and lets what runs end.", examples=["draining"]
    )


class TokenRequest(Body):
    """A new token."""

    name: Label = Field(description="Whose it is; never used before.", examples=["laptop"])
    role: Literal["admin"] = Field("admin", description="What it may do.", examples=["admin"])
    expires_at: Time | None = Field(None, description="Until when it is valid; null for ever.")
