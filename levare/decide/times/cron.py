"""
Cron expressions over the clocks of a time zone, by the rule of Debian's cron.

An expression whose minute or hour begins with a star is *wild*: it is due whenever clocks show a time that matches. Any
other is *fixed*: each of its local times is due once. One that clocks jump over is due at the jump, together with all
others of that jump; one that clocks show twice is due the first time. Clocks that move by more than three hours are
corrected, not in another season: then a fixed expression, too, is due whenever clocks show a time that matches.

cronsim finds the local times that match, on a calendar without zones; what clocks do with them is decided here, because
cronsim itself goes back in time from within an hour that is shown twice, makes up the times of days that a country
skipped, and finds wild times at midnights that do not exist.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from cronsim import CronSim

from levare.decide.times.fields import DAY, HOUR, MINUTE, MONTH, WEEKDAY, Field, parse
from levare.decide.times.zones import LARGEST, Change, at_offset, first_change, last_change, offset

_SECOND, _TICK = timedelta(seconds=1), timedelta(microseconds=1)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True)
class Cron:
    """An expression of five fields, understood; build it with `Cron.parse` and keep it."""

    text: str
    """As it was written."""
    fields: tuple[Field, ...] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "Cron":
        """Five fields or a macro such as @daily; InvalidSchedule names the field, the value and what is allowed."""
        return cls(text, parse(text))

    @cached_property
    def is_wild(self) -> bool:
        """Whether it follows the clocks, rather than that each of its local times is due once."""
        return self.fields[MINUTE].star or self.fields[HOUR].star

    @property
    def needs_both_days(self) -> bool:
        """Whether day of month *and* day of week must match: if one begins with a star. Otherwise either is enough."""
        return self.fields[DAY].star or self.fields[WEEKDAY].star

    @cached_property
    def is_possible(self) -> bool:
        """Whether any date matches: not so for 30 February."""
        days = self.fields[DAY]
        longest = max(_DAYS[month - 1] for month in self.fields[MONTH].values)
        return bool(days.signs) or not self.needs_both_days or min(days.values) <= longest

    def after(self, instant: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """All due instants after this one of UTC, in order; no end, unless no date of 50 years matches."""
        ahead, here = offset(zone, instant), instant
        dues = self.shown_after(self._shown_furthest(instant, ahead, last_change(zone, here - LARGEST, here + _TICK)))
        due = next(dues, None)
        while due is not None:
            candidate = at_offset(due, ahead)
            change = first_change(zone, here, candidate)
            if change is None:
                yield candidate
                here, due = candidate, next(dues, None)
                continue
            here, ahead = change.at, change.after
            if self._makes_up(change):
                if due >= change.reached:
                    continue
                yield change.at  # of all that it jumps over; what is due right then is the same instant
                dues = self.shown_after(change.reached)
            else:
                dues = self.shown_after(change.reached - _SECOND)
            due = next(dues, None)

    def before(self, instant: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        """All due instants before this one of UTC, latest first."""
        ahead, here, last = offset(zone, instant - _TICK), instant, instant
        dues = self.shown_before(self._shown_furthest(instant, ahead, last_change(zone, here - LARGEST, here)))
        due = next(dues, None)
        while due is not None:
            candidate = at_offset(due, ahead)
            change = last_change(zone, candidate - LARGEST, here)
            if change is None or due >= self._floor(change):
                yield candidate
                here, last, due = candidate + _TICK, candidate, next(dues, None)
                continue
            here, ahead = change.at, change.before
            if self._makes_up(change):
                if due < change.left:
                    continue
                if change.at < last:
                    yield change.at
            dues = self.shown_before(change.left)
            due = next(dues, None)

    def shown_after(self, shown: datetime) -> Iterator[datetime]:
        """The local times after a local one that match, on a calendar without zones; naive."""
        return CronSim(self._plain, shown) if self.is_possible else iter(())

    def shown_before(self, shown: datetime) -> Iterator[datetime]:
        """The local times before a local one that match, latest first."""
        return CronSim(self._plain, shown, reverse=True) if self.is_possible else iter(())

    @cached_property
    def _plain(self) -> str:
        return " ".join(each.text for each in self.fields)

    def _makes_up(self, change: Change) -> bool:
        return change.is_seasonal and not self.is_wild

    def _floor(self, change: Change) -> datetime:
        """The first local time after a change that is due at its own instant."""
        return max(change.left, change.reached) if self._makes_up(change) else change.reached

    def _shown_furthest(self, instant: datetime, ahead: timedelta, recent: Change | None) -> datetime:
        """What clocks show, or just before they were put back showed, if what they show twice is due once."""
        shown = instant.replace(tzinfo=None) + ahead
        return max(shown, self._floor(recent) - _TICK) if recent else shown
