"""From lines of a metrics file to points, bounded: a training process may write anything."""

import json
import math
from datetime import UTC, datetime
from typing import Any

from levare.store.shipping import Point, Points

Param = str | float | bool
LONGEST_LINE = 16 * 1024
LONGEST_NAME = 128
MOST_VALUES = 64
MOST_PARAMS = 100
"""In one line."""
LONGEST_PARAM = 500

_RESERVED = frozenset({"step", "stage", "epoch", "time", "progress"})


def read_points(data: bytes, begin: int, *, now: datetime, final: bool = False) -> Points:
    """
    Read the whole lines of a stretch that starts at byte `begin` of the file.

    A last line without an end is left for the next time, unless this is the last (`final`), or it is too long already.
    """
    read = Points(begin, begin, read_at=now)
    for line in data.splitlines(keepends=True):
        is_whole = line.endswith(b"\n") or final or len(line) > LONGEST_LINE
        if not is_whole:
            break
        _take(read, line, now)
        read.end += len(line)
    return read


def _take(read: Points, line: bytes, now: datetime) -> None:
    if not line.strip():
        return
    try:
        point, progress, params = _parse(line, read.end, now)
    except (ValueError, TypeError, ArithmeticError, RecursionError):
        read.dropped += 1
        return
    if progress is not None:
        read.progress = progress
    read.params |= params
    if point is not None:
        read.points.append(point)


def _parse(line: bytes, offset: int, now: datetime) -> tuple[Point | None, float | None, dict[str, Param]]:
    if len(line) > LONGEST_LINE:
        raise ValueError("too long")
    fields = json.loads(line)
    if not isinstance(fields, dict):
        raise TypeError("not an object")
    params = _params(fields.pop("params")) if isinstance(fields.get("params"), dict) else {}
    values = {_clean(name): _number(value) for name, value in fields.items() if name not in _RESERVED}
    if len(values) > MOST_VALUES or any(not 0 < len(name) <= LONGEST_NAME for name in values):
        raise ValueError("too many values, or too long a name")
    progress = _progress(fields.get("progress"))
    if not values:
        return None, progress, params
    return Point(offset, _at(fields.get("time"), now), *_place(fields), values), progress, params


def _params(told: dict[str, Any]) -> dict[str, Param]:
    """What the training was given: texts (a long one is cut), numbers and truths; of anything else its text."""
    some = list(told.items())[:MOST_PARAMS]
    return {_clean(name)[:LONGEST_NAME]: _param(value) for name, value in some if name}


def _clean(text: str) -> str:
    """Raise ValueError for what no database can keep: NUL and halves of surrogate pairs."""
    text.encode()
    if "\0" in text:
        raise ValueError("NUL in a name")
    return text


def _param(value: Any) -> Param:
    if isinstance(value, bool) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.replace("\0", "").encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST_PARAM else f"{text[: LONGEST_PARAM - 3]}..."


def _place(fields: dict[str, Any]) -> tuple[str | None, int | None, float | None]:
    stage, step, epoch = fields.get("stage"), fields.get("step"), fields.get("epoch")
    return (
        None if stage is None else _clean(str(stage))[:LONGEST_NAME],
        None if step is None else max(-(2**31), min(int(step), 2**31 - 1)),
        None if epoch is None else float(epoch),
    )


def _number(value: Any) -> float | str:
    """JSON knows no NaN and no infinity, so these are kept by name."""
    if isinstance(value, str | list | dict | None):
        raise TypeError("not a number")
    number = float(value)
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return number


def _progress(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    return min(max(number, 0.0), 1.0) if math.isfinite(number) else None


def _at(value: Any, now: datetime) -> datetime:
    try:
        return min(datetime.fromtimestamp(float(value), UTC), now)
    except (TypeError, ValueError, OverflowError, OSError):
        return now
