"""Numbers and times as pages say them. All are coarse, so that a page at rest stays the same."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any

from markupsafe import Markup, escape

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_GIB = 1024
_QUOTED = re.compile("`([^`]+)`")
_OPTION = re.compile(r"--\S+")
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
    return span(seconds) if whole >= _MINUTE else f"{whole:.0f} s" if whole >= 1 else "under 1 s"


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
    said = f"{at:%H:%M:%S}" if at.second else f"{at:%H:%M}"
    return said if at.date() == today else f"{at:%b %-d}, {said}"


def lasted(seconds: float) -> str:
    return took(timedelta(seconds=seconds))


def iso(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def whole(value: float | None, unit: str = "") -> str:
    return "-" if value is None or not isfinite(value) else f"{value:.0f}{unit}"


def number(value: object) -> str:
    """A metric, in as many digits as help."""
    return f"{value:.5g}" if isinstance(value, int | float) else "-" if value is None else str(value)


def lines(value: Mapping[str, Any], before: str = "") -> str:
    """A document, a line for each value with its path."""
    return "\n".join(f"{path}: {plain(each)}" for path, each in _flat(value, before))


def _flat(value: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, each in sorted(value.items()):
        if isinstance(each, Mapping) and each:
            yield from _flat(each, f"{before}{name}.")
        elif isinstance(each, list) and any(isinstance(part, Mapping) for part in each):
            for place, part in enumerate(each):
                inner = part if isinstance(part, Mapping) else {"": part}
                yield from _flat(inner, f"{before}{name}[{inner.get('step', place)}].")
        else:
            yield f"{before}{name}", each


def plain(value: object) -> str:
    """A value on one line: a command as a shell takes it, other values as JSON."""
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return shlex.join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def amount(value: float) -> str:
    """To hundredths, without zeros that say nothing."""
    return f"{round(value, 2):g}"


def coded(text: str) -> Markup:
    """A sentence whose `commands` stand out; no line ends within an option."""
    return Markup(_QUOTED.sub(_command, str(escape(text))))  # noqa: S704  # nosec B704  # escaped


def _command(quoted: re.Match[str]) -> str:
    command = _OPTION.sub(r"<span>\g<0></span>", quoted[1])
    return f"<code>{command}</code>"


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
    "plain": plain,
    "amount": amount,
    "coded": coded,
    "lines": lines,
    "cut": cut,
    "state": state,
}
