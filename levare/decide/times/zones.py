"""Time zones: their names, and when their clocks change. The tables of zoneinfo are data here, as if they were code."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from levare.errors import Fault, InvalidSchedule

LARGEST = timedelta(hours=3)
"""The most that a change moves clocks for a season, as Debian's cron has it; more is a correction of the clock."""
_DAY, _SECOND = timedelta(days=1), timedelta(seconds=1)
_OF_THE_MACHINE = {"localtime", "posixrules", "Factory"}


@dataclass(frozen=True)
class Change:
    """From `at` on clocks are `after` ahead of UTC; until then they were `before`."""

    at: datetime
    before: timedelta
    after: timedelta

    @property
    def left(self) -> datetime:
        """The local time, naive, that clocks would have shown next."""
        return self.at.replace(tzinfo=None) + self.before

    @property
    def reached(self) -> datetime:
        """The local time, naive, that they showed instead."""
        return self.at.replace(tzinfo=None) + self.after

    @property
    def is_seasonal(self) -> bool:
        return abs(self.after - self.before) <= LARGEST


def zone_named(name: str) -> ZoneInfo:
    """The zone of an IANA name such as Europe/Berlin; InvalidSchedule offers the nearest names."""
    if name not in _names():
        near = _near(name) or ["Europe/Berlin", "America/New_York", "UTC"]
        fault = Fault("zone", "is no time zone of the IANA database", name, f"such as {', '.join(near)}")
        raise InvalidSchedule(f"There is no time zone {name!r}.", f"Did you mean {' or '.join(near)}?", [fault])
    return ZoneInfo(name)


def local(zone: ZoneInfo, instant: datetime) -> datetime:
    """What the clocks of a zone show, naive."""
    return instant.astimezone(zone).replace(tzinfo=None)


def offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    """How far its clocks are ahead of UTC."""
    return instant.astimezone(zone).utcoffset() or timedelta()


def at_offset(shown: datetime, ahead: timedelta) -> datetime:
    """The instant at which clocks so far ahead of UTC show this."""
    return (shown - ahead).replace(tzinfo=UTC)


def first_change(zone: ZoneInfo, after: datetime, upto: datetime) -> Change | None:
    """The first change of the clocks after `after`, until `upto` inclusive."""
    for year in range(after.year, upto.year + 1):
        for change in _changes_in(zone, year):
            if after < change.at <= upto:
                return change
    return None


def last_change(zone: ZoneInfo, after: datetime, before: datetime) -> Change | None:
    """The last change of the clocks after `after` and before `before`, both exclusive."""
    for year in range(before.year, after.year - 1, -1):
        for change in reversed(_changes_in(zone, year)):
            if after < change.at < before:
                return change
    return None


def changes(zone: ZoneInfo, after: datetime, upto: datetime) -> Iterator[Change]:
    """All changes after `after`, until `upto` inclusive."""
    while change := first_change(zone, after, upto):
        yield change
        after = change.at


@lru_cache(maxsize=4096)
def _changes_in(zone: ZoneInfo, year: int) -> tuple[Change, ...]:
    """Those of a year of UTC. A day has one at most: in all of the IANA database two are four days apart or more."""
    begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year, 12, 31, 23, 59, 59, tzinfo=UTC)
    marks = [begin - _SECOND, *(begin + day * _DAY for day in range((end - begin).days + 1)), end]
    offsets = [(mark, offset(zone, mark)) for mark in marks]
    return tuple(_change(zone, early, late) for (early, a), (late, b) in pairwise(offsets) if a != b)


def _change(zone: ZoneInfo, early: datetime, late: datetime) -> Change:
    """The change between two instants of different offsets, to the second."""
    before, after = offset(zone, early), offset(zone, late)
    while late - early > _SECOND:
        middle = early + (late - early) // 2
        middle = middle.replace(microsecond=0)
        early, late = (middle, late) if offset(zone, middle) == before else (early, middle)
    return Change(late, before, after)


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    return frozenset(available_timezones() - _OF_THE_MACHINE)


def _near(name: str) -> list[str]:
    """Names that differ in case, that end in it, or that look like it."""
    wanted = name.strip().replace(" ", "_").lower()
    known = {each.lower(): each for each in sorted(_names())}
    cities = [each for low, each in known.items() if low == wanted or low.rpartition("/")[2] == wanted]
    return cities[:3] or [known[low] for low in get_close_matches(wanted, known, n=3, cutoff=0.7)]
