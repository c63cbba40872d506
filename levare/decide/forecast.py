"""When a waiting job will start, if runs take as long as they usually do, and if they take as long as promised."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from heapq import heapify, heappop, heappush
from itertools import count, islice

from levare.decide.amounts import counted
from levare.decide.backfill import expected_of
from levare.decide.capacity import Room
from levare.decide.fleet import without_licences
from levare.decide.line import Line
from levare.decide.placement import PROMISES, place
from levare.decide.sharing import Books
from levare.model import DayWindow, Decision, Duration, Held, Node, Placement, Promise, Request, Sharing, Waiting

MOST_WORK = 1_200
"""A look ahead ends after so many looks at a node or at a job that may start, and nothing is known beyond."""
HORIZON = timedelta(days=14)
BLUR = 0.05
"""What ends within this part of the time from now counts as one moment: nobody knows it better."""
ENTRY = timedelta(minutes=5)
"""So long what starts is left alone by others, as is usual."""
NOW = "It starts at the next decision."
NEVER = "Never as it is, so there is no time to tell."
_ELSEWHERE = "No end of a run would start it."
_TOO_FAR = "It is further ahead than can be foreseen."


@dataclass(frozen=True)
class Estimate:
    """When a job will start: usually, and at the latest. None where nothing tells; the message says so in words."""

    typical: datetime | None
    latest: datetime | None
    message: str


def estimate(
    job: Waiting,
    waiting: Sequence[Waiting],
    nodes: Sequence[Node],
    *,
    now: datetime,
    sharing: Sharing,
    promise: Promise | None = None,
) -> Estimate:
    """
    The decisions of the coming time, made by the code that will make them; without jobs that are yet to come.

    `promise` is what the next decision promises the job, which is kept for it whatever a look ahead would find. What is
    too far to be found if runs take as long as usual is not looked for again as if they took longer.
    """
    line = list(Line(job, waiting, Books(sharing, nodes, now=now), sharing, now).turns())
    known = {each.job_id for each in line}
    line += [each for each in waiting if each.job_id not in known]
    ahead = _Ahead(job, line, nodes, now, sharing)
    typical, dead_end = ahead.start(lambda duration: duration.typical)
    is_lost = typical is None and dead_end is None
    latest = promise.at if promise else None if is_lost else ahead.start(lambda duration: duration.promised)[0]
    latest = max(typical, latest) if typical and latest else latest
    why_not = _TOO_FAR if dead_end is None else _unknown(dead_end, nodes)
    return Estimate(typical, latest, _words(typical, latest) or why_not)


@dataclass(frozen=True)
class Foreseen:
    """A part of a run that is to come; `ends` is None where nothing tells how long it takes."""

    job_id: str
    node: str
    devices: Collection[str]
    begins: datetime
    ends: datetime | None


@dataclass(frozen=True)
class Course:
    """What is to start, and attempt -> when it will have made room for another job."""

    starts: Sequence[Foreseen]
    made_room: Mapping[str, datetime]


def course(
    waiting: Sequence[Waiting], nodes: Sequence[Node], *, now: datetime, sharing: Sharing, work: int = 10 * MOST_WORK
) -> Course:
    """Where and when what waits starts, as far as can be foreseen, if runs take as long as usual."""
    world = _World(waiting, nodes, now, lambda duration: duration.typical, blur=0)
    lasts = {job.job_id: job.expected and job.expected.typical for job in waiting}
    found: dict[str, Foreseen] = {}
    made_room: dict[str, datetime] = {}
    while work > 0 and world.waiting and world.now - now <= HORIZON:
        asked = world.candidates(None, sharing.licences)
        decision = place(asked, world.nodes, now=world.now, sharing=sharing)
        for attempt, each in world.apply(decision).items():
            length = lasts[each.job_id]
            ends = world.now + length if length else None
            found[attempt] = Foreseen(each.job_id, each.node, each.devices, world.now, ends)
        for each in decision.preemptions:
            made_room.setdefault(each.attempt_id, world.now)
            if each.attempt_id in found:
                found[each.attempt_id] = replace(found[each.attempt_id], ends=world.now)
        if not world.advance():
            break
        work -= 5 + len(asked) + len(nodes)
    return Course(list(found.values()), made_room)


def starts(
    waiting: Sequence[Waiting], nodes: Sequence[Node], *, now: datetime, sharing: Sharing, work: int = 10 * MOST_WORK
) -> dict[str, datetime]:
    """When each that waits starts, as far as can be foreseen, if runs take as long as usual: one look ahead for all."""
    found: dict[str, datetime] = {}
    for each in course(waiting, nodes, now=now, sharing=sharing, work=work).starts:
        found.setdefault(each.job_id, each.begins)
    return found


def ends(nodes: Iterable[Node], now: datetime) -> dict[str, datetime]:
    """When each attempt that runs ends, if it takes as long as usual; without those of which nothing tells."""
    return {
        held.attempt_id: at
        for node in nodes
        for held in node.held
        if (at := _end_of(held, now, lambda duration: duration.typical))
    }


def _end_of(held: Held, now: datetime, lasts: Callable[[Duration], timedelta]) -> datetime | None:
    """By when it ends as it was told to, or else by how long it lasts; None where nothing tells."""
    if held.ends_by:
        return held.ends_by
    whole = expected_of(held, now)
    return held.placed_at + lasts(whole) if whole and held.placed_at else None


def _words(typical: datetime | None, latest: datetime | None) -> str:
    if typical and latest:
        return f"At about {_told(typical)}, at the latest {_told(latest)}, unless what comes first changes."
    if typical:
        return f"At about {_told(typical)}; when at the latest cannot be told."
    if latest:
        return f"At the latest {_told(latest)}, unless what comes first changes."
    return ""


def _unknown(dead_end: Iterable[Node], nodes: Iterable[Node]) -> str:
    """Where nothing more is known to happen: what still runs then, or has started meanwhile, and nobody knows it."""
    jobs, running = _jobs_on(dead_end), _jobs_on(nodes)
    if not jobs:
        return _ELSEWHERE
    s, has, their, they_end = ("s", "has", "its", "it ends") if len(jobs) == 1 else ("", "have", "their", "they end")
    which = ((f"run{s}", jobs & running), (f"start{s} before it", jobs - running))
    how = " or ".join(words for words, such in which if such)
    known = f"no limit (--timeout), no progress and no earlier runs of {their} kind"
    return f"{counted(len(jobs), 'job')} that {how} {has} {known}: nobody knows when {they_end}."


def _jobs_on(nodes: Iterable[Node]) -> set[str]:
    return {held.job_id for node in nodes for held in node.held}


def _told(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True)
class _Ahead:
    job: Waiting
    line: Sequence[Waiting]
    nodes: Sequence[Node]
    now: datetime
    sharing: Sharing

    def start(self, lasts: Callable[[Duration], timedelta]) -> tuple[datetime | None, Sequence[Node] | None]:
        """When the job starts; without that, the fleet as it is once nothing more is known to happen."""
        world = _World(self.line, self.nodes, self.now, lasts)
        work = MOST_WORK
        while work > 0 and world.now - self.now <= HORIZON:
            asked = world.candidates(self.job, self.sharing.licences)
            decision = place(asked, world.nodes, now=world.now, sharing=self.sharing)
            if any(placement.job_id == self.job.job_id for placement in decision.placements):
                return world.now, None
            world.apply(decision)
            if not world.advance():
                return None, world.nodes
            work -= 5 + len(asked) + len(self.nodes)
        return None, None


class _World:
    """The fleet as it will be."""

    def __init__(
        self,
        line: Sequence[Waiting],
        nodes: Sequence[Node],
        now: datetime,
        lasts: Callable[[Duration], timedelta],
        blur: float = BLUR,
    ) -> None:
        self.now, self._begun, self._lasts, self._blur = now, now, lasts, blur
        self.waiting = list(line)
        self._nodes = {node.name: node for node in nodes}
        self._rooms = {node.name: Room(node) for node in nodes}
        self._serial = count()
        self._moments = [(at, "", "") for at in _openings(line, nodes, now)]
        for node in nodes:
            for held in node.held:
                self._expect(held, node.name)
        heapify(self._moments)

    @property
    def nodes(self) -> Sequence[Node]:
        return list(self._nodes.values())

    def candidates(self, job: Waiting | None, licences: Mapping[str, int]) -> list[Waiting]:
        """The job, if any, what fits somewhere by itself, and the first that do not: nodes may be kept for these."""
        fits: dict[str, bool] = {}
        left = 2 * PROMISES
        found: list[Waiting] = []
        for each in self.waiting:
            shape = each.request.shape
            if shape not in fits:
                fits[shape] = self._fits(without_licences(each.request, licences))
            if fits[shape] or (job is not None and each.job_id == job.job_id):
                found.append(each)
            elif left:
                left -= 1
                found.append(each)
        return found

    def apply(self, decision: Decision) -> dict[str, Placement]:
        """What starts holds its devices, under these names; what makes room has ended with the next step."""
        jobs = {job.job_id: job for job in self.waiting}
        held = {self._hold(placement, jobs[placement.job_id]): placement for placement in decision.placements}
        started = [placement.job_id for placement in decision.placements if placement.rank == 0]
        if started:
            self.waiting = [left for job in self.waiting if (left := _without(job, started.count(job.job_id)))]
        for preemption in decision.preemptions:
            self._end(preemption.attempt_id)
        return held

    def advance(self) -> bool:
        """To the next time at which something ends, or may begin; False if nothing is known to."""
        if not self._moments:
            return False
        until = max(self.now, self._moments[0][0])
        until += (until - self._begun) * self._blur
        while self._moments and self._moments[0][0] <= until:
            at, name, attempt = heappop(self._moments)
            self.now = max(self.now, at)
            if name:
                node = self._nodes[name]
                self._set(replace(node, held=[held for held in node.held if held.attempt_id != attempt]))
        return True

    def _fits(self, request: Request) -> bool:
        """Whether enough nodes have room; no more of them are looked at than it takes."""
        rooms = (room for room in self._rooms.values() if room.is_open and room.fits(request) and room.suits(request))
        return sum(1 for _ in islice(rooms, request.nodes)) == request.nodes

    def _set(self, node: Node) -> None:
        self._nodes[node.name], self._rooms[node.name] = node, Room(node)

    def _hold(self, placement: Placement, job: Waiting) -> str:
        node, request = self._nodes[placement.node], placement.request
        held = Held(
            f"{job.job_id}+{next(self._serial)}",
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
            min_runtime=ENTRY,
            placed_at=self.now,
            expected=job.expected,
        )
        self._set(replace(node, held=[*node.held, held]))
        self._expect(held, node.name)
        return held.attempt_id

    def _expect(self, held: Held, node: str) -> None:
        if at := _end_of(held, self.now, self._lasts):
            heappush(self._moments, (at, node, held.attempt_id))

    def _end(self, attempt_id: str) -> None:
        for name, node in self._nodes.items():
            if any(held.attempt_id == attempt_id for held in node.held):
                heappush(self._moments, (self.now, name, attempt_id))


def _openings(waiting: Iterable[Waiting], nodes: Iterable[Node], now: datetime) -> Iterator[datetime]:
    """When nodes are no longer kept for others, and when the hours begin in which jobs may start."""
    yield from {window.ends for node in nodes for window in node.windows if window.ends > now}
    for hours in {job.only_between for job in waiting if job.only_between}:
        yield from _begins(hours, now)


def _begins(hours: DayWindow, now: datetime) -> Iterator[datetime]:
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for day in range(HORIZON.days + 1):
        begins = midnight + timedelta(days=day, minutes=hours.starts)
        if begins > now:
            yield begins


def _without(job: Waiting, started: int) -> Waiting | None:
    return job if not started else replace(job, count=job.count - started) if started < job.count else None
