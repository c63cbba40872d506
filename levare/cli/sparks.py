"""Curves in a line of text."""

from collections.abc import Sequence
from itertools import pairwise
from math import isfinite

_BLOCKS = "▁▂▃▄▅▆▇█"
_ODD = "!"
"""What is not finite."""


def spark(values: Sequence[float | str | None], width: int) -> str:
    """
    The values from left to right, the least the lowest block; a gap for None.

    Of more values than there is room for, each column shows the mean of its part; one that has anything that is not
    finite shows that.
    """
    columns = [_column(part) for part in _parts(values, width)]
    finite = [each for each in columns if isinstance(each, float)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(_shown(each, low, high) for each in columns)


def _parts(values: Sequence[float | str | None], width: int) -> list[Sequence[float | str | None]]:
    if len(values) <= width:
        return [[value] for value in values]
    edges = [place * len(values) // width for place in range(width + 1)]
    return [values[begin:end] for begin, end in pairwise(edges)]


def _column(part: Sequence[float | str | None]) -> float | str | None:
    known = [value for value in part if value is not None]
    if not known:
        return None
    numbers = [float(value) for value in known if not isinstance(value, str) and isfinite(value)]
    return _ODD if len(numbers) < len(known) else sum(each / len(numbers) for each in numbers)


def _shown(column: float | str | None, low: float, high: float) -> str:
    if column is None:
        return " "
    if isinstance(column, str):
        return column
    span = high - low
    place = (column - low) / span if span and isfinite(span) else 0.5
    return _BLOCKS[min(int(place * len(_BLOCKS)), len(_BLOCKS) - 1)]
