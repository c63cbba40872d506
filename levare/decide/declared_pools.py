"""A pool from the document that declares it."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from levare.decide.times import ALWAYS, Calendar, zone_named
from levare.decide.timing import calendar_of
from levare.model import Offers, Pool

MOST_WORKERS = 1000


def check_hours(definition: Mapping[str, Any]) -> None:
    """Raise InvalidSchedule for a zone or a calendar that is none."""
    zone_named(definition.get("zone", "UTC"))
    calendar_of(definition.get("calendar"))


def pool_of(name: str, definition: Mapping[str, Any], *, now: datetime) -> Pool:
    """As it is at this time."""
    workers, calendar = definition["workers"], calendar_of(definition.get("calendar"))
    is_scaled = isinstance(workers, Mapping)
    zone = zone_named(definition.get("zone", "UTC"))
    return Pool(
        name,
        workers["min"] if is_scaled else workers,
        workers["max"] if is_scaled else workers,
        workers["queue_per_worker"] if is_scaled else None,
        timedelta(seconds=workers["cool_down_seconds"]) if is_scaled else timedelta(),
        select=_pairs(definition.get("select")),
        offers=Offers(**definition["offers"]) if definition.get("offers") else None,
        labels=_pairs(definition.get("labels")),
        price=definition.get("price"),
        is_open=calendar.admits(now.astimezone(zone).replace(tzinfo=None)),
        hours=_hours(definition.get("calendar") or {}, calendar, zone.key),
    )


def _pairs(labels: Mapping[str, str] | None) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((labels or {}).items()))


def _hours(given: Mapping[str, Any], calendar: Calendar, zone: str) -> str:
    if calendar == ALWAYS:
        return ""
    days = [f"on {given['days']}"] if given.get("days") else []
    windows = [f"from {' and '.join(given['windows'])} by the clocks of {zone}"] if given.get("windows") else []
    dates = ["outside the dates that are excepted"] if given.get("except") or given.get("holidays") else []
    return ", ".join([*days, *windows, *dates])
