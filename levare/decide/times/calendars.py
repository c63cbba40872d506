"""On which days and at what times of day something may be due at all, by the clocks of its zone."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property

from levare.decide.times.fields import KINDS, WEEKDAY, parse_field
from levare.errors import Fault, InvalidSchedule

WEEK = frozenset(range(1, 8))
_DAY = timedelta(days=1)
_FAR = 4000
"""After so many days that are all closed a calendar is taken to stay closed."""
_WINDOW = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\s*-\s*(?:([01]?[0-9]|2[0-3]):([0-5][0-9])|24:00)")


@dataclass(frozen=True)
class Window:
    """
    A part of the day, from `start` inclusive to `end` exclusive. One that ends before it starts goes over midnight.

    What lies after midnight counts as of the new day: 22:00-06:00 on Mondays is Monday until 6 and Monday from 22 on.
    """

    start: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "Window":
        """From such as 22:00-06:00 or 18:00-24:00."""
        found = _WINDOW.fullmatch(text.strip())
        times = [time(int(found[i] or 0), int(found[i + 1] or 0)) for i in (1, 3)] if found else [time(), time()]
        if times[0] == times[1]:
            fault = Fault("calendar.windows", "is no part of a day", text, "HH:MM-HH:MM from 00:00 to 24:00")
            raise InvalidSchedule(f"{text!r} is no part of a day.", "Give HH:MM-HH:MM, such as 22:00-06:00.", [fault])
        return cls(*times)

    def on(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """The stretches of a day that it opens, naive, first to last; an empty one if it ends at midnight."""
        midnight, next_midnight = datetime.combine(day, time()), datetime.combine(day + _DAY, time())
        start, end = datetime.combine(day, self.start), datetime.combine(day, self.end)
        if self.start < self.end:
            yield start, end
            return
        yield midnight, end
        yield start, next_midnight


_ALL_DAY = (Window(time(), time()),)


@dataclass(frozen=True)
class Calendar:
    """
    What is not on an open day and within a window is not due: it is not skipped, it does not exist.

    Each instant is judged by the local date and time that clocks show then.
    """

    days: frozenset[int] = WEEK
    """1 for Monday to 7 for Sunday."""
    windows: tuple[Window, ...] = ()
    """None for the whole day."""
    excluded: frozenset[date] = frozenset()
    holidays: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if not self.days or not self.days <= WEEK:
            fault = Fault("calendar.days", "names no day, or one that does not exist", sorted(self.days), sorted(WEEK))
            raise InvalidSchedule(
                "A calendar without any day is never open.", "Name one day of the week or more.", [fault]
            )

    @cached_property
    def is_always_open(self) -> bool:
        return self == ALWAYS

    def admits(self, shown: datetime) -> bool:
        """Whether something may be due when clocks show this."""
        return self.is_always_open or any(start <= shown < end for start, end in self._open(shown.date()))

    def opens(self, shown: datetime) -> datetime | None:
        """The first open local time from this one on; None if there is none for years."""
        for day in (shown.date() + number * _DAY for number in range(_FAR)):
            for start, end in self._open(day):
                if shown < end:
                    return max(start, shown)
        return None

    def closes(self, shown: datetime) -> datetime | None:
        """The end of what is open before this local time, or this one if that is open until then."""
        for day in (shown.date() - number * _DAY for number in range(_FAR)):
            ends = [end for start, end in self._open(day) if start < shown]
            if ends:
                return min(max(ends), shown)
        return None

    def _open(self, day: date) -> list[tuple[datetime, datetime]]:
        if day.isoweekday() not in self.days or day in self.excluded or day in self.holidays:
            return []
        return sorted(stretch for window in self.windows or _ALL_DAY for stretch in window.on(day))


ALWAYS = Calendar()


def weekdays(text: str) -> frozenset[int]:
    """Days of the week as cron writes them, such as MON-FRI or SAT,SUN, from 1 for Monday to 7 for Sunday."""
    field = parse_field(KINDS[WEEKDAY], text.strip().upper())
    if field.signs:
        raise KINDS[WEEKDAY].refuse(text, "days, such as MON-FRI: a calendar knows no weeks of the month")
    return frozenset(day or 7 for day in field.values)
