"""All nodes while one decision is made: where a job fits with the least waste, and what is kept for whom."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from heapq import heapify, heappop
from typing import Any, TypeVar

from levare.decide.capacity import Room
from levare.model import Held, Node, Request, Waiting, Window

UNKNOWN = timedelta(days=1)
"""What a run of unknown length is taken for where it might run into a window."""
Key = tuple[int, int, str]
Entry = TypeVar("Entry", bound=tuple[Any, ...])


@dataclass(frozen=True)
class Kept:
    """A room that is kept for a job: until `at` others may use it, or for ever what the job leaves over."""

    job_id: str
    request: Request
    at: datetime | None
    """None keeps it from now on."""
    later: Room | None = None
    """The room as it will be at that time."""
    over: frozenset[str] = frozenset()
    """The attempts that will have ended by then."""


@dataclass(frozen=True)
class Spot:
    """A node, and the devices of it, that would serve a job."""

    room: Room
    devices: Mapping[str, int]


class Fleet:
    """Rooms by the number of wholly free GPUs, then by GPUs, free CPUs and name: the first that fits wastes least."""

    def __init__(self, nodes: Iterable[Node], *, licences: Mapping[str, int], now: datetime) -> None:
        self.now = now
        self.rooms = {node.name: Room(node) for node in nodes}
        self._vacant: dict[str, Room] = {}
        self.kept: dict[str, Kept] = {}
        self.licences = dict(licences)
        for room in self.rooms.values():
            self._count_licences(room.node.held)
        most = max((room.whole for room in self.rooms.values()), default=0)
        self._shelves: list[list[Key]] = [[] for _ in range(most + 1)]
        for room in self.rooms.values():
            if room.is_open:
                self._shelf(room).append(_key(room))
        for shelf in self._shelves:
            shelf.sort()

    def spots_for(self, job: Waiting) -> list[Spot] | None:
        """One spot for each node of the request, which has whatever licences it needs; None if it cannot start now."""
        if licences_short(job.request, self.licences):
            return None
        request = without_licences(job.request, self.licences)
        spots: list[Spot] = []
        for room in self._best_first(request):
            devices = self._devices(room, job, request)
            if devices is not None:
                spots.append(Spot(room, devices))
            if len(spots) == request.nodes:
                return spots
        return None

    def take(self, job: Waiting, spots: Sequence[Spot]) -> None:
        request = without_licences(job.request, self.licences)
        for spot in spots:
            shelf, key = self._shelf(spot.room), _key(spot.room)
            del shelf[bisect_left(shelf, key)]
            spot.room.take(request, spot.devices)
            insort(self._shelf(spot.room), _key(spot.room))
            self._leave_to_keeper(spot, job, request)
        self.keep_licences(job)

    def keep(
        self,
        job: Waiting,
        room: Room,
        *,
        at: datetime | None = None,
        later: Room | None = None,
        over: frozenset[str] = frozenset(),
    ) -> None:
        self.kept[room.name] = Kept(job.job_id, without_licences(job.request, self.licences), at, later, over)

    def keep_licences(self, job: Waiting) -> None:
        """Nobody else gets those that the job needs, even if too few of them are left for it."""
        for name, asked, left in licences_asked(job.request, self.licences):
            self.licences[name] = max(0, left - asked)

    def vacant(self, room: Room) -> Room:
        """The room as if nothing ran in it."""
        if room.name not in self._vacant:
            self._vacant[room.name] = Room.vacant(room.node)
        return self._vacant[room.name]

    def admits(self, room: Room, job: Waiting) -> bool:
        """Whether the job may use the node at all now: it is open, not shunned, and no window is in its way."""
        return room.is_open and room.name not in job.shunned and self.window_in_the_way(room, job) is None

    def window_in_the_way(self, room: Room, job: Waiting, at: datetime | None = None) -> Window | None:
        """The first time for which the node is kept that the job would run into if it started then, or now."""
        if not room.node.windows:
            return None
        starts = at or self.now
        ends = starts + (job.expected.promised if job.expected else UNKNOWN)
        for window in sorted(room.node.windows, key=lambda window: (window.starts, window.name)):
            if window.starts < ends and starts < window.ends and not window.admits(job.team, job.user):
                return window
        return None

    def leaves_enough(
        self, room: Room, job: Waiting, devices: Mapping[str, int], *, ended: Iterable[Held] = ()
    ) -> bool:
        """Whether a job on these devices, in the place of what will have `ended`, delays no keeper of the node."""
        kept = self.kept.get(room.name)
        if kept is None or kept.job_id == job.job_id:
            return True
        if kept.at is None or kept.later is None:
            return False
        if not ended and self._ends_by(job, kept.at):
            return True
        later = kept.later.copy()
        later.take(without_licences(job.request, self.licences), devices)
        for held in ended:
            if held.attempt_id not in kept.over:
                later.release(held)
        return later.fits(kept.request)

    def _ends_by(self, job: Waiting, at: datetime) -> bool:
        return job.expected is not None and self.now + job.expected.promised <= at

    def _devices(self, room: Room, job: Waiting, request: Request) -> Mapping[str, int] | None:
        if not (room.fits(request) and room.suits(request) and self.admits(room, job)):
            return None
        devices = room.devices_for(request)
        return devices if devices is not None and self.leaves_enough(room, job, devices) else None

    def _best_first(self, request: Request) -> Iterator[Room]:
        least = request.gpus if request.gpu_memory_mib is None else 0
        shelves = self._shelves[least:]
        names = (name for shelf in (reversed(shelves) if request.spread else shelves) for name in _with(request, shelf))
        rooms = (self.rooms[name] for name in names)
        if request.prefer:
            return iter(sorted(rooms, key=lambda room: -room.preferred(request)))
        return rooms

    def _leave_to_keeper(self, spot: Spot, job: Waiting, request: Request) -> None:
        """What runs beyond the time for which the room is kept takes from what will be left over then."""
        kept = self.kept.get(spot.room.name)
        if kept is None or kept.at is None or kept.later is None or kept.job_id == job.job_id:
            return
        if not self._ends_by(job, kept.at):
            kept.later.take(request, spot.devices)

    def _shelf(self, room: Room) -> list[Key]:
        return self._shelves[room.whole]

    def _count_licences(self, held: Iterable[Held]) -> None:
        for each in held:
            for name, amount in each.resources:
                if name in self.licences:
                    self.licences[name] -= amount


def ascending(entries: Iterable[Entry]) -> Iterator[Entry]:
    """As sorted, of which only the first few are asked for."""
    heap = list(entries)
    heapify(heap)
    while heap:
        yield heappop(heap)


def _key(room: Room) -> Key:
    return (len(room.total), room.cpus, room.name)


def _with(request: Request, shelf: Sequence[Key]) -> Iterator[str]:
    """The names on a shelf, without those that have too few CPUs."""
    place = 0
    while place < len(shelf):
        gpus, cpus, name = shelf[place]
        if cpus >= request.cpus:
            yield name
            place += 1
        else:
            place = bisect_left(shelf, (gpus, request.cpus, ""), place)


def without_licences(request: Request, licences: Mapping[str, int]) -> Request:
    """The part of a request that its nodes have to serve: licences are of the fleet."""
    if not any(name in licences for name, _ in request.resources):
        return request
    return replace(request, resources=tuple(pair for pair in request.resources if pair[0] not in licences))


def licences_short(request: Request, licences: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """The licences of which too few are left: name, asked, left."""
    return [(name, asked, left) for name, asked, left in licences_asked(request, licences) if asked > left]


def licences_asked(request: Request, licences: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """The licences that a request needs on all of its nodes together: name, asked, left."""
    return [(name, amount * request.nodes, licences[name]) for name, amount in request.resources if name in licences]
