"""
What the runs on a node would lose if they had to make room: a bound for each request, so that few nodes are tried.

A loss grows with time, each at the rate of the GPUs that it is of, so what is the least of a node stays so: it is
worked out once for each kind of request, as long as nothing of the node changes.
"""

from bisect import bisect_right
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from levare.decide.once import instant, once, span
from levare.model import Held, Node

MARGIN = 2
"""So many levels of priority make a claim strictly stronger: less reorders the queue, and ends nothing."""
_MOST_KNOWN = 256
_NO_ONE: AbstractSet[str] = frozenset()
_NOBODY = 99
"""No priority is so high."""


class Prey(NamedTuple):
    """A run that could be had: what it holds, what its end would lose, and for whom it may be ended."""

    job_id: str
    gpus: int
    cpus: int
    saved: int
    """What it has done since then is lost, for each of its GPUs."""
    ripe: int
    """Nothing may end it before."""
    ends_for: int
    """From this priority on."""
    team: str
    is_ending: bool
    """Then it loses nothing more."""


Asked = tuple[int, int, int, str | None]
"""Whole GPUs, CPUs, a priority, and a team that may have what others have borrowed."""
Loss = tuple[()] | tuple[int, int, int, int]
"""
The least that is lost at any time, by the GPUs and by the number of runs that have to be freed.

Each as a number of GPUs, or runs, and the sum of the instants since which they lose: the loss is the first times now,
less the second. It is empty for what cannot be had.
"""


class Pack:
    """
    The runs on a node that somebody could have, and whose of them are borrowed.

    Less may be free by now than when the decision began, so that more is lost; so its losses are least ones.
    """

    def __init__(self, node: Node, prey: Iterable[Prey], borrowed: AbstractSet[str] = _NO_ONE) -> None:
        self._node, self._borrowed = node, borrowed
        self._prey = sorted(prey, key=_by_loss)
        self._widest = max((each.cpus for each in self._prey), default=0)
        self._shapes: dict[tuple[int, int, int, str | None], Loss] = {}
        self.known: dict[Asked, Loss] = {}
        """What has been asked for before."""

    def least_loss(self, asked: Asked) -> Loss:
        """What is known already is not worked out again, nor what comes to the same."""
        gpus, cpus, priority, team = asked
        left = self._node.left
        runs = -(min(0, left.cpus - cpus) // self._widest) if self._widest else 0
        shape = (max(0, gpus - left.whole), runs, priority, team if self._borrowed else None)
        if shape not in self._shapes:
            self._shapes[shape] = self._worked_out(*shape)
        if len(self.known) >= _MOST_KNOWN:  # a node may stay as it is for weeks
            self.known.clear()
        self.known[asked] = self._shapes[shape]
        return self.known[asked]

    def _worked_out(self, gpus: int, runs: int, priority: int, team: str | None) -> Loss:
        parts, parts_since, whole, whole_since = 0, 0, 0, 0
        for each in self._prey:
            if gpus <= 0 and runs <= 0:
                break
            if self._may_be_had(each, priority, team):
                if not each.is_ending:
                    part = min(max(gpus, 0), each.gpus)
                    parts, parts_since = parts + part, parts_since + part * each.saved
                    whole, whole_since = (whole + 1, whole_since + each.saved) if runs > 0 else (whole, whole_since)
                gpus, runs = gpus - each.gpus, runs - 1
        return (parts, parts_since, whole, whole_since) if gpus <= 0 and runs <= 0 else ()

    def _may_be_had(self, prey: Prey, priority: int, team: str | None) -> bool:
        if prey.is_ending or prey.ends_for <= priority:
            return True
        return team is not None and prey.team != team and prey.job_id in self._borrowed


class Den:
    """All that runs on a node: some of it may be ended only later, and then there is another pack."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._prey = [_as_prey(held) for held in node.held if held.is_ending or held.placed_at]
        self._jobs = frozenset(each.job_id for each in self._prey)
        self._turns = sorted(each.ripe for each in self._prey)
        self._pack: tuple[int, Pack] | None = None

    def pack(self, now: int, *, ended: AbstractSet[str], borrowed: AbstractSet[str]) -> Pack:
        """What could be had at this time, with what has been told to end in this decision."""
        if not (self._jobs.isdisjoint(ended) and self._jobs.isdisjoint(borrowed)):
            prey = (each._replace(is_ending=True, ripe=0) if each.job_id in ended else each for each in self._prey)
            return Pack(self._node, [each for each in prey if each.ripe <= now], self._jobs & borrowed)
        ripe = bisect_right(self._turns, now)
        if self._pack is None or self._pack[0] != ripe:
            self._pack = (ripe, Pack(self._node, (each for each in self._prey if each.ripe <= now)))
        return self._pack[1]


den_on = once(Den)


def saved_at(held: Held) -> int | None:
    """When its work was last saved; None for what has not been placed."""
    if held.placed_at is None:
        return None
    return instant(max(held.safe_at, held.placed_at) if held.safe_at else held.placed_at)


def _as_prey(held: Held) -> Prey:
    return Prey(
        held.job_id,
        len(held.devices),
        held.cpus,
        saved_at(held) or 0,
        0 if held.is_ending or not held.placed_at else instant(held.placed_at) + span(held.min_runtime),
        held.priority + MARGIN if held.preemptible else _NOBODY,
        held.team,
        held.is_ending,
    )


def _by_loss(prey: Prey) -> tuple[bool, int]:
    return not prey.is_ending, -prey.saved
