"""What came of a time, really or in a simulation: how long jobs waited, and what they used, in all and by team."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from levare.decide.cost import cost, share
from levare.decide.replay import replay
from levare.decide.use import gpus_held
from levare.model import Node, Sharing
from levare.model.past import Course, PastJob, Stay

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Tally:
    """
    Of jobs that came in this time, `waiting` of which had not started by its end: their waits count as far as they go.

    GPU-hours and cost are those of this time, whenever the jobs came; a part of a GPU counts as such. `cost` is None
    where no node has a price, the waits where no job came.
    """

    jobs: int
    waiting: int
    wait_p50: timedelta | None
    wait_p95: timedelta | None
    preemptions: int
    gpu_hours: float
    cost: float | None


@dataclass(frozen=True)
class Tallies:
    """`used` is the part of the GPU-hours of all nodes that jobs held, from 0 to 1; None without GPUs."""

    all: Tally
    teams: Mapping[str, Tally]
    used: float | None


def tallies(course: Course, jobs: Iterable[PastJob], nodes: Sequence[Node], *, since: datetime) -> Tallies:
    """Of the time from `since` to where the course was cut off."""
    came = [job for job in jobs if job.came_at >= since]
    stays = [stay for stay in course.stays if stay.ended > since]
    book = _Book(course, nodes, since)
    teams = sorted({job.team for job in came} | {stay.job.team for stay in stays})
    by_team = {
        team: book.tally([job for job in came if job.team == team], [stay for stay in stays if stay.job.team == team])
        for team in teams
    }
    whole = book.tally(came, stays)
    hours = sum(len(node.devices) for node in nodes) * ((course.until - since) / _HOUR)
    return Tallies(whole, by_team, whole.gpu_hours / hours if hours else None)


def play(jobs: Sequence[PastJob], nodes: Sequence[Node], sharing: Sharing, since: datetime, until: datetime) -> Tallies:
    """What would have come of these jobs on these nodes, counted from `since` on."""
    return tallies(replay(jobs, nodes, sharing, until=until), jobs, nodes, since=since)


class _Book:
    def __init__(self, course: Course, nodes: Sequence[Node], since: datetime) -> None:
        self._course, self._since = course, since
        self._nodes = {node.name: node for node in nodes}
        self._memory_mib = {device.uuid: device.memory_mib for node in nodes for device in node.devices}
        self._started: dict[str, datetime] = {}
        for stay in course.stays:
            self._started[stay.job.id] = min(stay.began, self._started.get(stay.job.id, stay.began))

    def tally(self, jobs: Sequence[PastJob], stays: Sequence[Stay]) -> Tally:
        waits = sorted(wait for job in jobs if (wait := self._wait(job)) is not None)
        costs = [bill for stay in stays if (bill := self._cost(stay)) is not None]
        return Tally(
            jobs=len(jobs),
            waiting=sum(job.id not in self._started for job in jobs),
            wait_p50=_rank(waits, 0.5),
            wait_p95=_rank(waits, 0.95),
            preemptions=sum(stay.preempted for stay in stays),
            gpu_hours=sum(self._gpus(stay) * (self._within(stay) / _HOUR) for stay in stays),
            cost=sum(costs) if costs else None,
        )

    def _wait(self, job: PastJob) -> timedelta | None:
        """None for one that waited for others to the end."""
        ready = self._course.ready_at.get(job.id)
        return None if ready is None else max(self._started.get(job.id, self._course.until) - ready, timedelta())

    def _within(self, stay: Stay) -> timedelta:
        return max(min(stay.ended, self._course.until) - max(stay.began, self._since), timedelta())

    def _gpus(self, stay: Stay) -> float:
        return sum(gpus_held(devices, self._memory_mib) for _, devices in stay.held)

    def _cost(self, stay: Stay) -> float | None:
        """None for what ran on nodes without a price, or that have gone since."""
        within = self._within(stay)
        bills = [self._bill(name, held, stay.job, within) for name, held in stay.held]
        known = [bill for bill in bills if bill is not None]
        return sum(known) if known else None

    def _bill(self, name: str, held: Mapping[str, int], job: PastJob, lasted: timedelta) -> float | None:
        node = self._nodes.get(name)
        if node is None or node.price is None:
            return None
        return cost(node.price, share(node, held, job.request), lasted)


def _rank(ascending: Sequence[timedelta], part: float) -> timedelta | None:
    """The least that so large a part of them does not exceed (nearest rank)."""
    return ascending[max(0, ceil(len(ascending) * part) - 1)] if ascending else None
