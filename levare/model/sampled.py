"""
What was measured, second by second or down-sampled: of each counter its mean, lowest and highest of a time.

A sample is a flat mapping of names with units to numbers; names and units are in docs/monitoring-samples.md.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Literal

Kind = Literal["node", "attempt"]
"""Whose samples: a node's, by its name, or an attempt's, by its id."""

TIERS = (10, 60, 900)
"""Seconds that one bucket is of, finest first; each is a multiple of the one before."""
KEPT: Mapping[int, timedelta] = {10: timedelta(hours=6), 60: timedelta(days=14), 900: timedelta(days=180)}
"""How long the buckets of each tier are kept."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A counter in a time."""

    mean: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was measured from `at` on (seconds since 1970) for `seconds`, in that many `samples`."""

    at: int
    seconds: int
    samples: int
    counters: Mapping[str, Spread]

    @property
    def begin(self) -> datetime:
        return datetime.fromtimestamp(self.at, EPOCH.tzinfo)

    @property
    def end(self) -> int:
        """In seconds since 1970; what was measured then is no longer of it."""
        return self.at + self.seconds

    def means(self) -> dict[str, float]:
        """As if it were one sample: what each counter was on average."""
        return {name: spread.mean for name, spread in self.counters.items()}


EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def begin_of(at: float, seconds: int) -> int:
    """When the bucket of this length begins that an instant belongs to."""
    return int(at // seconds) * seconds


def sampled(at: float, counters: Mapping[str, float]) -> Bucket:
    """One sample, as a bucket of its second."""
    return Bucket(int(at), 1, 1, {name: Spread(value, value, value) for name, value in counters.items()})


def merge(buckets: Sequence[Bucket], at: int, seconds: int) -> Bucket:
    """
    One bucket of several: a mean weighs as much as its samples.

    A counter that some of them lack is that of those that have it.
    """
    sums: dict[str, list[float]] = {}
    for bucket in buckets:
        weight = bucket.samples
        for name, spread in bucket.counters.items():
            known = sums.get(name)
            if known is None:
                sums[name] = [spread.mean * weight, weight, spread.lowest, spread.highest]
                continue
            known[0] += spread.mean * weight
            known[1] += weight
            known[2] = min(known[2], spread.lowest)
            known[3] = max(known[3], spread.highest)
    counters = {name: Spread(total / weight, low, high) for name, (total, weight, low, high) in sums.items()}
    return Bucket(at, seconds, sum(bucket.samples for bucket in buckets), counters)


def regrouped(buckets: Iterable[Bucket], seconds: int) -> list[Bucket]:
    """Buckets of `seconds`, from finer ones in the order of time; what is coarser already stays as it is."""
    found: list[Bucket] = []
    for (length, at), group in groupby(buckets, key=lambda each: _place(each, seconds)):
        members = list(group)
        found.append(members[0] if len(members) == 1 and length == members[0].seconds else merge(members, at, length))
    return found


def _place(bucket: Bucket, seconds: int) -> tuple[int, int]:
    length = max(seconds, bucket.seconds)
    return length, begin_of(bucket.at, seconds) if bucket.seconds < seconds else bucket.at
