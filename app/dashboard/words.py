"""Numbers and times as pages say them. All are coarse, so that a page at rest stays the same."""

from datetime import UTC, datetime, timedelta
from math import isfinite

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_GIB = 1024


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


def mib(amount: float | None) -> str:
    if amount is None:
        return "-"
    return f"{amount / _GIB:.3g} GiB" if amount >= _GIB else f"{amount:.0f} MiB"


def clock(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if at else "-"


def iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def whole(value: float | None, unit: str = "") -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.0f}{unit}"


def number(value: object) -> str:
    """A metric, in as many digits as help."""
    return f"{value:.5g}" if isinstance(value, int | float) else "-" if value is None else str(value)


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
    "state": state,
}
