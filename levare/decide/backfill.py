"""
When a job that does not fit now will start at the latest, and the nodes that are kept for it until then.

EASY backfill (Lifka 1995) with two differences: how long runs take is learned where no limit is given, as a 90th
percentile, and not only the first job has a promise. What ends in time, or takes only what the job leaves over,
may use a kept node meanwhile; nothing else may.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from levare.decide.capacity import Room, held_by
from levare.decide.durations import corrected
from levare.decide.fleet import Fleet, Spot, without_licences
from levare.model import Duration, Held, Promise, Request, Waiting

_FAR = timedelta(days=3650)


@dataclass(frozen=True)
class _Opening:
    """A room as it will be at the time from which on it serves a job."""

    at: datetime
    room: Room
    later: Room


class Calendar:
    """The endings of what runs, as they are promised, by node."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet, self._now = fleet, fleet.now
        self._endings: dict[str, list[tuple[datetime, Held]]] = {}

    def started(self, job: Waiting, spots: Sequence[Spot]) -> None:
        """What has just been placed ends some time too."""
        for spot in spots:
            ends = self._now + (job.expected.promised if job.expected else _FAR)
            endings = self._endings_of(spot.room)
            endings.append((ends, held_by(without_licences(job.request, self._fleet.licences), spot.devices)))
            endings.sort(key=lambda ending: ending[0])

    def promise(self, job: Waiting) -> Promise | None:
        """
        Keep the nodes that will serve the job first, from the promised time on at the latest.

        None, and nothing kept, where endings are unknown, or nodes that would serve are kept for others.
        """
        request = without_licences(job.request, self._fleet.licences)
        openings = sorted(self._openings(job, request), key=lambda opening: (opening.at, opening.room.name))
        chosen = openings[: request.nodes]
        if len(chosen) < request.nodes:
            return None
        at = chosen[-1].at
        later = {opening.room.name: opening.later for opening in chosen}
        self._fleet.keep(job, (opening.room for opening in chosen), at=at, later=later)
        return Promise(tuple(sorted(later)), at)

    def _openings(self, job: Waiting, request: Request) -> Iterator[_Opening]:
        """The earliest of them; a room whose GPUs come free later than what is found already is not looked into."""
        suitable = [room for room in self._fleet.rooms.values() if self._may_keep(room, job, request)]
        bounded = sorted(
            ((self._bound(room, request), room.name, room) for room in suitable), key=lambda entry: entry[:2]
        )
        found: list[datetime] = []
        for bound, _, room in bounded:
            enough = len(found) >= request.nodes
            if bound - self._now >= _FAR or (enough and bound > sorted(found)[request.nodes - 1]):
                return
            opening = self._opening(room, job, request)
            if opening:
                found.append(opening.at)
                yield opening

    def _may_keep(self, room: Room, job: Waiting, request: Request) -> bool:
        is_free = room.is_open and room.name not in job.shunned and room.name not in self._fleet.kept
        return is_free and len(room.total) >= request.gpus and room.suits(request)

    def _bound(self, room: Room, request: Request) -> datetime:
        """A time before which too few GPUs are free, roughly: each ending frees what it holds."""
        missing = request.gpus - (room.whole if request.gpu_memory_mib is None else len(room.total))
        if missing <= 0:
            return self._now
        for ends, held in self._endings_of(room):
            missing -= len(held.devices)
            if missing <= 0:
                return ends
        return self._now + _FAR

    def _opening(self, room: Room, job: Waiting, request: Request) -> _Opening | None:
        later = room.copy()
        at = self._now
        endings = iter(self._endings_of(room))
        while not later.fits(request):
            at, held = next(endings, (None, None))
            if at is None or held is None or at - self._now >= _FAR:
                return None
            later.release(held)
        return _Opening(self._after_windows(room, job, at), room, later)

    def _after_windows(self, room: Room, job: Waiting, at: datetime) -> datetime:
        while window := self._fleet.window_in_the_way(room, job, at):
            at = window.ends
        return at

    def _endings_of(self, room: Room) -> list[tuple[datetime, Held]]:
        if room.name not in self._endings:
            endings = [(self._end_of(held), held) for held in room.node.held]
            self._endings[room.name] = sorted(endings, key=lambda ending: (ending[0], ending[1].attempt_id))
        return self._endings[room.name]

    def _end_of(self, held: Held) -> datetime:
        whole = expected_of(held, self._now)
        if whole is None or held.placed_at is None:
            return self._now + _FAR
        return held.placed_at + whole.promised


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
