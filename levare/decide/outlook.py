"""
What is to come: when schedules start what, how many GPUs that holds and for how long, and when there is room.

It knows of schedules and of windows only: what people will submit by hand nobody can tell.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import accumulate, pairwise
from math import ceil

from levare.decide.times import between
from levare.decide.timing import Timing
from levare.model import Duration, Node, Request

UNKNOWN = timedelta(hours=1)
"""What a job is taken for of which neither history nor a limit tells how long it takes."""
MOST_STARTS = 700
"""Of one schedule one by one: every quarter of an hour for a week. One that starts more often is a steady load."""
HOUR, QUARTER = timedelta(hours=1), timedelta(minutes=15)
_MOMENT = timedelta(microseconds=1)
_NOTHING = timedelta()
_DIGITS = 3
_SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Stage:
    """A job of the work of a schedule. It holds `gpus` GPUs for `duration`, from `after` the start of the work on."""

    request: Request
    team: str = "default"
    gpus: float = 0
    duration: Duration | None = None
    """None where nothing tells."""
    after: timedelta = _NOTHING

    @property
    def taken(self) -> Duration:
        """What is reckoned with."""
        return self.duration or Duration(UNKNOWN, UNKNOWN)


@dataclass(frozen=True)
class Plan:
    """A schedule and what each run of it takes."""

    name: str
    timing: Timing
    stages: Sequence[Stage]
    owner: str = ""

    @property
    def is_known(self) -> bool:
        """Whether something tells how long each of its jobs takes."""
        return all(stage.duration for stage in self.stages)

    @cached_property
    def taken(self) -> Duration:
        """How long a run takes from its start to its last end."""
        return Duration(
            max(stage.after + stage.taken.typical for stage in self.stages),
            max(stage.after + stage.taken.promised for stage in self.stages),
        )

    @cached_property
    def gpus(self) -> float:
        """The most that a run holds at once."""
        return _most_at_once(_of_run(self, _SOME_TIME, is_promised=True))


@dataclass(frozen=True)
class Start:
    """A run that is expected; with `until` it stands for `count` of them that come evenly until then."""

    plan: Plan
    due_at: datetime
    at: datetime
    until: datetime | None = None
    count: int = 1


@dataclass(frozen=True)
class Hold:
    """So many GPUs are held from `start` until `end`."""

    by: str
    gpus: float
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Hour:
    """What is expected of an hour: the most GPUs at once, if all take their typical time, and if all take long."""

    at: datetime
    gpus: float
    gpus_at_most: float
    kept: float
    """GPUs of nodes that windows keep."""
    schedules: Sequence[str]
    is_conflict: bool
    """Whether schedules and windows want more than there is."""


@dataclass(frozen=True)
class Slot:
    """A time at which as much is free as was asked for; `busy` are the GPUs that are held on average meanwhile."""

    at: datetime
    until: datetime
    busy: float


def expected_starts(plans: Iterable[Plan], *, now: datetime, upto: datetime) -> list[Start]:
    """All runs that are to start after `now` and until `upto`, the earliest first."""
    found = [start for plan in plans for start in _starts_of(plan, now, upto)]
    return sorted(found, key=lambda start: (start.at, start.plan.name))


def _starts_of(plan: Plan, now: datetime, upto: datetime) -> Iterator[Start]:
    dues = between(plan.timing.rule, now - plan.timing.jitter, upto, MOST_STARTS + 1)
    if len(dues) <= MOST_STARTS:
        starts = (Start(plan, due_at, plan.timing.fires_at(plan.name, due_at)) for due_at in dues)
        yield from (start for start in starts if start.at > now)
        return
    rest = (upto - dues[-1]) / ((dues[-1] - dues[0]) / MOST_STARTS)
    yield Start(plan, dues[0], dues[0], upto, len(dues) + int(rest))


def holds_of(starts: Iterable[Start], *, is_promised: bool) -> list[Hold]:
    """What these runs hold of GPUs: as long as is typical, or as long as nine of ten take at most."""
    return [hold for start in starts for hold in _of_start(start, is_promised=is_promised)]


def _of_start(start: Start, *, is_promised: bool) -> Iterator[Hold]:
    if start.until is None:
        yield from _of_run(start.plan, start.at, is_promised=is_promised)
        return
    span = start.until - start.at
    for hold in _of_run(start.plan, start.at, is_promised=is_promised):
        yield Hold(hold.by, hold.gpus * start.count * ((hold.end - hold.start) / span), start.at, start.until)


def _of_run(plan: Plan, at: datetime, *, is_promised: bool) -> Iterator[Hold]:
    for stage in plan.stages:
        length = stage.taken.promised if is_promised else stage.taken.typical
        if stage.gpus and length:
            yield Hold(plan.name, stage.gpus, at + stage.after, at + stage.after + length)


def kept_by_windows(nodes: Iterable[Node]) -> list[Hold]:
    """The GPUs of nodes that windows keep, for whomever."""
    return [
        Hold(window.name, len(node.devices), window.starts, window.ends) for node in nodes for window in node.windows
    ]


def peaks(holds: Iterable[Hold], begin: datetime, width: timedelta, count: int) -> list[float]:
    """The most GPUs that are held at once in each of `count` cells, each as wide as this."""
    found = [0.0] * count
    for level, start, end in _levels(holds):
        first, last = (start - begin) // width, (end - _MOMENT - begin) // width
        for place in range(max(first, 0), min(last + 1, count)):
            found[place] = max(found[place], level)
    return found


def _levels(holds: Iterable[Hold]) -> Iterator[tuple[float, datetime, datetime]]:
    """How many GPUs are held from when until when."""
    changes = sorted(change for hold in holds for change in ((hold.start, hold.gpus), (hold.end, -hold.gpus)))
    level = 0.0
    for (at, gpus), (following, _) in pairwise(changes):
        level += gpus
        if at < following:
            yield round(level, _DIGITS), at, following


def _most_at_once(holds: Iterable[Hold]) -> float:
    return max((level for level, _, _ in _levels(holds)), default=0.0)


def hours(starts: Sequence[Start], kept: Sequence[Hold], *, fleet: float, now: datetime, count: int) -> list[Hour]:
    """The hours from this one on in which schedules are expected to hold GPUs."""
    begin = now.replace(minute=0, second=0, microsecond=0)
    at_most = holds_of(starts, is_promised=True)
    columns = [holds_of(starts, is_promised=False), at_most, kept]
    rows = zip(*(peaks(column, begin, HOUR, count) for column in columns), strict=True)
    names = _names(at_most, begin, count)
    return [
        Hour(begin + place * HOUR, gpus, most, away, names[place], gpus + away > fleet)
        for place, (gpus, most, away) in enumerate(rows)
        if most
    ]


def _names(holds: Iterable[Hold], begin: datetime, count: int) -> Mapping[int, Sequence[str]]:
    """Which schedules hold something in each hour."""
    found: dict[int, set[str]] = defaultdict(set)
    for hold in holds:
        first, last = (hold.start - begin) // HOUR, (hold.end - _MOMENT - begin) // HOUR
        for place in range(max(first, 0), min(last + 1, count)):
            found[place].add(hold.by)
    return {place: sorted(names) for place, names in found.items()}


def best_slot(
    holds: Iterable[Hold], gpus: float, length: timedelta, *, fleet: float, now: datetime, upto: datetime
) -> Slot | None:
    """
    When so many GPUs are free for so long with the least load beside them, the earliest of equals; None if never.

    Slots begin on a quarter of an hour. Every hold counts for the whole of each quarter that it touches.
    """
    begin = _next_quarter(now)
    cells, span = peaks(holds, begin, QUARTER, max(0, (upto - begin) // QUARTER)), ceil(length / QUARTER)
    sums = [0.0, *accumulate(cells)]
    free = [
        (round(sums[place + span] - sums[place], _DIGITS), place)
        for place in range(len(cells) - span + 1)
        if max(cells[place : place + span]) + gpus <= fleet
    ]
    if not free:
        return None
    load, place = min(free)
    return Slot(begin + place * QUARTER, begin + place * QUARTER + length, round(load / span, _DIGITS))


def _next_quarter(now: datetime) -> datetime:
    whole = now.replace(minute=0, second=0, microsecond=0)
    return whole + ceil((now - whole) / QUARTER) * QUARTER
