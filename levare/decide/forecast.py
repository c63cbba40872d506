"""When a waiting job will start, if runs take as long as they usually do, and if they take as long as promised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop, heappush

from levare.decide.backfill import expected_of
from levare.decide.placement import place
from levare.model import Decision, Duration, Held, Node, Placement, Sharing, Waiting

MOST_WORK = 20_000
"""A look ahead ends after so many looks of a job at a node, and nothing is known beyond."""
HORIZON = timedelta(days=14)


@dataclass(frozen=True)
class Estimate:
    """When a job will start: usually, and at the latest. None where nothing tells how long runs take."""

    typical: datetime | None
    latest: datetime | None


def estimate(
    job: Waiting, waiting: Sequence[Waiting], nodes: Sequence[Node], *, now: datetime, sharing: Sharing
) -> Estimate:
    """The decisions of the coming time, made by the code that will make them; without jobs that are yet to come."""
    typical = _start(job, waiting, nodes, now=now, sharing=sharing, lasts=lambda duration: duration.typical)
    latest = _start(job, waiting, nodes, now=now, sharing=sharing, lasts=lambda duration: duration.promised)
    return Estimate(typical, max(typical, latest) if typical and latest else latest)


def _start(
    job: Waiting,
    waiting: Sequence[Waiting],
    nodes: Sequence[Node],
    *,
    now: datetime,
    sharing: Sharing,
    lasts: Callable[[Duration], timedelta],
) -> datetime | None:
    world = _World(waiting, nodes, now, lasts)
    steps = max(1, MOST_WORK // (len(nodes) * (1 + len({each.lane for each in waiting}))))
    for _ in range(steps):
        decision = place(world.waiting, world.nodes, now=world.now, sharing=sharing)
        if any(placement.job_id == job.job_id for placement in decision.placements):
            return world.now
        world.apply(decision)
        if not world.advance() or world.now - now > HORIZON:
            return None
    return None


class _World:
    """The fleet as it will be."""

    def __init__(
        self, waiting: Sequence[Waiting], nodes: Sequence[Node], now: datetime, lasts: Callable[[Duration], timedelta]
    ) -> None:
        self.now, self._lasts = now, lasts
        self.waiting = list(waiting)
        self._nodes = {node.name: node for node in nodes}
        self._endings: list[tuple[datetime, str, str]] = []
        for node in nodes:
            for held in node.held:
                self._expect(held, node.name)
        heapify(self._endings)

    @property
    def nodes(self) -> Sequence[Node]:
        return list(self._nodes.values())

    def apply(self, decision: Decision) -> None:
        """What starts holds its devices; what makes room has ended with the next step."""
        jobs = {job.job_id: job for job in self.waiting}
        for placement in decision.placements:
            self._hold(placement, jobs[placement.job_id])
        started = [placement.job_id for placement in decision.placements if placement.rank == 0]
        self.waiting = [left for job in self.waiting if (left := _without(job, started.count(job.job_id)))]
        for preemption in decision.preemptions:
            self._end(preemption.attempt_id)

    def advance(self) -> bool:
        """To the next time at which something ends; False if nothing is known to end."""
        if not self._endings:
            return False
        self.now = max(self.now, self._endings[0][0])
        while self._endings and self._endings[0][0] <= self.now:
            _, name, attempt = heappop(self._endings)
            node = self._nodes[name]
            self._nodes[name] = replace(node, held=[held for held in node.held if held.attempt_id != attempt])
        return True

    def _hold(self, placement: Placement, job: Waiting) -> None:
        node, request = self._nodes[placement.node], placement.request
        held = Held(
            f"{job.job_id}+{len(self._endings)}",
            job.job_id,
            placement.devices,
            request.cpus,
            request.memory_mib,
            request.scratch_mib,
            request.resources,
            job.team,
            job.project,
            job.user,
            job.priority,
            placed_at=self.now,
            expected=job.expected,
        )
        self._nodes[placement.node] = replace(node, held=[*node.held, held])
        self._expect(held, node.name)

    def _expect(self, held: Held, node: str) -> None:
        whole = expected_of(held, self.now)
        if whole and held.placed_at:
            heappush(self._endings, (held.placed_at + self._lasts(whole), node, held.attempt_id))

    def _end(self, attempt_id: str) -> None:
        for name, node in self._nodes.items():
            if any(held.attempt_id == attempt_id for held in node.held):
                heappush(self._endings, (self.now, name, attempt_id))


def _without(job: Waiting, started: int) -> Waiting | None:
    return job if not started else replace(job, count=job.count - started) if started < job.count else None
