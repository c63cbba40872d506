"""All nodes while one decision is made: where a job fits with the least waste, and what is kept for whom."""

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levare.decide.capacity import Room
from levare.model import Held, Node, Request, Waiting, Window

UNKNOWN = timedelta(days=1)
"""What a run of unknown length is taken for where it might run into a window."""
Key = tuple[int, int, str]


@dataclass(frozen=True)
class Kept:
    """A room that is kept for a job: until `at` others may use it, or for ever what the job leaves over."""

    job_id: str
    request: Request
    at: datetime | None
    """None keeps it from now on."""
    later: Room | None
    """The room as it will be at that time."""


@dataclass(frozen=True)
class Spot:
    """A node, and the devices of it, that would serve a job."""

    room: Room
    devices: Mapping[str, int]


class Fleet:
    """Rooms by the number of wholly free GPUs, then by GPUs, free CPUs and name: the first that fits wastes least."""

    def __init__(self, nodes: Iterable[Node], *, licences: Mapping[str, int], now: datetime) -> None:
        self.now = now
        self.rooms = {node.name: Room(node) for node in sorted(nodes, key=lambda node: node.name)}
        self.kept: dict[str, Kept] = {}
        self.licences = dict(licences)
        for room in self.rooms.values():
            self._count_licences(room.node.held)
        most = max((room.whole for room in self.rooms.values()), default=0)
        self._shelves: list[list[Key]] = [[] for _ in range(most + 1)]
        for room in self.rooms.values():
            if room.is_open:
                insort(self._shelves[room.whole], _key(room))

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
            self._shelf(spot.room).remove(_key(spot.room))
            spot.room.take(request, spot.devices)
            insort(self._shelf(spot.room), _key(spot.room))
            self._leave_to_keeper(spot, job, request)
        for name, amount in job.request.resources:
            if name in self.licences:
                self.licences[name] -= amount

    def keep(self, job: Waiting, rooms: Iterable[Room], *, at: datetime | None, later: Mapping[str, Room]) -> None:
        request = without_licences(job.request, self.licences)
        for room in rooms:
            self.kept[room.name] = Kept(job.job_id, request, at, later.get(room.name))

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

    def leaves_enough(self, room: Room, job: Waiting, devices: Mapping[str, int]) -> bool:
        """Whether a job on these devices would not delay the one that the node is kept for."""
        kept = self.kept.get(room.name)
        if kept is None or kept.job_id == job.job_id:
            return True
        if kept.at is None or kept.later is None:
            return False
        if job.expected and self.now + job.expected.promised <= kept.at:
            return True
        later = kept.later.copy()
        later.take(without_licences(job.request, self.licences), devices)
        return later.fits(kept.request)

    def _devices(self, room: Room, job: Waiting, request: Request) -> Mapping[str, int] | None:
        if not (room.fits(request) and room.suits(request) and self.admits(room, job)):
            return None
        devices = room.devices_for(request)
        return devices if devices is not None and self.leaves_enough(room, job, devices) else None

    def _best_first(self, request: Request) -> Iterator[Room]:
        least = request.gpus if request.gpu_memory_mib is None else 0
        shelves = self._shelves[least:]
        keys = [key for shelf in (reversed(shelves) if request.spread else shelves) for key in shelf]
        rooms = (self.rooms[name] for *_, name in keys)
        if request.prefer:
            return iter(sorted(rooms, key=lambda room: -room.preferred(request)))
        return rooms

    def _leave_to_keeper(self, spot: Spot, job: Waiting, request: Request) -> None:
        """What runs beyond the time for which the room is kept takes from what will be left over then."""
        kept = self.kept.get(spot.room.name)
        if kept is None or kept.at is None or kept.later is None or kept.job_id == job.job_id:
            return
        if not (job.expected and self.now + job.expected.promised <= kept.at):
            kept.later.take(request, spot.devices)

    def _shelf(self, room: Room) -> list[Key]:
        return self._shelves[room.whole]

    def _count_licences(self, held: Iterable[Held]) -> None:
        for each in held:
            for name, amount in each.resources:
                if name in self.licences:
                    self.licences[name] -= amount


def _key(room: Room) -> Key:
    return (len(room.total), room.cpus, room.name)


def without_licences(request: Request, licences: Mapping[str, int]) -> Request:
    """The part of a request that its nodes have to serve: licences are of the fleet."""
    if not any(name in licences for name, _ in request.resources):
        return request
    return replace(request, resources=tuple(pair for pair in request.resources if pair[0] not in licences))


def licences_short(request: Request, licences: Mapping[str, int]) -> list[tuple[str, int, int]]:
    """The licences of which too few are left: name, asked, left."""
    asked = [(name, amount, licences[name]) for name, amount in request.resources if name in licences]
    return [(name, amount, left) for name, amount, left in asked if amount > left]
