"""
When cron expressions are due, found by brute force: a table of every minute of ten years, and the rule applied to it.

It shares no code with levare or cronsim: the fields are read here, and the clocks are zoneinfo's, asked minute by
minute wherever an hour ends with other clocks than it began with. Numbers are minutes since 1970, of UTC or local time.
"""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property, lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

MONTHS = ("", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY, LARGEST, MARGIN = 1440, 180, 2 * 1440
Minutes = NDArray[np.int64]


def minute_of(instant: datetime) -> int:
    return int((instant - EPOCH) // timedelta(minutes=1))


def instant_of(minute: int) -> datetime:
    return EPOCH + timedelta(minutes=int(minute))


@dataclass(frozen=True)
class Clocks:
    """What the clocks of a zone show at each minute of UTC from `begin` until `end`."""

    zone: str
    begin: int
    end: int

    @cached_property
    def shown(self) -> Minutes:
        utc = np.arange(self.begin, self.end)
        ahead = np.empty(len(utc), dtype=np.int64)
        for hour in range(0, len(utc), 60):
            first, last = self._ahead(self.begin + hour), self._ahead(self.begin + hour + 60)
            ahead[hour : hour + 60] = first
            if first != last:
                ahead[hour : hour + 60] = [self._ahead(self.begin + hour + minute) for minute in range(60)]
        return utc + ahead

    @cached_property
    def changes(self) -> list[int]:
        """The places in the table where clocks do not go on by one minute."""
        return [int(place) + 1 for place in np.flatnonzero(np.diff(self.shown) != 1)]

    def _ahead(self, minute: int) -> int:
        ahead = instant_of(minute).astimezone(ZoneInfo(self.zone)).utcoffset()
        assert ahead is not None
        assert ahead % timedelta(minutes=1) == timedelta(), "this table knows whole minutes only"
        return int(ahead // timedelta(minutes=1))


def due(text: str, clocks: Clocks) -> Minutes:
    """Every minute of UTC at which an expression is due."""
    origin = (clocks.begin - MARGIN) // DAY * DAY
    matches = _matches(text, origin, clocks.end + MARGIN)
    shown = clocks.shown - origin
    flags = matches[shown]
    minute, hour, *_ = text.split()
    if minute[0] != "*" and hour[0] != "*":
        for place in clocks.changes:
            _correct(flags, matches, shown, place)
    return np.flatnonzero(flags) + clocks.begin


def _correct(flags: NDArray[np.bool_], matches: NDArray[np.bool_], shown: Minutes, place: int) -> None:
    """Fixed times where clocks jump by three hours at most: once for what is jumped over, none for what comes again."""
    expected, found = shown[place - 1] + 1, shown[place]
    if 0 < found - expected <= LARGEST:
        flags[place] |= matches[expected:found].any()
    elif 0 < expected - found <= LARGEST:
        flags[place : place + expected - found] = False


def _matches(text: str, begin: int, end: int) -> NDArray[np.bool_]:
    """For each local minute, on a calendar without zones, whether the five fields match."""
    minutes, hours, days, months, weekdays = text.upper().split()
    in_day = np.zeros((24, 60), dtype=bool)
    in_day[np.ix_(sorted(_numbers(hours, 0, 23)), sorted(_numbers(minutes, 0, 59)))] = True
    first, number = EPOCH.date() + timedelta(days=begin // DAY), -(-(end - begin) // DAY)
    return np.outer(_dates(first, number, days, months, weekdays), in_day.ravel()).ravel()


@lru_cache(maxsize=1000)
def _dates(first: date, number: int, days: str, months: str, weekdays: str) -> NDArray[np.bool_]:
    return np.array([_date_matches(first + timedelta(days=n), days, months, weekdays) for n in range(number)])


def _date_matches(day: date, days: str, months: str, weekdays: str) -> bool:
    if day.month not in _numbers(months, 1, 12):
        return False
    by_day = any(_day_matches(day, part) for part in days.split(","))
    by_weekday = any(_weekday_matches(day, part) for part in weekdays.split(","))
    both = days[0] == "*" or weekdays[0] == "*"
    return by_day and by_weekday if both else by_day or by_weekday


def _day_matches(day: date, part: str) -> bool:
    length = monthrange(day.year, day.month)[1]
    if part == "L":
        return day.day == length
    if part == "LW":
        workdays = [n for n in range(1, length + 1) if day.replace(day=n).isoweekday() <= 5]
        return day.day == workdays[-1]
    return day.day in _numbers(part, 1, 31)


def _weekday_matches(day: date, part: str) -> bool:
    if "#" in part:
        name, week = part.split("#")
        return _weekday_matches(day, name) and (day.day - 1) // 7 + 1 == int(week)
    if part.endswith("L"):
        return _weekday_matches(day, part[:-1]) and (day + timedelta(days=7)).month != day.month
    return bool({day.isoweekday(), day.isoweekday() % 7} & _numbers(part, 0, 7))


@lru_cache(maxsize=1000)
def _numbers(field: str, least: int, most: int) -> set[int]:
    return {number for part in field.split(",") for number in _part(part, least, most)}


def _part(part: str, least: int, most: int) -> Iterator[int]:
    span, _, step = part.partition("/")
    low, _, high = span.partition("-")
    if span == "*":
        yield from range(least, most + 1, int(step or 1))
        return
    last = _number(high) if high else most if step else _number(low)
    yield from range(_number(low), last + 1, int(step or 1))


def _number(word: str) -> int:
    """A number, or the place of a name: months count from one."""
    if word.isdigit():
        return int(word)
    return MONTHS.index(word) if word in MONTHS else DAYS.index(word)
