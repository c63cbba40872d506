"""
What use of the fleet weighs, and how it fades.

The unit of a rate is the weighted GPU: a whole GPU is 1, a part of one is its part of the memory, and 20 CPUs weigh
as one GPU. Use is a rate over time, in weighted GPU-seconds, and halves with each half-life that has passed since.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, time, timedelta
from functools import cache
from math import log

from levare.model import Request

GPUS_PER_CPU = 0.05
"""20 CPUs weigh as much as one GPU."""
_SECOND, _DAY, _NO_TIME = timedelta(seconds=1), timedelta(days=1), timedelta()
_MICROSECOND = timedelta(microseconds=1)


def gpus_of(request: Request, typical_mib: float) -> float:
    """The GPUs of all its nodes; a part of a GPU counts as its part of the memory that a GPU typically has."""
    share = 1.0 if request.gpu_memory_mib is None else _part(request.gpu_memory_mib, typical_mib)
    return request.gpus * share * request.nodes


def cost(request: Request, typical_mib: float) -> float:
    """The rate at which it uses the fleet, in weighted GPUs, over all its nodes."""
    return gpus_of(request, typical_mib) + GPUS_PER_CPU * request.cpus * request.nodes


def gpus_held(devices: Mapping[str, int], memory_mib: Mapping[str, int]) -> float:
    """The same of devices that are held (UUID -> MiB), each a part of its memory; one that has left counts whole."""
    gpus = 0.0
    for uuid, mib in devices.items():
        gpus += _part(mib, memory_mib.get(uuid, mib))
    return gpus


def fading(elapsed: timedelta, half_life: timedelta) -> float:
    """What is left of one unit of use after this time: 2^(-elapsed / half-life)."""
    return 0.5 ** (elapsed / half_life) if elapsed > _NO_TIME else 1.0


def accrued(rate: float, elapsed: timedelta, half_life: timedelta) -> float:
    """
    The use of a steady `rate` over the last `elapsed`, faded up to its end, in weighted GPU-seconds.

    The integral of rate * 2^(-t / H) over t from 0 to T, which is rate * H / ln 2 * (1 - 2^(-T / H)). So use may be
    taken down at any moment: what is accrued in two parts, the first faded over the second, is what is accrued in one.
    """
    return rate * _mean_life_seconds(half_life) * (1.0 - fading(elapsed, half_life))


def accruals(rates: Iterable[float], elapsed: Iterable[int], half_life: timedelta) -> list[float]:
    """The same of many, each of which has lasted for so many microseconds, and not less than none."""
    weight, half = _mean_life_seconds(half_life), half_life // _MICROSECOND
    return [rate * weight * (1.0 - 0.5 ** (lasted / half)) for rate, lasted in zip(rates, elapsed, strict=True)]


def by_day(start: datetime, end: datetime) -> Iterator[tuple[str, float]]:
    """The seconds from `start` to `end` in each day of UTC that they touch, such as ("2030-01-31", 3600.0)."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    while start < end:
        midnight = datetime.combine(start.date() + _DAY, time(), UTC)
        yield start.date().isoformat(), (min(end, midnight) - start) / _SECOND
        start = midnight


@cache
def _mean_life_seconds(half_life: timedelta) -> float:
    return (half_life / _SECOND) / log(2)


def _part(mib: float, whole_mib: float) -> float:
    return mib / whole_mib if mib < whole_mib else 1.0
