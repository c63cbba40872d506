"""Numbers, times and names as they stand in the message of an alert."""

from datetime import UTC, datetime, timedelta

_SHORT_SECONDS = 10


def span(duration: timedelta | float) -> str:
    """`0.4 s`, `42 s`, `3 min 12 s`, `2 h 05 min`, `4 d 3 h`."""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < _SHORT_SECONDS:
        return f"{max(seconds, 0):.1f} s".replace(".0 s", " s")
    whole = round(seconds)
    for unit, smaller, size, part in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def number(value: float) -> str:
    return f"{value:.4g}"


def percent(part: float) -> str:
    """Of a part of 1."""
    return f"{100 * part:.0f} %"


def times(factor: float) -> str:
    return f"{factor:.1f} times"
