"""Numbers and times as pages say them. All are coarse, so that a page at rest stays the same."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_GIB = 1024
_UNITS = (("d", _DAY), ("h", _HOUR), ("min", _MINUTE), ("s", 1))


def span(seconds: float | timedelta | None) -> str:
    """`3 min`, `2 h 05 min`, `4 d 3 h`; what is shorter grows on the page itself, second by second."""
    if seconds is None:
        return "-"
    whole = int(seconds.total_seconds() if isinstance(seconds, timedelta) else seconds)
    if whole < _MINUTE:
        return "under 1 min"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE:02} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def took(seconds: timedelta) -> str:
    """How long something took that is over, to the second where it is short."""
    whole = seconds.total_seconds()
    return span(seconds) if whole >= _MINUTE else f"{whole:.0f} s"


def exactly(seconds: int) -> str:
    """A whole number of the greatest unit that it is one of: `90 s`, `15 min`, `2 d`."""
    unit, size = next((each for each in _UNITS if seconds % each[1] == 0), _UNITS[-1])
    return f"{seconds // size} {unit}"


def mib(amount: float | None) -> str:
    if amount is None:
        return "-"
    return f"{amount / _GIB:.3g} GiB" if amount >= _GIB else f"{amount:.0f} MiB"


def clock(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "-"


def moment(at: datetime, now: datetime) -> str:
    """A time of day in UTC, with the day unless that is today."""
    at, today = at.astimezone(UTC), now.astimezone(UTC).date()
    return f"{at:%H:%M}" if at.date() == today else f"{at:%b %-d, %H:%M}"


def lasted(seconds: float) -> str:
    return took(timedelta(seconds=seconds))


def iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def whole(value: float | None, unit: str = "") -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.0f}{unit}"


def number(value: object) -> str:
    """A metric, in as many digits as help."""
    return f"{value:.5g}" if isinstance(value, int | float) else "-" if value is None else str(value)


def document(value: object) -> str:
    """A value as JSON on one line."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def lines(value: Mapping[str, Any], before: str = "") -> str:
    """A document, a line for each value with its path."""
    found = []
    for name, each in sorted(value.items()):
        path = f"{before}{name}"
        found.append(lines(each, f"{path}.") if isinstance(each, Mapping) and each else f"{path}: {_plain(each)}")
    return "\n".join(found)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else document(value)


def cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def state(name: str) -> str:
    """A state as a word for people."""
    return name.replace("_", " ")


FILTERS = {
    "span": span,
    "took": took,
    "mib": mib,
    "clock": clock,
    "iso": iso,
    "whole": whole,
    "number": number,
    "moment": moment,
    "lasted": lasted,
    "document": document,
    "lines": lines,
    "cut": cut,
    "state": state,
}
