"""Schedules: what the API answers about them, and one method per endpoint."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict
from uuid import uuid4

from levare.client.answers import Job
from levare.client.parts import Version, dry, given, instant, only, part
from levare.client.wire import Wire

_PAGE = 200
_PLACE = "/v1/schedules"


class Definition(TypedDict, total=False):
    """
    One of `cron`, `every_seconds` and `at`, and one of `job` and `pipeline`, which are as a submit takes them.

    `calendar` has `days`, `windows`, `except` and `holidays`.
    """

    cron: str
    every_seconds: int
    at: str
    zone: str
    starts: str
    ends: str
    jitter_seconds: int
    calendar: Mapping[str, Any]
    misfire: str
    max_lateness_seconds: int
    overlap: str
    parameters: Mapping[str, str | float | bool]
    description: str
    job: Mapping[str, Any]
    pipeline: Mapping[str, Any]


class Fire(TypedDict):
    """A due time and what became of it; `until` if it stands for all until then. `state` is its job's or pipeline's."""

    schedule: str
    due_at: str
    until: str | None
    outcome: str
    reason: str | None
    job: str | None
    pipeline: str | None
    state: str | None
    decided_at: str


class OpenRun(TypedDict):
    """A run that has not ended; `due_at` is None if somebody asked for it."""

    due_at: str | None
    jobs: list[str]


class Schedule(TypedDict):
    """`state` is `active`, `paused` or `done`; `success_percent` is of the last `runs_counted` that ended."""

    name: str
    definition: dict[str, Any]
    state: str
    due_at: str | None
    fires_at: str | None
    zone: str
    last: Fire | None
    success_percent: float | None
    runs_counted: int
    open_runs: list[OpenRun]
    open_count: int
    revision: int
    owner: str
    changed_at: str
    paused_at: str | None
    paused_by: str | None
    paused_reason: str | None


class Finding(TypedDict):
    """What lint has to say; `level` is `error` or `warning`."""

    code: str
    level: str
    schedules: list[str]
    message: str
    at: list[str]


class Declared(TypedDict):
    schedule: Schedule
    findings: list[Finding]


class ScheduleRun(TypedDict):
    """What was submitted; `pipeline` is None for a single job."""

    schedule: str
    pipeline: str | None
    jobs: list[Job]


class Due(TypedDict):
    """A due time, as its zone shows it, and with its jitter."""

    due_at: str
    local: str
    fires_at: str


class Next(TypedDict):
    schedule: str
    zone: str
    state: str
    items: list[Due]


class Exclusion(TypedDict):
    part: str
    message: str


class WhyFire(TypedDict):
    """Why something ran at a time, or why not: `verdict` in a word, `message` in a sentence."""

    schedule: str
    at: str
    verdict: str
    message: str
    due_at: str | None
    fire: Fire | None
    excluded: list[Exclusion]
    before: str | None
    after: str | None
    revision: int | None


class Revision(TypedDict):
    """A change of what is declared: `before` is None if there was nothing, `after` if it was removed."""

    number: int
    at: str
    by: str
    source: str
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


class ExpectedStart(TypedDict):
    """A run that is expected, or, with `until`, `count` of them that come evenly until then."""

    schedule: str
    due_at: str
    starts_at: str
    until: str | None
    count: int
    gpus: float
    typical_seconds: float
    promised_seconds: float
    known: bool


class CalendarHour(TypedDict):
    """The most GPUs at once in an hour: typically, if all take long, and of nodes that windows keep."""

    at: str
    gpus: float
    gpus_at_most: float
    kept: float
    schedules: list[str]
    is_conflict: bool


class Slot(TypedDict):
    at: str
    until: str
    busy: float


class Outlook(TypedDict):
    """The load that schedules bring; `slot` is None if none was asked for, or if there is none."""

    begins: str
    ends: str
    fleet_gpus: int
    starts: list[ExpectedStart]
    starts_left_off: int
    hours: list[CalendarHour]
    slot: Slot | None


class ScheduleCalls:
    """The part of the client that speaks of schedules."""

    _wire: Wire

    def schedules(self) -> Iterator[Schedule]:
        """All of them by name, each with its next due time and what became of the last; pages as they are needed."""
        return self._wire.pages(_PLACE, None)

    def schedule(self, name: str) -> Schedule:
        return self._ask("GET", f"/{part(name)}")

    def set_schedule(
        self, name: str, definition: Definition, *, dry_run: bool = False, if_match: Version = None
    ) -> Declared:
        """Declare a schedule, or declare it anew; the answer has what lint says of it, too."""
        return self._ask("PUT", f"/{part(name)}", params=dry(dry_run), **only(if_match), json=dict(definition))

    def remove_schedule(self, name: str, *, dry_run: bool = False, if_match: Version = None) -> Schedule:
        """Forget a schedule, and return what it was; its fires, revisions and jobs stay."""
        return self._ask("DELETE", f"/{part(name)}", params=dry(dry_run), **only(if_match))

    def pause_schedule(self, name: str, *, reason: str = "", dry_run: bool = False) -> Schedule:
        """Skip whatever is due from now on."""
        body = {"state": "paused", "reason": reason}
        return self._ask("PUT", f"/{part(name)}/state", params=dry(dry_run), json=body)

    def resume_schedule(self, name: str, *, dry_run: bool = False) -> Schedule:
        """Have what is due from now on run again."""
        return self._ask("PUT", f"/{part(name)}/state", params=dry(dry_run), json={"state": "active"})

    def run_schedule(
        self,
        name: str,
        *,
        parameters: Mapping[str, str | float | bool] | None = None,
        idempotency_key: str | None = None,
        dry_run: bool = False,
    ) -> ScheduleRun:
        """Submit its work now, as yours; `parameters` go before its own, and its due times stay as they are."""
        headers = {"Idempotency-Key": idempotency_key or uuid4().hex}
        body = {"parameters": dict(parameters or {})}
        return self._ask("POST", f"/{part(name)}/run", params=dry(dry_run), json=body, headers=headers)

    def schedule_fires(
        self, name: str, *, outcome: str | Sequence[str] | None = None, limit: int | None = None
    ) -> Iterator[Fire]:
        """What became of its due times, newest first, at most `limit`; also of a schedule that was removed."""
        return self._wire.pages(f"{_PLACE}/{part(name)}/fires", limit, outcome=outcome)

    def next_times(self, name: str, *, count: int | None = None) -> Next:
        """Its next due times, ten by default."""
        return self._ask("GET", f"/{part(name)}/next", params=given({"count": count}))

    def why_fire(self, name: str, at: str | datetime) -> WhyFire:
        """Why it ran at that time, or why it did not; the minute counts."""
        return self._ask("GET", f"/{part(name)}/why", params={"at": instant(at)})

    def schedule_revisions(self, name: str, *, limit: int | None = None) -> list[Revision]:
        """How it was declared, newest first; also of a schedule that was removed."""
        return self._ask("GET", f"/{part(name)}/revisions", params=given({"limit": limit}))["items"]

    def lint_schedules(self, name: str | None = None) -> list[Finding]:
        """What is to be said of all schedules, or of one; errors come first."""
        return self._ask("GET", f"/{part(name)}/lint" if name else "/lint")["items"]

    def schedule_calendar(
        self, *, days: int | None = None, gpus: int | None = None, seconds: int | None = None
    ) -> Outlook:
        """The load of the coming days, seven by default; with `gpus` and `seconds` also a slot for that."""
        return self._ask("GET", "/calendar", params=given({"days": days, "gpus": gpus, "seconds": seconds}))

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        return self._wire.ask(method, f"{_PLACE}{path}", **options)
