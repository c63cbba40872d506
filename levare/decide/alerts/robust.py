"""Numbers that a few odd values do not move: the median, the deviation from it, and what is beyond both."""

from collections.abc import Sequence
from math import ceil
from statistics import fmean, median

NORMAL = 1.4826
"""The median deviation from the median times this is the standard deviation, where values are normally spread."""


def spread(values: Sequence[float]) -> float:
    """The standard deviation, by the median deviation from the median."""
    middle = median(values)
    return NORMAL * median(abs(value - middle) for value in values)


def upper(values: Sequence[float], *, part: float, deviations: float, least: float = 0.0) -> float:
    """The bound above the median by this part of it, by so many deviations and by `least`, whichever is furthest."""
    middle = median(values)
    return middle + max(part * abs(middle), deviations * spread(values), least)


def lower(values: Sequence[float], *, part: float, deviations: float, least: float = 0.0) -> float:
    return -upper([-value for value in values], part=part, deviations=deviations, least=least)


def quantile(values: Sequence[float], part: float) -> float:
    """By the nearest rank."""
    return sorted(values)[max(ceil(part * len(values)) - 1, 0)]


def line(points: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """Slope, value at the last point, and which part of the variance they explain: a fit by least squares."""
    last = points[-1][0]
    xs, ys = [x - last for x, _ in points], [y for _, y in points]
    mean_x, mean_y = fmean(xs), fmean(ys)
    over = sum((x - mean_x) ** 2 for x in xs)
    total = sum((y - mean_y) ** 2 for y in ys)
    if not over or not total:
        return 0.0, ys[-1], 0.0
    slope = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys, strict=True)) / over
    return slope, mean_y - slope * mean_x, slope * slope * over / total
