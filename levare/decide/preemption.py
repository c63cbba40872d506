"""
Who has to make room for whom.

Only a strictly stronger claim ends a run, and only if its own start keeps its team within its quota:
    by priority    `MARGIN` levels or more above the victim's, both as declared, and the victim allows it;
    by quota       the victim's team has borrowed beyond its quota what the job's team has a right to.

Why there is no loop: let the strength of a run be (not borrowed, priority). Whatever ends a run is not borrowed
itself, and stronger in that order: by quota in the first place, by priority in the second. What was ended can end in
its turn only what is weaker than itself, so never the one that ended it, nor one as strong; and whatever starts has
its `min_runtime` before anything may end it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from levare.decide.capacity import Room
from levare.decide.fleet import Fleet, without_licences
from levare.decide.sharing import Books
from levare.model import Held, Preemption, Request, Sharing, Waiting

MARGIN = 2
"""So many levels of priority make a claim strictly stronger: less reorders the queue, and ends nothing."""


@dataclass(frozen=True)
class Clearing:
    """The nodes that will serve a job once the victims have ended. None: they end already, or have been told to."""

    rooms: Sequence[Room]
    victims: Sequence[Held]


class Claims:
    """Who may end whom, in one decision."""

    def __init__(self, fleet: Fleet, books: Books, sharing: Sharing) -> None:
        self._fleet, self._books, self._sharing, self._now = fleet, books, sharing, fleet.now
        self._parts: Mapping[str, list[Held]] = _by_job(fleet.rooms.values())
        self._weakest = min((held.priority for parts in self._parts.values() for held in parts), default=9)
        self._ended: set[str] = set()

    def clearing_for(self, job: Waiting) -> Clearing | None:
        """The nodes whose clearing loses the least work; None if no stronger claim makes room for it."""
        outranks_one = job.priority >= self._weakest + MARGIN or self._has_a_right(job)
        if not outranks_one or self._books.borrows(job):
            return None
        request = without_licences(job.request, self._fleet.licences)
        options = [option for room in self._fleet.rooms.values() if (option := self._clear(room, job, request))]
        if len(options) < request.nodes:
            return None
        best = sorted(options, key=lambda option: (*self._price(option[1]), option[0].name))[: request.nodes]
        return Clearing([room for room, _ in best], [held for _, victims in best for held in victims])

    def end(self, job: Waiting, victims: Iterable[Held]) -> list[Preemption]:
        """What is to be told to end: of a gang all parts."""
        ended = {held.job_id: held for held in victims}
        self._ended |= ended.keys()
        return [
            Preemption(part.attempt_id, part.job_id, job.job_id, self._sentence(job, victim))
            for job_id, victim in sorted(ended.items())
            for part in self._parts[job_id]
        ]

    def _clear(self, room: Room, job: Waiting, request: Request) -> tuple[Room, list[Held]] | None:
        """What has to end on a node so that the job fits; nothing that need not."""
        if len(room.total) < request.gpus or not (room.suits(request) and self._fleet.admits(room, job)):
            return None
        if (kept := self._fleet.kept.get(room.name)) and kept.job_id != job.job_id and kept.at is None:
            return None
        trial = room.copy()
        self._release(trial, [held for held in room.node.held if self._is_ending(held)])
        weaker = sorted((held for held in room.node.held if self._may_end(job, held)), key=self._loss)
        victims: list[Held] = []
        while not trial.fits(request):
            if len(victims) == len(weaker):
                return None
            victims.append(weaker[len(victims)])
            trial.release(victims[-1])
        return room, _spare(trial, victims, request)

    def _may_end(self, job: Waiting, held: Held) -> bool:
        if self._is_ending(held) or held.placed_at is None or self._now - held.placed_at < held.min_runtime:
            return False
        if held.team != job.team and self._has_a_right(job) and self._books.is_borrowed(held):
            return True
        return held.preemptible and job.priority >= held.priority + MARGIN

    def _has_a_right(self, job: Waiting) -> bool:
        account = self._sharing.accounts.get(job.team)
        return account is not None and account.quota.gpus is not None

    def _is_ending(self, held: Held) -> bool:
        return held.is_ending or held.job_id in self._ended

    def _price(self, victims: Sequence[Held]) -> tuple[timedelta, int]:
        parts = [part for held in victims for part in self._parts[held.job_id]]
        return sum((self._loss(part)[0] for part in parts), timedelta()), len(victims)

    def _loss(self, held: Held) -> tuple[timedelta, str]:
        """The work that is lost: the time since it was last saved, for each GPU."""
        saved = max(filter(None, (held.safe_at, held.placed_at)), default=self._now)
        return (self._now - saved) * max(1, len(held.devices)), held.attempt_id

    @staticmethod
    def _release(trial: Room, ending: Iterable[Held]) -> None:
        for held in ending:
            trial.release(held)

    @staticmethod
    def _sentence(job: Waiting, victim: Held) -> str:
        if job.priority >= victim.priority + MARGIN:
            return f"Made room for job {job.job_id} of priority {job.priority}; its own is {victim.priority}."
        return f"Made room for job {job.job_id} of team {job.team}, within whose quota it had borrowed."


def _spare(trial: Room, victims: Sequence[Held], request: Request) -> list[Held]:
    """The victims without those that need not end, the dearest first."""
    needed: list[Held] = []
    for held in reversed(victims):
        trial_without = trial.copy()
        trial_without.take(_request_of(held), held.devices)
        if trial_without.fits(request):
            trial = trial_without
        else:
            needed.append(held)
    return needed


def _request_of(held: Held) -> Request:
    return Request(0, None, held.cpus, held.memory_mib, held.scratch_mib, None, held.resources)


def _by_job(rooms: Iterable[Room]) -> Mapping[str, list[Held]]:
    found: dict[str, list[Held]] = defaultdict(list)
    for room in rooms:
        for held in room.node.held:
            found[held.job_id].append(held)
    return found
