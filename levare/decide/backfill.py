"""
When a job that does not fit now will start at the latest, and the nodes that are kept for it until then.

EASY backfill (Lifka 1995) with two differences: how long runs take is learned where no limit is given, as a 90th
percentile, and not only the first job has a promise. What ends in time, or takes only what the job leaves over,
may use a kept node meanwhile; nothing else may.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from levare.decide.capacity import Room, held_by
from levare.decide.durations import corrected
from levare.decide.fleet import Fleet, Spot, ascending, without_licences
from levare.decide.once import once
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
        self._freed: dict[str, Sequence[datetime]] = {}
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
        found: list[tuple[datetime, str, _Opening]] = []
        for bound, name in ascending(self._bounds(job, request)):
            if bound >= self._never or (len(found) == request.nodes and (bound, name) > found[-1][:2]):
                break
            opening = self._opening(self._fleet.rooms[name], job, request)
            if opening:
                insort(found, (opening.at, name, opening))
                del found[request.nodes :]
        return [opening for *_, opening in found]

    def _bounds(self, job: Waiting, request: Request) -> list[tuple[datetime, str]]:
        """
        Of each room that may be kept a time before which too few GPUs are free, roughly: each ending frees what it
        holds. Where that is never the room is left out.
        """
        kept, parts, asked = self._fleet.kept, request.gpu_memory_mib is not None, request.gpus
        bounds: list[tuple[datetime, str]] = []
        for room, most in self._open:
            if most < asked or room.name in kept:
                continue
            missing = asked - (most if parts else room.whole)
            freed = self._freed_in(room) if missing > 0 else ()
            if missing <= len(freed) and room.name not in job.shunned and room.suits(request):
                bounds.append((freed[missing - 1] if freed else self._now, room.name))
        return bounds

    @cached_property
    def _open(self) -> list[tuple[Room, int]]:
        """The rooms that take anything, each with how many GPUs it has."""
        return [(room, len(room.total)) for room in self._fleet.rooms.values() if room.is_open]

    def _freed_in(self, room: Room) -> Sequence[datetime]:
        """When each of the GPUs that are held is freed, in that order."""
        freed = self._freed.get(room.name)
        if freed is None:
            ends, usual = self._endings_of(room), room.node.usual_endings
            freed = self._freed[room.name] = _usually_freed(room.node) if ends is usual else _freed(ends)
        return freed

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


@once
def _usually_freed(node: Node) -> Sequence[datetime]:
    return _freed(node.usual_endings)


def _freed(endings: Iterable[Ending]) -> list[datetime]:
    return [ends for ends, _, held in endings for _ in held.devices]


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
