"""
Who has to make room for whom.

Only a strictly stronger claim ends a run, and only if its own start keeps its team within its quota:
    by priority    `MARGIN` levels or more above the victim's, both as declared, and the victim allows it;
    by quota       the victim's team has borrowed beyond its quota what the job's team has a right to.

Why there is no loop: let the strength of a run be (not borrowed, priority). Whatever ends a run is not borrowed
itself, and stronger in that order: by quota in the first place, by priority in the second. What was ended can end in
its turn only what is weaker than itself, so never the one that ended it, nor one as strong; and whatever starts has
its `min_runtime` before anything may end it. And what ends for a job leaves its room to that job alone: whoever else
comes first in the queue would otherwise take it, and be ended in its turn.
"""

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import NamedTuple

from levare.decide.capacity import Room
from levare.decide.fleet import Fleet, ascending, without_licences
from levare.decide.sharing import Books
from levare.model import Held, Preemption, Request, Sharing, Waiting

MARGIN = 2
"""So many levels of priority make a claim strictly stronger: less reorders the queue, and ends nothing."""
Price = tuple[timedelta, int]
"""Work that is lost, in the time of one GPU, and how many jobs lose it."""


@dataclass(frozen=True)
class Clearing:
    """The nodes that will serve a job once the victims have ended. None: they end already, or have been told to."""

    rooms: Sequence[Room]
    victims: Sequence[Held]


@dataclass(frozen=True)
class _Option:
    """A room that would serve a job once the victims have ended."""

    room: Room
    victims: Sequence[Held]


class _Prey(NamedTuple):
    """A run that could be had: what it holds, what its end would lose, and for whom it may be ended."""

    job_id: str
    gpus: int
    cpus: int
    loss: timedelta
    """For each of its GPUs."""
    ends_for: int
    """From this priority on."""
    borrower: str | None
    """The team that has borrowed it."""


