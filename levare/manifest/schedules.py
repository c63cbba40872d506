"""Schedules: when to submit what."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from levare.decide.timing import timing_of
from levare.errors import Fault, InvalidSchedule, LevareError
from levare.manifest.arrays import Name, Value
from levare.manifest.jobs import JobRequest
from levare.manifest.patterns import ONE_LINE
from levare.manifest.pipelines import PipelineRequest
from levare.manifest.values import MOST_SECONDS, WHOLE, Body, Time, Whole, distinct, refusal

_MOST_PARAMETERS = 100
_MOST_DATES = 1000
_MOST_WINDOWS = 20
_ABSOLUTE = ("start_after", "deadline")
_RESERVED = ("lint", "calendar")


def _a_date(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value).isoformat()
        except ValueError:
            pass
    raise refusal("a date such as 2030-12-25")


def distinct_in_capitals(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """In the environment the names stand in capitals."""
    if len({name.upper() for name in values}) < len(values):
        raise refusal("free of names that differ only in capitals")
    return values


Date = Annotated[
    str,
    BeforeValidator(_a_date),
    Field(json_schema_extra={"pattern": r"^20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])$"}),
]
Dates = Annotated[
    list[Date], AfterValidator(distinct), Field(max_length=_MOST_DATES, json_schema_extra={"uniqueItems": True})
]
Line = Annotated[str, Field(pattern=ONE_LINE, max_length=500)]
Parameters = Annotated[
    dict[Name, Value],
    AfterValidator(distinct_in_capitals),
    Field(max_length=_MOST_PARAMETERS, json_schema_extra={"additionalProperties": False}),
]


class CalendarRequest(Body):
    """On which days and at what times of day something may be due at all, by the clocks of the schedule's zone."""

    days: str | None = Field(
        None, max_length=100, description="Days of the week as cron writes them; all by default.", examples=["MON-FRI"]
    )
    windows: list[Annotated[str, Field(max_length=20)]] | None = Field(
        None,
        max_length=_MOST_WINDOWS,
        description="Parts of the day; one may go over midnight. The whole day by default.",
        examples=[["22:00-06:00"]],
    )
    except_: Dates | None = Field(
        None, alias="except", description="Dates on which nothing is due.", examples=[["2030-05-17"]]
    )
    holidays: Dates | None = Field(
        None, description="The same; for the holidays that many schedules share.", examples=[["2030-12-25"]]
    )


class ScheduleRequest(Body):
    """When to submit what: one of `cron`, `every_seconds` and `at`, and one of `job` and `pipeline`."""

    cron: str | None = Field(
        None,
        min_length=1,
        max_length=500,
        description="Minute, hour, day of month, month and day of week, or a macro such as @daily.",
        examples=["0 3 * * *"],
    )
    every_seconds: Annotated[int, Field(ge=1, le=MOST_SECONDS), WHOLE] | None = Field(
        None, description="Seconds from one due time to the next, counted from `starts`.", examples=[3600]
    )
    at: Time | None = Field(None, description="The only due time.")
    zone: str = Field(
        "UTC", max_length=100, description="The IANA time zone whose clocks count.", examples=["Europe/Berlin"]
    )
    starts: Time | None = Field(None, description="Nothing is due before.")
    ends: Time | None = Field(None, description="Nothing is due from then on.")
    jitter_seconds: Whole = Field(
        0,
        ge=0,
        le=86400,
        description="It starts up to so many seconds after it is due, each time another, always the same for one.",
        examples=[300],
    )
    calendar: CalendarRequest | None = Field(None, description="The days and times of day that are open; null for all.")
    misfire: Literal["skip", "latest", "all"] = Field(
        "latest",
        description="What is made up for after a downtime: nothing, the latest due time, or all.",
        examples=["latest"],
    )
    max_lateness_seconds: Annotated[int, Field(ge=0, le=MOST_SECONDS), WHOLE] | None = Field(
        None,
        description="What is later than this never runs; null for no limit, with `misfire` all for a day.",
        examples=[7200],
    )
    overlap: Literal["allow", "forbid", "replace", "queue"] = Field(
        "allow",
        description="While a run has not ended: start another, skip, cancel it and start, or wait for its end.",
        examples=["forbid"],
    )
    parameters: Parameters = Field(
        default_factory=dict,
        description="What its jobs find in `LEVARE_PARAM_<NAME>`.",
        examples=[{"days": 7}],
    )
    paused: bool | None = Field(
        None, description="Whether it is paused; null leaves that as it is, and a new one active.", examples=[True]
    )
    description: Line = Field("", description="For people.", examples=["Retrains on what came in yesterday."])
    job: JobRequest | None = Field(
        None, description="What to submit, as POST /v1/jobs takes it; without `start_after` and `deadline`."
    )
    pipeline: PipelineRequest | None = Field(None, description="What to submit, as POST /v1/pipelines takes it.")

    def definition(self, name: str) -> dict[str, Any]:
        """As it is kept, without what is as usual; raise InvalidSchedule, or what its work is refused for."""
        written = without_null(self.model_dump(mode="json", exclude_defaults=True, by_alias=True))
        _check_name(name)
        _check_work(written)
        timing_of(written)
        self._check_parts()
        return written

    def _check_parts(self) -> None:
        """What a submit refuses in words of its own is refused in these."""
        try:
            if self.job:
                self.job.check()
            elif self.pipeline:
                self.pipeline.check()
        except LevareError as error:
            raise within(error, "job" if self.job else "pipeline") from None


def within(error: LevareError, part: str) -> LevareError:
    """The error, said of a part of the definition."""
    error.faults = [Fault(f"{part}.{each.field}", each.message, each.value, each.limit) for each in error.faults]
    return error


def _check_name(name: str) -> None:
    if name in _RESERVED:
        fault = Fault("name", "is a word of the API", name, f"any name but {' and '.join(_RESERVED)}")
        raise InvalidSchedule(
            f"A schedule cannot be called {name!r}: that is a word of the API.", "Rename it.", [fault]
        )


def _check_work(written: Mapping[str, Any]) -> None:
    works = [part for part in ("job", "pipeline") if part in written]
    if len(works) != 1:
        said = " and ".join(works) or "neither"
        fault = Fault("job", f"{said} is given", said, "one of job and pipeline")
        detail = f"A schedule has one of job and pipeline, and this has {said}."
        raise InvalidSchedule(detail, "Give exactly one of them.", [fault])
    faults = list(_absolute_times(written))
    if faults:
        names = ", ".join(fault.field for fault in faults)
        next_step = "Leave it out; `starts`, `ends` and `max_lateness_seconds` bound the schedule itself."
        raise InvalidSchedule(f"{names} is one time, and a schedule runs many times.", next_step, faults)


def _absolute_times(written: Mapping[str, Any]) -> list[Fault]:
    jobs = {"job": written["job"]} if "job" in written else {}
    for place, step in enumerate(written.get("pipeline", {}).get("jobs", ())):
        jobs[f"pipeline.jobs.{place}"] = step
    return [
        Fault(f"{part}.{name}", "makes no sense in a schedule", job[name], "nothing")
        for part, job in jobs.items()
        for name in _ABSOLUTE
        if name in job
    ]


def without_null(value: Any) -> Any:
    """Nothing is as good as null: the document is the same."""
    if isinstance(value, dict):
        return {name: without_null(each) for name, each in value.items() if each is not None}
    return [without_null(each) for each in value] if isinstance(value, list) else value
