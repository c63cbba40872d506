"""What the API answers about schedules."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.answers import At, Job, NextCursor

State = Literal["active", "paused", "done"]
Outcome = Literal["run", "skipped"]


class Fire(BaseModel):
    """A due time and what became of it."""

    schedule: str = Field(examples=["nightly"])
    due_at: At
    until: At | None = Field(description="If it stands for all due times until then, which were skipped together.")
    outcome: Outcome = Field(examples=["run"])
    reason: str | None = Field(
        description="Why it was skipped, or what was special about its run.",
        examples=["It was missed by 2 h 5 min, and what is missed is skipped."],
    )
    job: str | None = Field(description="The id of its job, or of the first of its pipeline.", examples=["k3v9x2m1qa"])
    pipeline: str | None = Field(description="The id of its pipeline.", examples=["p7d2m9x4ka"])
    state: str | None = Field(description="Where its job, or its whole pipeline, stands.", examples=["succeeded"])
    decided_at: At


class Fires(BaseModel):
    items: list[Fire]
    next_cursor: NextCursor


class OpenRun(BaseModel):
    """A run of which some job has not ended."""

    due_at: At | None = Field(description="null if somebody asked for it.")
    jobs: list[str] = Field(description="Ids of those that have not ended.", examples=[["k3v9x2m1qa"]])


class Schedule(BaseModel):
    """A schedule: what is declared of it, and how it stands."""

    name: str = Field(examples=["nightly"])
    definition: dict[str, Any] = Field(
        description="As it was written: what a PUT takes.",
        examples=[{"cron": "0 3 * * *", "zone": "Europe/Berlin", "job": {"command": ["python", "train.py"]}}],
    )
    state: State = Field(description="`done` when nothing is due any more.", examples=["active"])
    due_at: At | None = Field(description="The next due time; null when there is none.")
    fires_at: At | None = Field(description="The same with its jitter: when it starts.")
    zone: str = Field(examples=["Europe/Berlin"])
    last: Fire | None = Field(description="What became of the last due time; null before any.")
    success_percent: float | None = Field(
        description="Of its last 20 scheduled runs, how many of those that succeeded or failed have succeeded.",
        examples=[95.0],
    )
    runs_counted: int = Field(description="How many runs `success_percent` is of.", examples=[20])
    open_runs: list[OpenRun] = Field(description="Runs that have not ended, the newest 20 of them, oldest first.")
    open_count: int = Field(description="How many there are in all.", examples=[1])
    revision: int = Field(description="The number of the revision that declared it so.", examples=[12])
    owner: str = Field(description="Who declared it so: its jobs are this user's.", examples=["ada"])
    changed_at: At
    paused_at: At | None = Field(description="Since when it is paused; null if it is not.")
    paused_by: str | None = Field(examples=["ada"])
    paused_reason: str | None = Field(examples=["No data yet."])


class Schedules(BaseModel):
    items: list[Schedule]
    next_cursor: NextCursor


class Finding(BaseModel):
    """Something to look at."""

    code: str = Field(description="What was found, stable across versions.", examples=["skipped-by-clocks"])
    level: Literal["error", "warning"] = Field(description="An `error` never does what was meant.")
    schedules: list[str] = Field(description="The schedules that it is about.", examples=[["nightly"]])
    message: str = Field(examples=["Clocks jump over 02:00 to 03:00 on 2030-03-31."])
    at: list[At] = Field(description="The first times at which it shows, at most four.")


class Findings(BaseModel):
    items: list[Finding]


class Declared(BaseModel):
    """A schedule as it is declared now, and what lint has to say about it."""

    schedule: Schedule
    findings: list[Finding]


class ScheduleRun(BaseModel):
    """What a run has submitted."""

    schedule: str = Field(examples=["nightly"])
    pipeline: str | None = Field(description="The id of its pipeline; null for a single job.")
    jobs: list[Job]


class Due(BaseModel):
    """A due time to come."""

    due_at: At
    local: str = Field(description="As the clocks of its zone show it.", examples=["2030-01-01T03:00:00+01:00"])
    fires_at: At = Field(description="With its jitter: when it starts.")


class Next(BaseModel):
    schedule: str = Field(examples=["nightly"])
    zone: str = Field(examples=["Europe/Berlin"])
    state: State = Field(description="What is due while it is `paused` is skipped.")
    items: list[Due] = Field(description="In order; empty if nothing is due any more.")


class Exclusion(BaseModel):
    part: str = Field(description="The field of the definition.", examples=["calendar.days"])
    message: str = Field(examples=["Sunday is none of the days of its calendar."])


class WhyFire(BaseModel):
    """Why a schedule ran at a time, or why it did not."""

    schedule: str = Field(examples=["nightly"])
    at: At = Field(description="The time that was asked about.")
    verdict: Literal["run", "skipped", "not-due", "not-declared", "edited", "pending", "future"] = Field(
        description="`not-declared` before it was declared and after it was removed; `edited` if its times were "
        "changed before it started; `pending` until beat has decided.",
        examples=["skipped"],
    )
    message: str = Field(examples=["It was due at 2030-01-01 02:00:00 UTC and was skipped: Paused by ada."])
    due_at: At | None = Field(description="The due time that is meant; null if nothing was due then.")
    fire: Fire | None = Field(description="What became of it.")
    excluded: list[Exclusion] = Field(description="What kept it from being due, each part of the definition that did.")
    before: At | None = Field(description="The due time before it.")
    after: At | None = Field(description="The due time after it.")
    revision: int | None = Field(description="The revision that was in force then.", examples=[12])


class Revision(BaseModel):
    """A change of what is declared."""

    number: int = Field(examples=[12])
    at: At
    by: str = Field(description="The name of the token.", examples=["ada"])
    source: str = Field(description="Where it came from.", examples=["127.0.0.1"])
    reason: str = Field(examples=[""])
    before: dict[str, Any] | None = Field(description="The definition before; null if there was none.")
    after: dict[str, Any] | None = Field(description="The definition after; null if it was removed.")


class Revisions(BaseModel):
    items: list[Revision]


class ExpectedStart(BaseModel):
    """A run that is expected, or many of a schedule that starts very often."""

    schedule: str = Field(examples=["nightly"])
    due_at: At
    starts_at: At
    until: At | None = Field(description="If it stands for `count` runs that come evenly until then.")
    count: int = Field(examples=[1])
    gpus: float = Field(description="The most that a run holds at once; a part of a GPU is a part.", examples=[4])
    typical_seconds: float = Field(description="Half of its runs take less; an hour if `known` is false.")
    promised_seconds: float = Field(description="Nine of ten of its runs take less.", examples=[7200.0])
    known: bool = Field(description="Whether history or a limit tells how long it takes.", examples=[True])


class CalendarHour(BaseModel):
    """What is expected of an hour in which schedules hold GPUs."""

    at: At
    gpus: float = Field(description="The most at once, if all take their typical time.", examples=[6])
    gpus_at_most: float = Field(description="The most at once, if all take long.", examples=[8])
    kept: float = Field(description="GPUs of nodes that windows keep.", examples=[0])
    schedules: list[str] = Field(examples=[["nightly"]])
    is_conflict: bool = Field(description="Whether `gpus` and `kept` are more than there are.")


class Slot(BaseModel):
    """When there is room for what was asked for, with the least beside it."""

    at: At
    until: At
    busy: float = Field(description="GPUs that schedules and windows hold on average meanwhile.", examples=[0.5])


class CalendarAnswer(BaseModel):
    """The load that schedules bring; what people submit by hand is not in it."""

    begins: At
    ends: At
    fleet_gpus: int = Field(description="GPUs of all nodes that are not lost.", examples=[8])
    starts: list[ExpectedStart] = Field(description="The first 1000, by their time.")
    starts_left_off: int = Field(description="How many more there are.", examples=[0])
    hours: list[CalendarHour] = Field(description="Those in which schedules are expected to hold GPUs.")
    slot: Slot | None = Field(
        description="For `gpus` and `seconds`: when to run that; null if not asked for, or if there is no room."
    )
