"""
The policies that others are measured against: strict first come first served, and EASY backfill.

EASY is Lifka's (JSSPP 1995), with machines instead of one pool: the first job that does not fit gets a reservation
on the machine where it will fit first, at the instant when it will; a later job may pass it on any other machine,
and on that one if it ends before that instant or leaves enough for the reserved job. Neither looks at priority.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from benchmarks.simulator.engine import Decision, Fleet, Start
from benchmarks.simulator.fleet import Hold, Room, Shape, SimJob, fits_at
from levare.decide.buckets import Buckets

LONGEST = timedelta(hours=72)
"""What EASY has to assume of a job whose user set no limit: the longest that the site allows."""


def perfect(job: SimJob) -> timedelta:
    """The true duration, which nobody can know."""
    return job.duration


def claimed(job: SimJob) -> timedelta:
    """The user's limit, as wrong as it may be."""
    return LONGEST if job.limit is None else job.limit


class Fifo:
    """Strictly first come first served: whoever is first and does not fit blocks all behind."""

    name = "FIFO"

    def bucket(self, job: SimJob) -> Hashable:  # noqa: ARG002 - all jobs are one line
        return None

    def decide(self, waiting: Buckets[SimJob], fleet: Fleet, *, now: timedelta) -> Decision:
        plan = _Plan(fleet, perfect, now)
        head = plan.start_in_order(waiting)
        return Decision(plan.starts, head=head.id if head else None)


class Easy:
    """EASY backfill that believes `expected`. Whoever outruns it is given twice as long, until that suffices."""

    def __init__(self, name: str, expected: Callable[[SimJob], timedelta]) -> None:
        self.name, self._expected = name, expected

    def bucket(self, job: SimJob) -> Hashable:
        return job.shape

    def decide(self, waiting: Buckets[SimJob], fleet: Fleet, *, now: timedelta) -> Decision:
        plan = _Plan(fleet, self._expected, now)
        head = plan.start_in_order(waiting)
        if head is None:
            return Decision(plan.starts)
        reserved = plan.reserve(head)
        _Backfill(plan, reserved).start_from(waiting)
        return Decision(plan.starts, head=head.id, promises={head.id: reserved.at})


@dataclass
class _Reservation:
    """For `shape`, on the machine of `room`, which is here as it will be at that instant."""

    shape: Shape
    at: timedelta
    room: Room

    def allows(self, shape: Shape, room: Room) -> bool:
        """Whether a job that starts in `room` now may still run when the reservation comes due; if so, count it in."""
        if room.machine.name != self.room.machine.name:
            return True
        devices = room.devices_for(shape)
        with_it = self.room.copy()
        with_it.take(shape, devices)
        if not with_it.fits(self.shape):
            return False
        self.room = with_it
        return True


class _Plan:
    """What is left of each machine while one decision is made, and when the rest comes free, as is believed."""

    def __init__(self, fleet: Fleet, expected: Callable[[SimJob], timedelta], now: timedelta) -> None:
        self.rooms = fleet.draft()
        self.starts: list[Start] = []
        self.started: set[str] = set()
        self._fleet, self._expected, self._now = fleet, expected, now
        self._new: dict[str, list[Hold]] = {}

    def start_in_order(self, waiting: Buckets[SimJob]) -> SimJob | None:
        """Start jobs as they came, up to the first that does not fit."""
        for job in waiting.in_order():
            fitting = self.fitting(job.shape)
            if not fitting:
                return job
            self.start(job, min(fitting, key=lambda room: room.waste(job.shape)))
        return None

    def fitting(self, shape: Shape) -> list[Room]:
        return [room for room in self.rooms.values() if room.fits(shape)]

    def start(self, job: SimJob, room: Room) -> None:
        devices = room.devices_for(job.shape)
        room.take(job.shape, devices)
        name = room.machine.name
        self.starts.append(Start(job.id, name, devices))
        self.started.add(job.id)
        self._new.setdefault(name, []).append(Hold(self.end_of(job), job.shape, devices))

    def end_of(self, job: SimJob) -> timedelta:
        return self._now + self._expected(job)

    def reserve(self, head: SimJob) -> _Reservation:
        at, name = min(self._openings(head.shape))
        room = self.rooms[name].copy()
        for hold in self._holds(name):
            if hold.until <= at:
                room.give(hold.shape, hold.devices)
        return _Reservation(head.shape, at, room)

    def _openings(self, shape: Shape) -> list[tuple[timedelta, str]]:
        found = ((fits_at(shape, room, self._holds(name), now=self._now), name) for name, room in self.rooms.items())
        return [(at, name) for at, name in found if at is not None]

    def _holds(self, name: str) -> list[Hold]:
        runs = self._fleet.runs[name].values()
        running = [Hold(self._end(run.started, run.job), run.job.shape, run.devices) for run in runs]
        return running + self._new.get(name, [])

    def _end(self, started: timedelta, job: SimJob) -> timedelta:
        length = self._expected(job)
        while started + length <= self._now:
            length *= 2
        return started + length


class _Backfill:
    """Lets later jobs pass the reserved one where that does it no harm."""

    def __init__(self, plan: _Plan, reserved: _Reservation) -> None:
        self._plan, self._reserved = plan, reserved
        self._only_short: set[Shape] = set()
        """What fits only on the reserved machine and must be gone in time; rooms only shrink, so that stays so."""

    def start_from(self, waiting: Buckets[SimJob]) -> None:
        fitting = {job.shape for (job, *_) in waiting.buckets.values() if self._plan.fitting(job.shape)}
        for job in waiting.in_order([waiting.buckets[shape] for shape in fitting]):
            if job.shape not in fitting or job.id in self._plan.started or self._is_too_long(job):
                continue
            rooms = self._plan.fitting(job.shape)
            if rooms:
                self._start_if_harmless(job, rooms)
                continue
            fitting.remove(job.shape)
            if not fitting:
                return

    def _is_too_long(self, job: SimJob) -> bool:
        return job.shape in self._only_short and self._plan.end_of(job) > self._reserved.at

    def _start_if_harmless(self, job: SimJob, rooms: Sequence[Room]) -> None:
        is_short = self._plan.end_of(job) <= self._reserved.at
        for room in sorted(rooms, key=lambda room: room.waste(job.shape)):
            if is_short or self._reserved.allows(job.shape, room):
                self._plan.start(job, room)
                return
        self._only_short.add(job.shape)
