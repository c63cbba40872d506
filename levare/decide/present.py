"""
What each holds now, against its share: so that nobody who has used little can leave the others without anything.

Who comes first is decided by use over days, and use alone would give the whole fleet to a newcomer until it has
caught up. So at the turn of a job, while others wait, with the present share by weight among all that hold or want
something, of what they hold together and this job asks for:
    first  whoever holds less than half its share, and no more than its share with this job; the smallest part of all;
    last   whoever holds its share or more, and more than twice its share with this job;
    between these, use decides.
Therefore nobody's part falls below half its share, to within a job, however many jobs others submit at once and
however little these have used; and a newcomer gets twice its share at most, or one job if that is more. The same
holds for the users of a team, of what the team holds.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

LEAST, MOST = 0.5, 2.0
"""These parts of its share bound what use decides."""
FIRST, BY_USE, LAST = 0, 1, 2


class Part(NamedTuple):
    """What somebody holds, and its present share with the job that it asks for, all in weighted GPUs."""

    holds: float
    share: float
    asks: float = 0.0

    @property
    def fraction(self) -> float:
        """What it holds as a part of its share; 1 where there is nothing to share."""
        return self.holds / self.share if self.share else 1.0

    @property
    def band(self) -> int:
        """`FIRST`, `BY_USE` or `LAST`."""
        return self.order[0]

    @property
    def order(self) -> tuple[int, float]:
        """The smaller comes first; where these are equal use decides."""
        holds, share, asks = self
        if holds < LEAST * share and holds + asks <= share:
            return FIRST, holds / share
        return _LAST if holds >= share and holds + asks > MOST * share else _BY_USE


_BY_USE, _LAST = (BY_USE, 0.0), (LAST, 0.0)


@dataclass
class Present:
    """What those hold who share something, which are all that hold or want a part of it; questions cost O(1)."""

    _holds: dict[str, float] = field(default_factory=dict)
    _weights: dict[str, float] = field(default_factory=dict)
    total: float = 0.0
    weight: float = 0.0

    def join(self, name: str, weight: float) -> None:
        """It wants something. To join again changes nothing."""
        if name not in self._weights:
            self._weights[name] = weight
            self.weight += weight

    def take(self, name: str, weight: float, rate: float) -> None:
        """It holds so many weighted GPUs more."""
        self.join(name, weight)
        self._holds[name] = self._holds.get(name, 0.0) + rate
        self.total += rate

    def part(self, name: str, weight: float, asks: float = 0.0) -> Part:
        """As it is, or as it would be if it wanted something now."""
        everyone = self.weight + (0.0 if name in self._weights else weight)
        return Part(self._holds.get(name, 0.0), (self.total + asks) * weight / everyone, asks)
