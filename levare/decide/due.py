"""
What becomes of the due instants of a schedule: run or skipped, each exactly once and with a reason.

An instant is on time for `PUNCTUAL` after it was to fire, so that a change of the leading beat costs none. What is
later was missed: `skip` makes up for nothing, `latest` for the last missed instant unless a later one is due by now,
`all` for each of them, the last `MOST_MADE_UP` at most. Nothing later than the longest lateness runs in any case.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import takewhile

from levare.decide.times import before, next_after
from levare.decide.timing import Timing

RUN, SKIPPED = "run", "skipped"
OUTCOMES = (RUN, SKIPPED)
SKIP, LATEST, ALL = "skip", "latest", "all"
MISFIRES = (SKIP, LATEST, ALL)
ALLOW, FORBID, REPLACE, QUEUE = "allow", "forbid", "replace", "queue"
OVERLAPS = (ALLOW, FORBID, REPLACE, QUEUE)
PUNCTUAL = timedelta(seconds=15)
MOST_MADE_UP = 100
LATENESS_OF_ALL = timedelta(days=1)
"""The longest lateness where `all` are made up for and none is said."""
MOST_ROWS = 7 * 24 * 60
"""Of a schedule at once: a week of minutes. What is older is skipped as one."""

_MOMENT = timedelta(microseconds=1)


@dataclass(frozen=True)
class OpenRun:
    """A run of a schedule of which some job is not final."""

    due_at: datetime | None
    """None if somebody asked for it."""
    jobs: Sequence[str]


@dataclass(frozen=True)
class Schedule:
    name: str
    timing: Timing
    settled_to: datetime
    misfire: str = LATEST
    longest_lateness: timedelta | None = None
    overlap: str = ALLOW
    paused: str | None = None
    """Since when, by whom and why, as a sentence."""
    open_runs: Sequence[OpenRun] = ()


@dataclass(frozen=True)
class Fire:
    """A due instant and its fate. With `until` it stands for all from `due_at` until then."""

    due_at: datetime
    outcome: str
    reason: str | None = None
    until: datetime | None = None
    cancels: Sequence[str] = ()
    """Jobs that make way for it."""
    after: Sequence[str] = ()
    """Jobs that must have ended before it starts."""
    after_previous: bool = False
    """Whether it waits for the run before it in the same decision too."""


@dataclass(frozen=True)
class Settled:
    """What a decision makes of a schedule: every instant up to `settled_to` has its fate, `due_at` is the next one."""

    fires: Sequence[Fire]
    settled_to: datetime
    due_at: datetime | None
    fires_at: datetime | None


def settle(schedule: Schedule, *, now: datetime) -> Settled:
    """Decide upon all instants that are to fire by now and have no fate yet, oldest first."""
    owed = _owed(schedule, now)
    if not owed:
        return _standing(schedule, (), schedule.settled_to)
    fires = [*_older(schedule, owed[0]), *_overlapping(schedule, _punctual(schedule, owed, now))]
    return _standing(schedule, fires, owed[-1])


def ahead(timing: Timing, name: str, settled_to: datetime) -> tuple[datetime | None, datetime | None]:
    """The next due instant and when it is to fire."""
    due_at = next_after(timing.rule, settled_to)
    return due_at, due_at and timing.fires_at(name, due_at)


def _standing(schedule: Schedule, fires: Sequence[Fire], settled_to: datetime) -> Settled:
    return Settled(fires, settled_to, *ahead(schedule.timing, schedule.name, settled_to))


def _owed(schedule: Schedule, now: datetime) -> list[datetime]:
    """The instants to decide upon, oldest first, the newest `MOST_ROWS` of them; one whose jitter is not over holds
    those after it back."""
    found = []
    for due_at in before(schedule.timing.rule, now + _MOMENT):
        if due_at <= schedule.settled_to or len(found) == MOST_ROWS:
            break
        found.append(due_at)
    fires_at = schedule.timing.fires_at
    return list(takewhile(lambda due_at: fires_at(schedule.name, due_at) <= now, reversed(found)))


def _older(schedule: Schedule, oldest: datetime) -> Iterator[Fire]:
    """One fire for all that is older than what is decided one by one."""
    first = next_after(schedule.timing.rule, schedule.settled_to) or oldest
    if first < oldest:
        last = next(before(schedule.timing.rule, oldest), first)
        yield Fire(first, SKIPPED, f"More than {MOST_ROWS} due times were missed: this stands for the oldest.", last)


def _punctual(schedule: Schedule, owed: Sequence[datetime], now: datetime) -> Iterator[Fire]:
    """What may run as far as time goes, and why the others may not."""
    made_up_from = owed[-MOST_MADE_UP] if len(owed) > MOST_MADE_UP else owed[0]
    for due_at in owed:
        late = now - schedule.timing.fires_at(schedule.name, due_at)
        reason = schedule.paused or _why_too_late(schedule, late)
        if reason is None and late > PUNCTUAL:
            reason = _why_not_made_up(schedule, due_at, late, newest=owed[-1], made_up_from=made_up_from)
        yield Fire(due_at, SKIPPED if reason else RUN, reason or _note(late))


def _why_too_late(schedule: Schedule, late: timedelta) -> str | None:
    longest = schedule.longest_lateness
    if longest is None and schedule.misfire == ALL:
        longest = LATENESS_OF_ALL
    if longest is None or late <= longest:
        return None
    return f"It was {words(late)} late, and {words(longest)} is the most that is allowed."


def _why_not_made_up(
    schedule: Schedule, due_at: datetime, late: timedelta, *, newest: datetime, made_up_from: datetime
) -> str | None:
    missed = f"It was missed by {words(late)}"
    if schedule.misfire == SKIP:
        return f"{missed}, and what is missed is skipped."
    if schedule.misfire == LATEST and due_at < newest:
        return f"{missed}, and only the latest of those that were missed is made up for."
    if schedule.misfire == ALL and due_at < made_up_from:
        return f"{missed}, and of so many only the last {MOST_MADE_UP} are made up for."
    return None


def _note(late: timedelta) -> str | None:
    return f"Made up for, {words(late)} late." if late > PUNCTUAL else None


def _overlapping(schedule: Schedule, fires: Iterable[Fire]) -> Iterator[Fire]:
    """The same, with what is to become of a run while another is open."""
    fires = list(fires)
    running = [fire for fire in fires if fire.outcome == RUN]
    policy = _POLICIES[schedule.overlap]
    for fire in fires:
        yield policy(schedule, fire, running) if fire.outcome == RUN else fire


def _allow(_schedule: Schedule, fire: Fire, _running: Sequence[Fire]) -> Fire:
    return fire


def _forbid(schedule: Schedule, fire: Fire, running: Sequence[Fire]) -> Fire:
    before = schedule.open_runs[-1] if schedule.open_runs else None
    if before:
        return replace(fire, outcome=SKIPPED, reason=f"{_named(before)} has not ended, and overlap is forbidden.")
    if fire is not running[0]:
        reason = f"The run due at {stamp(running[0].due_at)} has not ended, and overlap is forbidden."
        return replace(fire, outcome=SKIPPED, reason=reason)
    return fire


def _queue(schedule: Schedule, fire: Fire, running: Sequence[Fire]) -> Fire:
    if fire is not running[0]:
        return replace(fire, after_previous=True)
    return replace(fire, after=schedule.open_runs[-1].jobs) if schedule.open_runs else fire


def _replace(schedule: Schedule, fire: Fire, running: Sequence[Fire]) -> Fire:
    if fire is not running[-1]:
        reason = f"The run due at {stamp(running[-1].due_at)} replaces it."
        return replace(fire, outcome=SKIPPED, reason=reason)
    jobs = [job for run in schedule.open_runs for job in run.jobs]
    return replace(fire, cancels=jobs, after=jobs)


def _named(run: OpenRun) -> str:
    of = f" due at {stamp(run.due_at)}" if run.due_at else ""
    return f"The run{of} ({run.jobs[0]})"


def stamp(instant: datetime) -> str:
    """In UTC, to the second."""
    return f"{instant:%Y-%m-%d %H:%M:%S} UTC"


def words(duration: timedelta) -> str:
    """The two largest units of a duration: `3 d 4 h`, `12 min 5 s`, `7 s`."""
    left, found = int(duration.total_seconds()), []
    for unit, seconds in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count or (unit == "s" and not found):
            found.append(f"{count} {unit}")
    return " ".join(found[:2])


_POLICIES = {ALLOW: _allow, FORBID: _forbid, REPLACE: _replace, QUEUE: _queue}
