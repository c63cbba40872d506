"""Why something is due at an instant, or why it is not, and what is due next to it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levare.decide.times import ALWAYS, Calendar, Cron, Interval, Rule, latest, next_after, previous
from levare.decide.times.cron import Field
from levare.decide.times.fields import HOUR, KINDS, MINUTE, MONTH
from levare.decide.times.zones import local
from levare.decide.timing import Timing

_MINUTE, _SECOND, _MOMENT = timedelta(minutes=1), timedelta(seconds=1), timedelta(microseconds=1)
_LONGEST = 60
"""Of a cron expression that is told."""


@dataclass(frozen=True)
class Exclusion:
    """What keeps an instant from being due: a field of the definition, and how, in a sentence."""

    part: str
    message: str


@dataclass(frozen=True)
class Instant:
    """
    What a timing makes of an instant that somebody asks about.

    `due_at` is the due instant that is meant, None if there is none, and then `excluded` says why.
    """

    due_at: datetime | None
    excluded: tuple[Exclusion, ...]
    before: datetime | None
    """The due instant before it."""
    after: datetime | None


def look(timing: Timing, at: datetime) -> Instant:
    """Nobody asks for fractions: the due instant of the minute before `at` is meant, of an interval the last one."""
    rule = timing.rule
    due_at = latest(rule, at - _grain(rule), at)
    centre = due_at or at
    excluded = () if due_at else tuple(_exclusions(rule, at))
    return Instant(due_at, excluded, previous(rule, centre), next_after(rule, centre))


def _grain(rule: Rule) -> timedelta:
    return min(_MINUTE, rule.when.every) if isinstance(rule.when, Interval) else _MINUTE


def _exclusions(rule: Rule, at: datetime) -> Iterator[Exclusion]:
    bare = Rule(rule.when, rule.zone)
    nominal = latest(bare, at - _grain(rule), at)
    if nominal is None:
        yield _of_when(rule, at)
    due = nominal or at
    if rule.start and due < rule.start:
        yield Exclusion("starts", f"It starts at {_shown(rule, rule.start)}.")
    if rule.end and due >= rule.end:
        yield Exclusion("ends", f"It ended at {_shown(rule, rule.end)}.")
    yield from _of_calendar(rule, due)


def _of_when(rule: Rule, at: datetime) -> Exclusion:
    if isinstance(rule.when, Cron):
        return _of_cron(rule, rule.when, at)
    if isinstance(rule.when, Interval):
        seconds = rule.when.every.total_seconds()
        return Exclusion("every_seconds", f"It is due every {seconds:g} s, and not then.")
    return Exclusion("at", f"It is due once, at {_shown(rule, rule.when.at)}.")


def _of_cron(rule: Rule, cron: Cron, at: datetime) -> Exclusion:
    shown = local(rule.zone, at).replace(second=0, microsecond=0)
    text = cron.text if len(cron.text) <= _LONGEST else f"{cron.text[:_LONGEST]}..."
    if next(cron.shown_after(shown - _SECOND), None) == shown:
        return Exclusion("zone", f"Clocks were changed around {_local(shown)}: {text!r} is due there only once.")
    wrong = [kind.name for kind, is_met in zip(_PLAIN, _met(cron.fields, shown), strict=True) if not is_met]
    what = " and ".join(wrong) or "day"
    return Exclusion("cron", f"Clocks of {rule.zone.key} show {_local(shown)}: {text!r} does not have that {what}.")


_PLAIN = (KINDS[MINUTE], KINDS[HOUR], KINDS[MONTH])


def _met(fields: tuple[Field, ...], shown: datetime) -> list[bool]:
    """Of the fields that a number meets or does not."""
    return [value in fields[place].values for place, value in _numbers(shown)]


def _numbers(shown: datetime) -> tuple[tuple[int, int], ...]:
    return (MINUTE, shown.minute), (HOUR, shown.hour), (MONTH, shown.month)


def _of_calendar(rule: Rule, due: datetime) -> Iterator[Exclusion]:
    calendar, shown = rule.calendar, local(rule.zone, due)
    day = shown.date()
    if day in calendar.excluded:
        yield Exclusion("calendar.except", f"{day} is excepted by its calendar.")
    if day in calendar.holidays:
        yield Exclusion("calendar.holidays", f"{day} is a holiday of its calendar.")
    if day.isoweekday() not in calendar.days:
        yield Exclusion("calendar.days", f"{shown:%A} is none of the days of its calendar.")
    if calendar.windows and not _only_windows(calendar).admits(shown):
        open_at = ", ".join(f"{window.start:%H:%M}-{window.end:%H:%M}" for window in calendar.windows)
        yield Exclusion("calendar.windows", f"{shown:%H:%M} is outside of its windows {open_at}.")


def _only_windows(calendar: Calendar) -> Calendar:
    return replace(ALWAYS, windows=calendar.windows)


def _shown(rule: Rule, instant: datetime) -> str:
    return f"{_local(local(rule.zone, instant))} ({rule.zone.key})"


def _local(shown: datetime) -> str:
    return f"{shown:%a %Y-%m-%d %H:%M}"
