"""
When a job that does not fit now will start at the latest, and the nodes that are kept for it until then.

EASY backfill (Lifka 1995) with two differences: how long runs take is learned where no limit is given, as a 90th
percentile, and not only the first job has a promise. What ends in time, or takes only what the job leaves over,
may use a kept node meanwhile; nothing else may.
"""

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from levare.decide.capacity import Room, held_by
from levare.decide.durations import corrected
from levare.decide.fleet import Fleet, Spot, ascending, without_licences
from levare.model import Duration, Held, Node, Promise, Request, Waiting

_FAR = timedelta(days=3650)
Ending = tuple[datetime, str, Held]
"""When an attempt ends, its id, and what it holds until then."""


@dataclass(frozen=True)
class _Opening:
    """A room as it will be at the time from which on it serves a job."""

    at: datetime
    room: Room
    later: Room
    over: frozenset[str]
    """The attempts that end before."""


class Calendar:
    """The endings of what runs, as they are promised, by node."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._now = fleet, fleet.now
        self._endings: dict[str, Sequence[Ending]] = {}
        self._freed: dict[str, list[datetime]] = {}
        self._started: dict[str, list[Ending]] = {}
        self._never = fleet.now + _FAR

    def started(self, job: Waiting, spots: Sequence[Spot]) -> None:
        """What has just been placed ends some time too."""
        for spot in spots:
            ends = self._now + job.expected.promised if job.expected else self._never
            held = held_by(without_licences(job.request, self._fleet.licences), spot.devices)
            self._started.setdefault(spot.room.name, []).append((ends, job.job_id, held))
            self._endings.pop(spot.room.name, None)
            self._freed.pop(spot.room.name, None)

    def promise(self, job: Waiting) -> Promise | None:
        """
        Keep the nodes that will serve the job first, from the promised time on at the latest.

        None, and nothing kept, where endings are unknown, or nodes that would serve are kept for others.
        """
        request = without_licences(job.request, self._fleet.licences)
        chosen = self._first_openings(job, request)
        if len(chosen) < request.nodes:
            return None
        at = chosen[-1].at
        for opening in chosen:
            self._fleet.keep(job, opening.room, at=at, later=opening.later, over=opening.over)
        return Promise(tuple(sorted(opening.room.name for opening in chosen)), at)

    def _first_openings(self, job: Waiting, request: Request) -> list[_Opening]:
        """As many as the request has nodes; a room whose GPUs come free later than these is not looked into."""
        suitable = [room for room in self._fleet.rooms.values() if self._may_keep(room, job, request)]
        found: list[tuple[datetime, str, _Opening]] = []
        for bound, name in ascending((self._bound(room, request), room.name) for room in suitable):
            if bound >= self._never or (len(found) == request.nodes and (bound, name) > found[-1][:2]):
                break
            opening = self._opening(self._fleet.rooms[name], job, request)
            if opening:
                insort(found, (opening.at, name, opening))
                del found[request.nodes :]
        return [opening for *_, opening in found]

    def _may_keep(self, room: Room, job: Waiting, request: Request) -> bool:
        is_free = room.is_open and room.name not in job.shunned and room.name not in self._fleet.kept
        return is_free and len(room.total) >= request.gpus and room.suits(request)

    def _bound(self, room: Room, request: Request) -> datetime:
        """A time before which too few GPUs are free, roughly: each ending frees what it holds."""
        missing = request.gpus - (room.whole if request.gpu_memory_mib is None else len(room.total))
        if missing <= 0:
            return self._now
        freed = self._freed_in(room)
        return freed[missing - 1] if missing <= len(freed) else self._never

    def _freed_in(self, room: Room) -> list[datetime]:
        """When each of the GPUs that are held is freed, in that order."""
        if room.name not in self._freed:
            self._freed[room.name] = [ends for ends, _, held in self._endings_of(room) for _ in held.devices]
        return self._freed[room.name]

    def _opening(self, room: Room, job: Waiting, request: Request) -> _Opening | None:
        later, at, over = room.copy(), self._now, set[str]()
        for ends, attempt, held in self._endings_of(room):
            if later.fits(request):
                break
            at = ends
            over.add(attempt)
            later.release(held)
        if at >= self._never or not later.fits(request):
            return None
        return _Opening(self._after_windows(room, job, at), room, later, frozenset(over))

    def _after_windows(self, room: Room, job: Waiting, at: datetime) -> datetime:
        while window := self._fleet.window_in_the_way(room, job, at):
            at = window.ends
        return at

    def _endings_of(self, room: Room) -> Sequence[Ending]:
        if room.name not in self._endings:
            runs, started = self._runs_in(room.node), self._started.get(room.name)
            self._endings[room.name] = sorted([*runs, *started], key=_when) if started else runs
        return self._endings[room.name]

    def _runs_in(self, node: Node) -> Sequence[Ending]:
        usual = node.usual_endings
        if len(usual) == len(node.held) and (not usual or usual[0][0] > self._now):
            return usual
        return sorted(((self._end_of(held), held.attempt_id, held) for held in node.held), key=_when)

    def _end_of(self, held: Held) -> datetime:
        if held.usual_end is not None and held.usual_end > self._now:
            return held.usual_end
        whole = expected_of(held, self._now)
        return held.placed_at + whole.promised if whole and held.placed_at else self._never


def _when(ending: Ending) -> tuple[datetime, str]:
    return ending[:2]


def expected_of(held: Held, now: datetime) -> Duration | None:
    """How long the whole of a run will take, as far as history, its limit and its own progress tell."""
    elapsed = now - held.placed_at if held.placed_at else timedelta()
    return corrected(held.expected, max(elapsed, timedelta()), held.progress, held.limit)


def endings(rooms: Mapping[str, Room], now: datetime) -> list[tuple[datetime, datetime, str, Held]]:
    """What runs, by when it ends: typically, and as promised. Without what tells nothing."""
    known = [
        (held.placed_at + whole.typical, held.placed_at + whole.promised, room.name, held)
        for room in rooms.values()
        for held in room.node.held
        if held.placed_at and (whole := expected_of(held, now))
    ]
    return sorted(known, key=lambda ending: (ending[0], ending[3].attempt_id))
