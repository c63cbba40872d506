"""When a schedule is due: after an instant, before one, between two. Every instant is an aware datetime."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count as counting
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from levare.decide.times.calendars import ALWAYS, Calendar
from levare.decide.times.cron import Cron
from levare.decide.times.zones import at_offset, first_change, last_change, local, offset
from levare.errors import Fault, InvalidSchedule

SHORTEST = timedelta(seconds=1)
_TICK = timedelta(microseconds=1)
"""Two instants differ by this at least."""
_TRIES = 2000
"""After so many due instants in a row that the calendar refuses, each on another opening, nothing more is expected."""


@dataclass(frozen=True)
class Interval:
    """Due at `anchor` and then again each time that `every` has passed; clocks that change do not matter."""

    every: timedelta
    anchor: datetime

    def __post_init__(self) -> None:
        _aware("anchor", self.anchor)
        if self.every < SHORTEST:
            seconds = self.every.total_seconds()
            fault = Fault("every", "is too short", seconds, SHORTEST.total_seconds())
            raise InvalidSchedule(f"Every {seconds:g} s is too often.", "Give 1 s or more.", [fault])

    def after(self, instant: datetime, _zone: ZoneInfo) -> Iterator[datetime]:
        first = max(0, (instant - self.anchor) // self.every + 1)
        return (self._at(number) for number in counting(first))

    def before(self, instant: datetime, _zone: ZoneInfo) -> Iterator[datetime]:
        last = (instant - _TICK - self.anchor) // self.every
        return (self._at(number) for number in range(last, -1, -1))

    def _at(self, number: int) -> datetime:
        return self.anchor.astimezone(UTC) + number * self.every


@dataclass(frozen=True)
class Once:
    """Due at one instant."""

    at: datetime

    def __post_init__(self) -> None:
        _aware("at", self.at)

    def after(self, instant: datetime, _zone: ZoneInfo) -> Iterator[datetime]:
        return iter([self.at.astimezone(UTC)] if self.at > instant else [])

    def before(self, instant: datetime, _zone: ZoneInfo) -> Iterator[datetime]:
        return iter([self.at.astimezone(UTC)] if self.at < instant else [])


@dataclass(frozen=True)
class Rule:
    """
    When a schedule is due: the clocks of `zone` and its calendar decide, from `start` inclusive to `end` exclusive.

    What the calendar refuses is not due, and what is not due is never skipped.
    """

    when: Cron | Interval | Once
    zone: ZoneInfo
    start: datetime | None = None
    end: datetime | None = None
    calendar: Calendar = ALWAYS

    def __post_init__(self) -> None:
        for name, bound in (("start", self.start), ("end", self.end)):
            if bound:
                _aware(name, bound)


def next_after(rule: Rule, instant: datetime) -> datetime | None:
    """The first due instant after this one; None if there is none."""
    return next(_forward(rule, instant), None)


def previous(rule: Rule, instant: datetime) -> datetime | None:
    """The last due instant before this one; None if there is none."""
    return next(before(rule, instant), None)


def latest(rule: Rule, after: datetime, upto: datetime) -> datetime | None:
    """The last due instant after `after` and until `upto` inclusive: as cheap for a year as for a minute."""
    due = previous(rule, upto + _TICK)
    return due if due and due > after else None


def between(rule: Rule, after: datetime, upto: datetime, limit: int) -> list[datetime]:
    """The due instants after `after` and until `upto` inclusive, in order; the first `limit` of them."""
    return [*islice(takewhile(lambda due: due <= upto, _forward(rule, after)), limit)]


def count(rule: Rule, after: datetime, upto: datetime, limit: int) -> int:
    """How many `between` finds: `limit` means so many or more."""
    return len(between(rule, after, upto, limit))


def fires_at(schedule: str, due: datetime, jitter: timedelta) -> datetime:
    """
    When what is due at `due` starts: later by less than `jitter`, always the same for the same name and instant.

    The due instant stays what a fire is known by. Fires overtake each other if the jitter is longer than the time
    between them.
    """
    if jitter <= timedelta():
        return due
    digest = hashlib.blake2b(f"{schedule}\n{due.astimezone(UTC).isoformat()}".encode(), digest_size=8).digest()
    return due + timedelta(microseconds=int.from_bytes(digest) * (jitter // _TICK) >> 64)


def _forward(rule: Rule, instant: datetime) -> Iterator[datetime]:
    """All due instants after this one, in order."""
    begin = max(instant, rule.start - _TICK) if rule.start else instant
    dues = _admitted(rule, begin.astimezone(UTC), rule.when.after, _reopening)
    return takewhile(lambda due: not rule.end or due < rule.end, dues)


def before(rule: Rule, instant: datetime) -> Iterator[datetime]:
    """All due instants before this one, latest first."""
    begin = min(instant, rule.end) if rule.end else instant
    dues = _admitted(rule, begin.astimezone(UTC), rule.when.before, _closing)
    return takewhile(lambda due: not rule.start or due >= rule.start, dues)


def _admitted(
    rule: Rule,
    begin: datetime,
    dues: Callable[[datetime, ZoneInfo], Iterator[datetime]],
    leap: Callable[[Rule, datetime], datetime | None],
) -> Iterator[datetime]:
    """What the calendar admits; over what it refuses by leaps, as long stretches are full of due instants."""
    refused, cursor = 0, begin
    while cursor and refused < _TRIES:
        for due in dues(cursor, rule.zone):
            if not rule.calendar.admits(local(rule.zone, due)):
                refused, cursor = refused + 1, leap(rule, due)
                break
            refused = 0
            yield due
        else:
            return


def _reopening(rule: Rule, due: datetime) -> datetime | None:
    """Just before the calendar opens again after `due`, or just before clocks change until then."""
    ahead = offset(rule.zone, due)
    opens = rule.calendar.opens(due.replace(tzinfo=None) + ahead)
    if opens is None:
        return None
    reopens = at_offset(opens, ahead)
    change = first_change(rule.zone, due, reopens)
    return (change.at if change else reopens) - _TICK


def _closing(rule: Rule, due: datetime) -> datetime | None:
    """When the calendar was open last before `due`, or when clocks changed since then."""
    ahead = offset(rule.zone, due)
    closes = rule.calendar.closes(due.replace(tzinfo=None) + ahead)
    if closes is None:
        return None
    closed = at_offset(closes, ahead)
    change = last_change(rule.zone, closed, due + _TICK)
    return change.at if change else closed


def _aware(name: str, instant: datetime) -> None:
    if instant.tzinfo is None:
        fault = Fault(name, "has no time zone", instant.isoformat(), "an instant with its offset")
        raise InvalidSchedule(f"{name} {instant.isoformat()} has no time zone.", "Write 2027-01-31T06:00:00Z.", [fault])