class _Hunt(NamedTuple):
    """A room, and the runs in it that somebody could have, those that lose least first."""

    room: Room
    prey: Sequence[_Prey]
    widest: int
    """The most CPUs that one of them holds."""

    def least_loss(self, request: Request, priority: int, team: str | None) -> timedelta | None:
        """
        What the request loses there at the least, roughly: by the GPUs and by the number of runs that it has to free.

        None if it cannot be had. `team` is one that may have what others have borrowed.
        """
        room, by_gpus, by_runs = self.room, _NOTHING, _NOTHING
        gpus = max(0, request.gpus - room.whole) if request.gpu_memory_mib is None else 0
        runs = -(min(0, room.cpus - request.cpus) // self.widest) if self.widest else 0
        for _, has, _, loss, ends_for, borrower in self.prey:
            if gpus <= 0 and runs <= 0:
                break
            if ends_for <= priority or (team is not None and borrower not in (None, team)):
                by_gpus += loss * min(max(gpus, 0), has)
                by_runs += loss if runs > 0 else _NOTHING
                gpus, runs = gpus - has, runs - 1
        return max(by_gpus, by_runs) if gpus <= 0 and runs <= 0 else None


_NOTHING = timedelta()
_ANY, _NONE = -1, 99
"""Of priorities: all of them have it, or no one has."""


class Claims:
    """Who may end whom, in one decision."""

    def __init__(self, fleet: Fleet, books: Books, sharing: Sharing, waiting: Iterable[Waiting]) -> None:
        self._fleet, self._books, self._sharing, self._now = fleet, books, sharing, fleet.now
        self._held = [held for room in fleet.rooms.values() for held in room.node.held]
        self._weakest = min((each.priority for each in self._held), default=9)
        for_whom = {each.ending_for for each in self._held if each.ending_for}
        self._cleared_for = for_whom & {job.job_id for job in waiting} if for_whom else set[str]()
        self._ended: set[str] = set()
        self._hopeless: set[tuple[object, ...]] = set()

    def is_cleared_for(self, job: Waiting) -> bool:
        """Whether something that still runs has been told to make room for it."""
        return job.job_id in self._cleared_for

    def clearing_for(self, job: Waiting) -> Clearing | None:
        """The nodes whose clearing loses the least work; None if no stronger claim makes room for it."""
        if not self._outranks_somebody(job) or self._books.borrows(job):
            return None
        alike = (job.request, job.priority, job.team, job.user, job.shunned, job.expected)
        if alike in self._hopeless and not self.is_cleared_for(job):
            return None
        chosen = self._cheapest(job, without_licences(job.request, self._fleet.licences))
        if len(chosen) < job.request.nodes:
            self._hopeless.add(alike)
            return None
        return Clearing([option.room for option in chosen], self._needed(job, chosen))

    def end(self, job: Waiting, victims: Iterable[Held]) -> list[Preemption]:
        """What is to be told to end: of a gang all parts."""
        ended = {held.job_id: held for held in victims}
        self._ended |= ended.keys()
        if any(len(self._parts[each]) > 1 for each in ended):
            vars(self).pop("_hunts", None)  # other rooms have become cheaper; the room that is cleared is kept
        return [
            Preemption(part.attempt_id, part.job_id, job.job_id, self._sentence(job, victim))
            for job_id, victim in sorted(ended.items())
            for part in self._parts[job_id]
        ]

    def _outranks_somebody(self, job: Waiting) -> bool:
        return job.priority >= self._weakest + MARGIN or self._has_a_right(job) or self.is_cleared_for(job)

    def _cheapest(self, job: Waiting, request: Request) -> list[_Option]:
        """As many options as the request has nodes; a room that loses more than these at the least is not tried."""
        found: list[tuple[Price, str, _Option]] = []
        for least, _, room in self._by_least_loss(job, request):
            if len(found) == request.nodes and least > found[-1][0][0]:
                break
            option = self._option(room, job, request)
            if option:
                insort(found, (self._price(option.victims), room.name, option))
                del found[request.nodes :]
        return [option for *_, option in found]

    def _by_least_loss(self, job: Waiting, request: Request) -> Iterator[tuple[timedelta, str, Room]]:
        """Rooms where enough could be freed, with a bound of what that loses."""
        team = job.team if self._has_a_right(job) else None
        bounds = ((hunt.least_loss(request, job.priority, team), hunt.room) for hunt in self._hunts)
        return ascending((least, room.name, room) for least, room in bounds if least is not None)

    def _option(self, room: Room, job: Waiting, request: Request) -> _Option | None:
        """What has to end on a node so that the job fits; nothing that need not."""
        if len(room.total) < request.gpus or not (room.suits(request) and self._fleet.admits(room, job)):
            return None
        trial = room.copy()
        ending = [held for held in room.node.held if self._leaves_room_to(job, held)]
        for held in ending:
            trial.release(held)
        victims: list[Held] = []
        for held in sorted((held for held in room.node.held if self._may_end(job, held)), key=self._loss):
            if trial.fits(request):
                break
            victims.append(held)
            trial.release(held)
        victims = _spare(trial, victims, request)
        devices = trial.devices_for(request)
        if devices is None or not self._fleet.leaves_enough(room, job, devices, ended=[*ending, *victims]):
            return None
        return _Option(room, victims)

    def _needed(self, job: Waiting, options: Sequence[_Option]) -> list[Held]:
        """The victims of all options, but for those that the end of others' gangs makes needless."""
        victims = {held.job_id: held for option in options for held in option.victims}
        if len(options) == 1 or all(len(self._parts[each]) == 1 for each in victims):
            return list(victims.values())
        trials = {option.room.name: option.room.copy() for option in options}
        request = without_licences(job.request, self._fleet.licences)
        for option in options:
            for held in option.room.node.held:
                if held.job_id in victims or self._leaves_room_to(job, held):
                    trials[option.room.name].release(held)
        dearest = sorted(victims.values(), key=lambda held: self._price([held]), reverse=True)
        return [held for held in dearest if not self._is_needless(held, trials, request)]

    def _is_needless(self, victim: Held, trials: Mapping[str, Room], request: Request) -> bool:
        """Whether all rooms serve without its end; then it holds its part of them again."""
        parts = [(room, held) for room in trials.values() for held in room.node.held if held.job_id == victim.job_id]
        for room, held in parts:
            room.hold(held)
        if all(room.fits(request) for room in trials.values()):
            return True
        for room, held in parts:
            room.release(held)
        return False

    def _may_end(self, job: Waiting, held: Held) -> bool:
        if self._is_ending(held) or held.placed_at is None or self._now - held.placed_at < held.min_runtime:
            return False
        if held.preemptible and job.priority >= held.priority + MARGIN:
            return True
        is_others = held.team != job.team and held.job_id in self._borrowed
        return is_others and self._has_a_right(job) and self._books.is_borrowed(held)

    def _has_a_right(self, job: Waiting) -> bool:
        """Whether it may end what is borrowed; there is nothing to have a right to where nothing is."""
        account = self._sharing.accounts.get(job.team)
        return account is not None and account.quota.gpus is not None and bool(self._borrowed)

    def _is_ending(self, held: Held) -> bool:
        return held.is_ending or held.job_id in self._ended

    def _leaves_room_to(self, job: Waiting, held: Held) -> bool:
        """Whether it ends anyway, and not for another that still waits."""
        return self._is_ending(held) and (
            held.ending_for in (None, job.job_id) or held.ending_for not in self._cleared_for
        )

    def _price(self, victims: Sequence[Held]) -> Price:
        parts = [part for held in victims for part in self._parts[held.job_id]]
        return sum((self._loss(part)[0] for part in parts), timedelta()), len(victims)

    def _loss(self, held: Held) -> tuple[timedelta, str]:
        """The work that is lost: the time since it was last saved, for each GPU."""
        return self._unsaved(held) * max(1, len(held.devices)), held.attempt_id

    def _unsaved(self, held: Held) -> timedelta:
        placed = held.placed_at or self._now
        return self._now - (max(held.safe_at, placed) if held.safe_at else placed)

    @cached_property
    def _hunts(self) -> list[_Hunt]:
        return [self._hunt_in(room) for room in self._fleet.rooms.values() if room.is_open]

    def _hunt_in(self, room: Room) -> _Hunt:
        """What has been told to end costs nothing any more."""
        prey = sorted([prey for held in room.node.held if (prey := self._prey_of(held))], key=_loss_of)
        return _Hunt(room, prey, max([each.cpus for each in prey], default=0))

    def _prey_of(self, held: Held) -> _Prey | None:
        holds = (held.job_id, len(held.devices), held.cpus)
        if self._is_ending(held):
            return _Prey(*holds, _NOTHING, _ANY, None)
        if held.placed_at is None or self._now - held.placed_at < held.min_runtime:
            return None
        borrower = held.team if held.job_id in self._borrowed else None
        return _Prey(*holds, self._unsaved(held), held.priority + MARGIN if held.preemptible else _NONE, borrower)

    @cached_property
    def _borrowed(self) -> set[str]:
        """What was borrowed when the decision began: what is, is among it."""
        if all(account.quota.gpus is None for account in self._sharing.accounts.values()):
            return set()
        return {held.job_id for held in self._held if self._books.is_borrowed(held)}

    @cached_property
    def _parts(self) -> Mapping[str, list[Held]]:
        """What each job holds: of a gang one part on each of its nodes."""
        found: dict[str, list[Held]] = defaultdict(list)
        for held in self._held:
            found[held.job_id].append(held)
        return found

    @staticmethod
    def _sentence(job: Waiting, victim: Held) -> str:
        if job.priority >= victim.priority + MARGIN:
            return f"Made room for job {job.job_id} of priority {job.priority}; its own is {victim.priority}."
        return f"Made room for job {job.job_id} of team {job.team}, within whose quota it had borrowed."


def _loss_of(prey: _Prey) -> timedelta:
    return prey.loss


def _spare(trial: Room, victims: Sequence[Held], request: Request) -> list[Held]:
    """The victims without those that need not end, the dearest first; these hold their part of the room again."""
    needed: list[Held] = []
    for held in reversed(victims):
        trial.hold(held)
        if not trial.fits(request):
            trial.release(held)
            needed.append(held)
    return needed
