"""What a person may not have meant by a rule: said when it is declared, rather than found out at night."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import takewhile

from levare.decide.times.calendars import ALWAYS
from levare.decide.times.cron import Cron
from levare.decide.times.fields import DAY, HOUR, KINDS, MINUTE, MONTH, WEEKDAY, Item
from levare.decide.times.rules import Interval, Rule, between, next_after
from levare.decide.times.zones import Change, changes

AHEAD = timedelta(days=731)
"""How far lint looks: two years, and so four changes of the clocks in most zones."""
_MINUTE = timedelta(minutes=1)
_SAMPLES = 1000
_NAMED = 4
_SIZES = {MINUTE: 60, HOUR: 24, MONTH: 12, WEEKDAY: 7}
_WHOLE = {MINUTE: "hour", HOUR: "day", DAY: "month", MONTH: "year", WEEKDAY: "week"}
_SHORT = 28
"""Every month has so many days."""
_LACKING = {29: {2}, 30: {2}, 31: {2, 4, 6, 9, 11}}
"""The months that lack a day, 29 February in most years."""


class Lint(StrEnum):
    """What can be found; the value is its name outside."""

    ENDS_BEFORE_START = "ends-before-start"
    NEVER = "never"
    """Nothing is due from now on."""
    CALENDAR = "calendar"
    """The calendar refuses most of what would be due."""
    TOO_OFTEN = "too-often"
    UNEVEN_STEP = "uneven-step"
    EITHER_DAY = "either-day"
    """Day of month and day of week are both given, and either is enough."""
    SHORT_MONTHS = "short-months"
    SKIPPED = "skipped-by-clocks"
    """Clocks jump over a time that is due."""
    DOUBLED = "doubled-by-clocks"
    """Clocks show a time twice that is due."""


@dataclass(frozen=True)
class Finding:
    """One thing to look at, in a sentence; for changes of the clocks also when they are, at most four of them."""

    lint: Lint
    message: str
    at: tuple[datetime, ...] = ()


def lint(rule: Rule, *, now: datetime) -> list[Finding]:
    """
    What a person may not have meant, the gravest first; looks two years ahead of `now`.

    A rule that is never due is told only why.
    """
    never = [*_never(rule, now)]
    return never or [finding for look in _LOOKS for finding in look(rule, now)]


def _never(rule: Rule, now: datetime) -> Iterator[Finding]:
    if rule.start and rule.end and rule.end <= rule.start:
        yield Finding(Lint.ENDS_BEFORE_START, f"It ends at {_minute(rule.end)} and starts at {_minute(rule.start)}.")
    elif next_after(rule, now) is None:
        yield Finding(Lint.NEVER, f"Nothing is due after {_minute(now)}: {_why_never(rule, now)}.")


def _minute(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _why_never(rule: Rule, now: datetime) -> str:
    if isinstance(rule.when, Cron) and not rule.when.is_possible:
        return f"no month of {rule.when.text!r} has such a day"
    if rule.end and rule.end <= now:
        return f"it ended at {_minute(rule.end)}"
    if next_after(replace(rule, calendar=ALWAYS), now):
        return "its calendar refuses all of it"
    return (
        "its only time has passed" if rule.end is None else f"its next time would be after its end, {_minute(rule.end)}"
    )


def _calendar(rule: Rule, now: datetime) -> Iterator[Finding]:
    if rule.calendar.is_always_open:
        return
    dues = _sample(replace(rule, calendar=ALWAYS), now)
    kept = sum(next_after(rule, due - timedelta(microseconds=1)) == due for due in dues)
    if 2 * kept < len(dues):
        share = f"{kept} of {len(dues)} times looked at in the coming two years"
        yield Finding(Lint.CALENDAR, f"The calendar refuses most of what would be due: it leaves {share}.")


def _sample(rule: Rule, now: datetime) -> list[datetime]:
    """All due instants of two years, or if they are many the first ones after instants that lie evenly among them."""
    dues = between(rule, now, now + AHEAD, _SAMPLES)
    if len(dues) < _SAMPLES:
        return dues
    begins = (max(now, rule.start or now) + number * AHEAD / _SAMPLES for number in range(_SAMPLES))
    return sorted({due for begin in begins if (due := next_after(rule, begin))})


def _too_often(rule: Rule, _now: datetime) -> Iterator[Finding]:
    if isinstance(rule.when, Interval) and rule.when.every < _MINUTE:
        seconds = rule.when.every.total_seconds()
        yield Finding(Lint.TOO_OFTEN, f"It is due every {seconds:g} s: each time is a job. Give a minute or more.")


def _either_day(rule: Rule, _now: datetime) -> Iterator[Finding]:
    if isinstance(rule.when, Cron) and not rule.when.needs_both_days:
        _, _, day, _, weekday = rule.when.text.upper().split()
        message = f"It is due on day {day} of the month and also on day {weekday} of the week"
        yield Finding(Lint.EITHER_DAY, f"{message}: either is enough. If both were meant, restrict the calendar.")


def _uneven_step(rule: Rule, _now: datetime) -> Iterator[Finding]:
    for place, field in enumerate(rule.when.fields if isinstance(rule.when, Cron) else ()):
        for item in field.items:
            if item.step > 1 and max(item.values) + item.step > field.kind.most and _is_uneven(place, item.step):
                yield Finding(Lint.UNEVEN_STEP, _uneven(place, item))


def _is_uneven(place: int, step: int) -> bool:
    return place == DAY or _SIZES[place] % step != 0


def _uneven(place: int, item: Item) -> str:
    shown = ", ".join(str(value) for value in sorted(item.values)[-_NAMED:])
    more = "..., " if len(item.values) > _NAMED else ""
    first, whole = min(item.values), _WHOLE[place]
    return f"{item.text} does not divide the {whole} evenly: after {more}{shown} it begins again with {first}."


def _short_months(rule: Rule, _now: datetime) -> Iterator[Finding]:
    if not isinstance(rule.when, Cron):
        return
    single = {min(item.values) for item in rule.when.fields[DAY].items if len(item.values) == 1}
    months = rule.when.fields[MONTH].values
    for day in sorted(day for day in single if day > _SHORT):
        lacking = _LACKING[day] & months
        if lacking:
            names = " ".join(KINDS[MONTH].words[month - 1] for month in sorted(lacking))
            sometimes = " in most years" if day == _SHORT + 1 else ""
            message = f"Not every month has a day {day}, so it is not due in {names}{sometimes}."
            yield Finding(Lint.SHORT_MONTHS, f"{message} The last day of each month is L.")


def _clocks(rule: Rule, now: datetime) -> Iterator[Finding]:
    """Fixed times, and wild ones within certain hours: whoever names an hour may miss it."""
    cron = rule.when
    if not isinstance(cron, Cron) or len(cron.fields[HOUR].values) == _SIZES[HOUR]:
        return
    seen = [change for change in changes(rule.zone, now, now + AHEAD) if _is_within(rule, change)]
    skipped = [change for change in seen if any(_shown(cron, change.left, change.reached))]
    doubled = [change for change in seen if any(_shown(cron, change.reached, change.left))]
    if skipped:
        yield Finding(Lint.SKIPPED, _told("jump over", skipped, cron, _fate_of_skipped), _dates(skipped))
    if doubled:
        yield Finding(Lint.DOUBLED, _told("show twice", doubled, cron, _fate_of_doubled), _dates(doubled))


def _is_within(rule: Rule, change: Change) -> bool:
    return not (rule.start and change.at < rule.start) and not (rule.end and change.at >= rule.end)


def _shown(cron: Cron, first: datetime, end: datetime) -> Iterator[datetime]:
    """The local times that match from the first on, before the end."""
    return takewhile(lambda shown: shown < end, cron.shown_after(first - timedelta(seconds=1)))


def _told(verb: str, seen: list[Change], cron: Cron, fate: Callable[[Cron, Change], str]) -> str:
    first = seen[0]
    span = " to ".join(f"{shown:%H:%M}" for shown in sorted([first.left, first.reached]))
    more = {1: "", 2: ", and once more within two years"}.get(
        len(seen), f", and {len(seen) - 1} times more in two years"
    )
    return f"Clocks {verb} {span} on {first.left:%Y-%m-%d}{more}: what is due then {fate(cron, first)}."


def _fate_of_skipped(cron: Cron, change: Change) -> str:
    if cron.is_wild or not change.is_seasonal:
        return "is not due that day"
    return f"is due at the jump, at {change.reached:%H:%M}"


def _fate_of_doubled(cron: Cron, change: Change) -> str:
    return "is due both times" if cron.is_wild or not change.is_seasonal else "is due the first time only"


def _dates(seen: list[Change]) -> tuple[datetime, ...]:
    return tuple(change.at for change in seen[:_NAMED])


_LOOKS = (_calendar, _too_often, _either_day, _uneven_step, _short_months, _clocks)
