"""Kinds of values that bodies hold, each refused in words that say what it may be."""

import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from levare.manifest.patterns import CAPITALS
from levare.written import ENDINGS_IN_WORDS, HOURS, LABEL, MOST_OF_RESOURCE, RETRY_ON

MOST_SECONDS = 10 * 365 * 24 * 3600
UNNAMED = "unnamed_secret"
"""The type of the error of a secret that is written where only its name may be."""
_FIRST_YEAR, _LAST_YEAR = 2000, 2199
_MOST_ENTRIES = 64


class Body(BaseModel):
    """What somebody sends or declares: nothing unknown in it, nothing unbounded, no NUL anywhere."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Secret(Body):
    """The name of a secret. Who needs it reads LEVARE_SECRET_<NAME>, or the 0600 file LEVARE_SECRETS/<NAME>."""

    secret: Annotated[str, Field(pattern=CAPITALS)] = Field(
        description="Its name: capitals, digits and _.", examples=["OPS_WEBHOOK"]
    )

    @model_validator(mode="before")
    @classmethod
    def _is_named(cls, value: Any) -> Any:
        if not isinstance(value, Secret | dict):
            raise PydanticCustomError(UNNAMED, "must be {limit}", {"limit": "{secret: NAME}"})
        return value  # pyright: ignore[reportUnknownVariableType]


def refusal(limit: str) -> PydanticCustomError:
    return PydanticCustomError("limit", "must be {limit}", {"limit": limit})


def _a_text(value: Any) -> Any:
    """Numbers are no times: nobody can tell seconds from milliseconds."""
    if not isinstance(value, str):
        raise refusal("a time such as 2030-01-01T12:00:00Z")
    return value


def _whole(value: Any) -> Any:
    """JSON makes no difference between 1 and 1.0."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _in_our_time(value: datetime) -> datetime:
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise refusal(f"in a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    return value


def distinct(values: list[str]) -> list[str]:
    if len(set(values)) < len(values):
        raise refusal("free of repetitions")
    return values


def _like(pattern: str, limit: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise refusal(limit)
        return value

    return check


def _without_prefix(signal: str) -> str:
    return signal.removeprefix("SIG")


WHOLE = BeforeValidator(_whole)
"""Goes behind a bound that stands in the same annotation; before it, the document would not tell of the bound."""
Whole = Annotated[int, WHOLE]
Time = Annotated[
    AwareDatetime,
    BeforeValidator(_a_text),
    AfterValidator(_in_our_time),
    Field(strict=False, examples=["2030-01-01T12:00:00Z"], json_schema_extra={"pattern": "^2[01][0-9]{2}-"}),
]
Label = Annotated[str, Field(pattern=LABEL, max_length=63)]
Amount = Annotated[int, Field(ge=1, le=MOST_OF_RESOURCE), BeforeValidator(_whole)]
Labels = Annotated[
    dict[Label, Label], Field(max_length=_MOST_ENTRIES, json_schema_extra={"additionalProperties": False})
]
Amounts = Annotated[
    dict[Label, Amount], Field(max_length=_MOST_ENTRIES, json_schema_extra={"additionalProperties": False})
]
Ending = Annotated[
    str,
    AfterValidator(_like(RETRY_ON, ENDINGS_IN_WORDS)),
    Field(json_schema_extra={"pattern": RETRY_ON}),
]
FailureName = Literal[
    "host_memory",
    "gpu_memory",
    "shared_memory",
    "nan",
    "cuda_error",
    "distributed_error",
    "disk_full",
    "file_limit",
    "network_error",
    "import_error",
    "bad_argument",
    "command_not_found",
    "data_not_found",
    "permission_denied",
    "cannot_start",
    "assertion",
    "exception",
    "segfault",
    "killed",
    "timeout",
    "node_lost",
    "preemption",
    "unknown",
]
Hours = Annotated[
    str,
    AfterValidator(_like(HOURS, "two times of the day in UTC such as 22:00-06:00")),
    Field(json_schema_extra={"pattern": HOURS}),
]
Signal = Annotated[
    Literal["USR1", "USR2", "INT", "HUP", "TERM", "SIGUSR1", "SIGUSR2", "SIGINT", "SIGHUP", "SIGTERM"],
    AfterValidator(_without_prefix),
]
