"""
Which job runs where, who makes room, and why the others wait.

The order is that of `levare.decide.order`. A job that does not fit is passed over by later ones that do, but not at
its cost: the first that do not fit are promised a time, and nodes are kept for them. Where nothing tells how long
runs take there is no such time, and a node is kept for whoever has waited for `PATIENCE`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from levare.decide.backfill import Calendar
from levare.decide.capacity import Room
from levare.decide.fleet import Fleet, licences_asked, licences_short, without_licences
from levare.decide.obstacles import behind, licence, obstacles, off_hours
from levare.decide.order import AGEING, Lane, Queue, lanes, level, rank
from levare.decide.preemption import Claims, Clearing
from levare.decide.sharing import PATIENCE, Books
from levare.decide.shortage import shortages
from levare.model import (
    Decision,
    Node,
    Placement,
    Preemption,
    Promise,
    Reason,
    Request,
    Sharing,
    Turn,
    Waiting,
)
from levare.model.decisions import NO_ROOM

__all__ = ["AGEING", "PATIENCE", "PROMISES", "can_never_run", "place"]

PROMISES = 8
"""For so many jobs that do not fit nodes are kept in one decision."""
CLEARINGS = 8
"""For so many jobs that do not fit others end in one decision."""
OWED = timedelta(minutes=10)
"""For so long after the last was told to end for it, or as long as one still runs, a job comes before all others."""


def place(
    waiting: Sequence[Waiting], nodes: Sequence[Node], *, now: datetime, sharing: Sharing | None = None
) -> Decision:
    """
    Choose devices for each waiting job, best first, and explain every job left waiting.

    Pure: the same inputs in any order give the same decision; the caller applies it.
    """
    decided = _Round(waiting, sorted(nodes, key=lambda node: node.name), now, sharing or Sharing())
    decided.run()
    return Decision(decided.placements, _Reasons(decided), decided.preemptions, decided.promises, decided.turns)


def can_never_run(request: Request, nodes: Iterable[Node], licences: Mapping[str, int] | None = None) -> Reason | None:
    """Why the fleet could not run this even when empty; None if it could, or if no node has joined yet."""
    rooms = [Room.emptied(node) for node in nodes]
    if not rooms:
        return None
    lacking = [licence(*short) for short in licences_short(request, licences or {})]
    reasons = lacking or shortages(without_licences(request, licences or {}), rooms, licences or ())
    return replace(reasons[0], kind="can-never-run") if reasons else None


Stuck = Callable[[Waiting], Sequence[Reason]]
"""Why a job of a lane that cannot start waits."""


class _Round:
    """One decision, while it is made."""

    def __init__(self, waiting: Sequence[Waiting], nodes: Sequence[Node], now: datetime, sharing: Sharing) -> None:
        self.waiting, self.nodes, self.now, self.sharing = waiting, nodes, now, sharing
        self.fleet = Fleet(nodes, licences=sharing.licences, now=now)
        self.books = Books(sharing, nodes, now=now)
        self.calendar = Calendar(self.fleet)
        self.claims = Claims(self.fleet, self.books, sharing, waiting)
        self.placements: list[Placement] = []
        self.preemptions: list[Preemption] = []
        self.promises: dict[str, Promise] = {}
        self.turns: list[Turn] = []
        self.why: dict[str, Stuck] = {}
        self._borrowers: list[Lane] = []
        self._kept = self._cleared = 0
        self._homeless: set[tuple[object, ...]] = set()

    def run(self) -> None:
        """
        First those for whom others end, then those with a promise, then all within its quota, then what would borrow.

        A promise comes before the order, which changes with every start: else each start would break some.
        """
        owed = self._by_strength(job for job in self.waiting if self._is_owed(job))
        promised = self._by_promise(job for job in self.waiting if job.promised_at and not self._is_owed(job))
        first = [Lane([job], rank(job, self.now)) for job in (*owed, *promised)]
        chosen = {lane.first.job_id for lane in first}
        others = [job for job in self.waiting if job.job_id not in chosen] if chosen else self.waiting
        rest = lanes(others, self.now)
        for lane in (*first, *rest):
            self.books.expect(lane.first.team, lane.first.user)
        served = [lane for lane in first if self._serve(lane)]
        self._go_through([*rest, *served], may_borrow=False)
        self._go_through(self._borrowers, may_borrow=True)

    def _is_owed(self, job: Waiting) -> bool:
        lately = job.owed_since is not None and self.now - job.owed_since < OWED
        return lately or self.claims.is_cleared_for(job)

    def _by_strength(self, jobs: Iterable[Waiting]) -> list[Waiting]:
        return sorted(jobs, key=lambda job: (-job.priority, rank(job, self.now)))

    def _by_promise(self, jobs: Iterable[Waiting]) -> list[Waiting]:
        return sorted(jobs, key=lambda job: (job.promised_at or self.now, rank(job, self.now)))

    def _serve(self, lane: Lane) -> bool:
        """Start it once or go on making room for it; whether it is left to take its turn with the others."""
        job = lane.first
        if self._refusals(job) or self.books.borrows(job):
            return True
        turn = self._turn_of(job)
        if self._start(job):
            self.turns.append(replace(turn, outcome="started"))
            return lane.advance()
        self._stick(lane, self._look_ahead(job))
        return False

    def _go_through(self, waiting: Sequence[Lane], *, may_borrow: bool) -> None:
        queue = Queue(waiting, self.books, now=self.now)
        while lane := queue.first():
            turn = self._turn_of(lane.first)
            outcome = self._take_turn(queue, lane, may_borrow=may_borrow)
            self.turns.append(replace(turn, outcome=outcome))

    def _turn_of(self, job: Waiting) -> Turn:
        team_use, user_use = self.books.team_claim(job.team), self.books.user_claim(job.team, job.user)
        asks = self.books.asked(job)
        team, user = self.books.team_part(job.team, asks), self.books.user_part(job.team, job.user, asks)
        return Turn(
            job.job_id, "", level(job, self.now), job.team, team_use, job.user, user_use, team.fraction, user.fraction
        )

    def _take_turn(self, queue: Queue, lane: Lane, *, may_borrow: bool) -> str:
        """What comes of the turn of the lane that is next."""
        refusals = self._refusals(lane.first)
        if refusals:
            self._refuse(queue, lane, refusals)
            return refusals[0].code
        if self.books.borrows(lane.first) and not may_borrow:
            queue.drop(lane)
            self._borrowers.append(lane)
            return "borrows"
        if self._start(lane.first):
            queue.advance(lane)
            return "started"
        queue.drop(lane)
        self._stick(lane, self._look_ahead(lane.first))
        return NO_ROOM

    def _start(self, job: Waiting) -> bool:
        spots = self.fleet.spots_for(job)
        if spots is None:
            return False
        self.fleet.take(job, spots)
        self.calendar.started(job, spots)
        self.books.charge(job)
        self.placements += [
            Placement(job.job_id, spot.room.name, job.request, spot.devices, rank) for rank, spot in enumerate(spots)
        ]
        return True

    def _refusals(self, job: Waiting) -> list[Reason]:
        """What forbids it to start even if there is room."""
        held = self.sharing.held_families.get(job.family)
        over = self.books.refusal(job)
        return [
            *([Reason("family-held", "will-wait", held)] if held else []),
            *off_hours(job, self.now),
            *([over] if over else []),
        ]

    def _refuse(self, queue: Queue, lane: Lane, reasons: Sequence[Reason]) -> None:
        """A held family holds only its own jobs; everything else holds the lane."""
        if reasons[0].code == "family-held":
            self.why[lane.first.job_id] = lambda _job: reasons
            queue.skip(lane)
        else:
            self.books.keep(lane.first)
            queue.drop(lane)
            self._stick(lane, lambda _job: reasons)

    def _stick(self, lane: Lane, why: Stuck) -> None:
        for place, job in enumerate(lane.left):
            self.why[job.job_id] = why if place == 0 else _after(place, why)

    def _look_ahead(self, job: Waiting) -> Stuck:
        """What is done for a job that does not fit: others make room, or it is promised a time, or patience is kept."""
        room_for_it: list[Reason] = []
        is_short = bool(licences_short(job.request, self.fleet.licences))
        if not is_short and (clearing := self._clearing_for(job)):
            room_for_it = self._clear(job, clearing)
        elif not is_short and self._kept < PROMISES:
            self._keep_for(job)
        if self._is_patient(job) and self._may_get_licences(job):
            self.fleet.keep_licences(job)
        return lambda other: [*room_for_it, *self._shortages(other)]

    def _clearing_for(self, job: Waiting) -> Clearing | None:
        if self._cleared >= CLEARINGS and not self._is_owed(job):
            return None
        return self.claims.clearing_for(job)

    def _keep_for(self, job: Waiting) -> None:
        """Keep the nodes that serve it first; what found none is not asked again for others that are alike."""
        alike = (job.request, job.shunned, job.team, job.user, self._is_patient(job))
        if alike in self._homeless:
            return
        if promise := self.calendar.promise(job):
            self.promises[job.job_id] = promise
            self._kept += 1
        elif self._is_patient(job) and self._keep_nearest(job):
            self._kept += 1
        else:
            self._homeless.add(alike)

    def _is_patient(self, job: Waiting) -> bool:
        return self.now - job.since >= PATIENCE

    def _may_get_licences(self, job: Waiting) -> bool:
        asked = bool(licences_asked(job.request, self.fleet.licences))
        return asked and can_never_run(job.request, self.nodes, self.sharing.licences) is None

    def _clear(self, job: Waiting, clearing: Clearing) -> list[Reason]:
        self._cleared += 1
        for room in clearing.rooms:
            self.fleet.keep(job, room)
        self.preemptions += self.claims.end(job, clearing.victims)
        for held in clearing.victims:
            self.books.release(held)
        names = ", ".join(room.name for room in clearing.rooms)
        return [Reason("making-room", "will-wait", f"Room is being made for it on {names}.")]

    def _keep_nearest(self, job: Waiting) -> bool:
        request = without_licences(job.request, self.fleet.licences)
        possible = [room for room in self.fleet.rooms.values() if self._may_be_kept(room, job, request)]
        nearest = sorted(possible, key=lambda room: _distance(room, request))[: request.nodes]
        if len(nearest) < request.nodes:
            return False
        for room in nearest:
            self.fleet.keep(job, room)
        return True

    def _may_be_kept(self, room: Room, job: Waiting, request: Request) -> bool:
        return (
            room.name not in self.fleet.kept
            and room.suits(request)
            and self.fleet.admits(room, job)
            and self.fleet.vacant(room).fits(request)
        )

    def _shortages(self, job: Waiting) -> list[Reason]:
        if not self.nodes:
            return [Reason("no-nodes", "will-wait", "No node has joined yet; start a worker with `levare up`.")]
        never = can_never_run(job.request, self.nodes, self.sharing.licences)
        if never:
            return [never]
        return obstacles(job, self.fleet, self.now)


class _Reasons(Mapping[str, Sequence[Reason]]):
    """The reasons of all that wait, worked out when asked for: a decision needs none of them."""

    def __init__(self, decided: _Round) -> None:
        self._decided = decided
        self._jobs = {job.job_id: job for job in decided.waiting if job.job_id in decided.why}

    def __getitem__(self, job_id: str) -> Sequence[Reason]:
        return list(self._decided.why[job_id](self._jobs[job_id]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)


def _after(ahead: int, why: Stuck) -> Stuck:
    """The same reasons; where this job has none of its own, those that come first in its lane are the reason."""
    return lambda job: [*why(job)] or behind(ahead)


def _distance(room: Room, request: Request) -> tuple[int, int, int, str]:
    """How much is missing: GPUs, CPUs, memory."""
    gpus = request.gpus - len(room.fitting_devices(request))
    return (gpus, request.cpus - room.cpus, request.memory_mib - room.memory_mib, room.name)
