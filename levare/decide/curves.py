"""Fewer points that show the same curve: for a plot (LTTB), and for keeping (extremes of each stretch)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

_ENDS = 2
MOST_KINDS = 100
"""Lines with the same stage and metrics are of one kind; further kinds share one."""


def sampled(xs: Sequence[float], ys: Sequence[float], most: int) -> list[int]:
    """
    The places of at most `most` points that look like all of them, in order: largest triangle, three buckets.

    The first and the last are always among them. What is not finite has no triangle: of each stretch of such points
    the first is kept, as long as these are no more than a tenth; so a curve that became NaN still shows where.
    """
    if len(ys) <= most:
        return list(range(len(ys)))
    if most <= _ENDS:
        return [0, len(ys) - 1][: max(most, 0)]
    odd = {0, len(ys) - 1, *_gaps(ys)[: most // 10]}
    kept = [place for place in odd if not isfinite(ys[place])]
    finite = [place for place, y in enumerate(ys) if isfinite(y)]
    return sorted([*kept, *_largest(finite, xs, ys, most - len(kept))])


def _gaps(ys: Sequence[float]) -> list[int]:
    """Where stretches begin that are not finite."""
    return [place for place, y in enumerate(ys) if not isfinite(y) and (place == 0 or isfinite(ys[place - 1]))]


def _largest(places: Sequence[int], xs: Sequence[float], ys: Sequence[float], most: int) -> list[int]:
    """Of each bucket the point that spans the largest triangle with the one before and the mean of the next bucket."""
    count = len(places)
    if count <= most:
        return list(places)
    if most <= _ENDS:
        return [*places[:1], *places[-1:]][: max(most, 0)]
    width = (count - 2) / (most - 2)
    chosen = [places[0]]
    for bucket in range(most - 2):
        begin, end = int(bucket * width) + 1, int((bucket + 1) * width) + 1
        following = places[end : min(int((bucket + 2) * width) + 1, count)] or places[-1:]
        x, y = (
            sum(xs[each] for each in following) / len(following),
            sum(ys[each] for each in following) / len(following),
        )
        chosen.append(_farthest(places[begin:end], chosen[-1], (x, y), xs, ys))
    return [*chosen, places[-1]]


def _farthest(
    places: Sequence[int], before: int, after: tuple[float, float], xs: Sequence[float], ys: Sequence[float]
) -> int:
    ax, ay, (bx, by) = xs[before], ys[before], after

    def doubled_area(place: int) -> float:
        return abs((ax - bx) * (ys[place] - ay) - (ax - xs[place]) * (by - ay))

    return max(places, key=doubled_area)


@dataclass(frozen=True)
class Line:
    """A line of metrics: where it begins, which kind it is of, and its first value (infinite for what is no number)."""

    offset: int
    kind: int
    value: float


class Kinds(dict[object, int]):
    """A number for each kind of line, by its stage and its metrics."""

    def __missing__(self, key: object) -> int:
        number = min(len(self), MOST_KINDS)
        if number < MOST_KINDS:
            self[key] = number
        return number


def thinned(lines: Iterable[Line], window: int) -> set[int]:
    """
    The offsets that are kept where each stretch of `window` bytes of the file keeps two lines of each kind.

    These are the one with the least and the one with the greatest first value, so that no peak is lost. So what
    comes rarely, such as validations, is kept whole, and to thin again, or with a wider window, only takes away. Of
    each kind the first and the last line stay.
    """
    least: dict[tuple[int, int], Line] = {}
    greatest: dict[tuple[int, int], Line] = {}
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for line in lines:
        place = (line.kind, line.offset // window)
        if place not in least or line.value < least[place].value:
            least[place] = line
        if place not in greatest or line.value > greatest[place].value:
            greatest[place] = line
        first.setdefault(line.kind, line.offset)
        last[line.kind] = line.offset
    ends = {*first.values(), *last.values()}
    return ends.union((line.offset for line in least.values()), (line.offset for line in greatest.values()))


FIRST_WINDOW = 256


def thinned_to(lines: Sequence[Line], most: int, window: int | None) -> tuple[set[int], int]:
    """The offsets that are kept, at most about `most`, and the window that makes it so: at least the one before."""
    wider = (window or FIRST_WINDOW // 2) * 2
    kept = thinned(lines, wider)
    while len(kept) > most and wider < lines[-1].offset - lines[0].offset:
        wider *= 2
        kept = thinned(lines, wider)
    return kept, wider
