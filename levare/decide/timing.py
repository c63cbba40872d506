"""When a schedule is due, from the document that declares it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from levare.decide import times
from levare.decide.times import ALWAYS, Calendar, Cron, Interval, Once, Rule, Window
from levare.errors import Fault, InvalidSchedule

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS = ("cron", "every_seconds", "at")
_FIELDS = (*_KINDS, "zone", "starts", "ends", "jitter_seconds", "calendar")
_KEPT = 20_000


@dataclass(frozen=True)
class Timing:
    rule: Rule
    jitter: timedelta = timedelta()

    @property
    def zone(self) -> ZoneInfo:
        return self.rule.zone

    def fires_at(self, name: str, due_at: datetime) -> datetime:
        """When an instant of the schedule of this name is to fire."""
        return times.fires_at(name, due_at, self.jitter)


def timing_of(definition: Mapping[str, Any]) -> Timing:
    """
    The times of a definition; raise InvalidSchedule for what is none.

    An interval counts from `starts` or else from midnight UTC of 1970-01-01, so that the same definition is due at the
    same instants wherever and whenever it is declared.
    """
    return _timing(json.dumps({name: definition[name] for name in _FIELDS if definition.get(name)}, sort_keys=True))


@lru_cache(_KEPT)
def _timing(text: str) -> Timing:
    given = json.loads(text)
    zone = times.zone_named(given.get("zone", "UTC"))
    starts, ends = _instant(given.get("starts")), _instant(given.get("ends"))
    rule = Rule(_when(given, starts), zone, starts, ends, calendar_of(given.get("calendar")))
    return Timing(rule, timedelta(seconds=given.get("jitter_seconds", 0)))


def _when(given: Mapping[str, Any], starts: datetime | None) -> Cron | Interval | Once:
    kinds = [name for name in _KINDS if name in given]
    if len(kinds) != 1:
        said = " and ".join(kinds) or "none of them"
        fault = Fault("cron", f"{said} is given", said, "one of cron, every_seconds and at")
        detail = f"A schedule has one of cron, every_seconds and at, and this has {said}."
        raise InvalidSchedule(detail, "Give exactly one of them.", [fault])
    if "cron" in given:
        return Cron.parse(given["cron"])
    if "at" in given:
        return Once(datetime.fromisoformat(given["at"]))
    return Interval(timedelta(seconds=given["every_seconds"]), starts or _EPOCH)


def calendar_of(given: Mapping[str, Any] | None) -> Calendar:
    """Of a definition; raise InvalidSchedule for what is none."""
    if not given:
        return ALWAYS
    days = {"days": times.weekdays(given["days"])} if given.get("days") else {}
    windows = tuple(Window.parse(text) for text in given.get("windows", ()))
    return Calendar(**days, windows=windows, excluded=_dates(given, "except"), holidays=_dates(given, "holidays"))


def _dates(given: Mapping[str, Sequence[str]], name: str) -> frozenset[date]:
    return frozenset(_date(f"calendar.{name}", text) for text in given.get(name, ()))


def _date(field: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        fault = Fault(field, "is no date", text, "a date such as 2030-12-25")
        raise InvalidSchedule(f"{text!r} is no date.", "Give dates such as 2030-12-25.", [fault]) from None


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
