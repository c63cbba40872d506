"""From a sample a second to buckets of 10 s, 1 min and 15 min: those that are full, and of who has ended the rest."""

import re
from collections.abc import Iterator, Mapping, Sequence

from levare.model.sampled import TIERS, Bucket, Spread, begin_of, merge

_FINEST = TIERS[0]
_LEFT_OUT = re.compile(r"cpu\d+_percent|(gpu\d+_)?throttle_reasons")
"""Of single cores the busiest is kept; of bits there is no mean, and the percentages beside them say more."""


class Downsampler:
    """
    Of one owner. What comes with an instant of another bucket closes the one before, so a clock may jump.

    Who lived for less than the finest bucket leaves none, and in the coarser tiers nothing below a minute: what such an
    attempt used is in its row.
    """

    def __init__(self) -> None:
        self._at: int | None = None
        self._sums: dict[str, list[float]] = {}
        self._count = 0
        self._lived = 0
        self._parts: dict[int, list[Bucket]] = {tier: [] for tier in TIERS[1:]}
        self._wanted: dict[str, bool] = {}
        self.heard_at = 0.0
        """When the last sample came."""

    def add(self, sample: Mapping[str, float], at: float) -> list[Bucket]:
        """Take a sample; return what is full with it."""
        begin, closed = begin_of(at, _FINEST), list[Bucket]()
        if self._at is not None and begin != self._at:
            closed = list(self._close())
        self._at, self.heard_at = begin, at
        self._count += 1
        self._lived += 1
        for name, value in sample.items():
            self._note(name, value)
        return closed

    def resume(self, finest: Sequence[Bucket], middle: Sequence[Bucket]) -> list[Bucket]:
        """Go on where an earlier process stopped: what it wrote that is not yet in the coarser tiers."""
        self._lived += sum(bucket.samples for bucket in (*finest, *middle))
        found = [each for bucket in middle for each in self._raise(bucket, 2)]
        return found + [each for bucket in finest for each in self._raise(bucket, 1)]

    def finish(self) -> list[Bucket]:
        """Nothing more comes: return what is left, in each tier that it lived long enough for."""
        if self._at is None or self._lived < _FINEST:
            return []
        closed = list(self._close())
        for place, tier in enumerate(TIERS[1:], start=1):
            if self._parts[tier] and self._lived >= TIERS[1]:
                closed += self._merged(place)
        return closed

    def _note(self, name: str, value: float) -> None:
        known = self._sums.get(name)
        if known:
            known[0] += value
            known[1] += 1
            if value < known[2]:
                known[2] = value
            elif value > known[3]:
                known[3] = value
        elif self._is_wanted(name):
            self._sums[name] = [value, 1, value, value]

    def _is_wanted(self, name: str) -> bool:
        if name not in self._wanted:
            self._wanted[name] = not _LEFT_OUT.fullmatch(name)
        return self._wanted[name]

    def _close(self) -> Iterator[Bucket]:
        counters = {name: Spread(total / count, low, high) for name, (total, count, low, high) in self._sums.items()}
        bucket = Bucket(self._at or 0, _FINEST, self._count, counters)
        self._at, self._count, self._sums = None, 0, {}
        yield bucket
        yield from self._raise(bucket, 1)

    def _raise(self, bucket: Bucket, place: int) -> Iterator[Bucket]:
        """Into the tier at this place, which closes when the bucket ends it, or begins another."""
        if place == len(TIERS):
            return
        tier, parts = TIERS[place], self._parts[TIERS[place]]
        if parts and begin_of(parts[0].at, tier) != begin_of(bucket.at, tier):
            yield from self._merged(place)
        self._parts[tier].append(bucket)
        if bucket.end == begin_of(bucket.at, tier) + tier:
            yield from self._merged(place)

    def _merged(self, place: int) -> Iterator[Bucket]:
        tier, parts = TIERS[place], self._parts[TIERS[place]]
        self._parts[tier] = []
        bucket = merge(parts, begin_of(parts[0].at, tier), tier)
        yield bucket
        yield from self._raise(bucket, place + 1)
