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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from levare.decide.capacity import Room
from levare.decide.fleet import Fleet, ascending, without_licences
from levare.decide.once import instant, once
from levare.decide.prey import MARGIN, Pack, den_on, saved_at
from levare.decide.sharing import Books
from levare.model import Held, Node, Preemption, Request, Sharing, Waiting

__all__ = ["MARGIN", "Claims", "Clearing"]

Price = tuple[int, int]
"""Work that is lost, in microseconds of one GPU, and how many jobs lose it."""


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


class Claims:
    """Who may end whom, in one decision."""

    def __init__(self, fleet: Fleet, books: Books, sharing: Sharing, waiting: Iterable[Waiting]) -> None:
        self._fleet, self._books, self._sharing, self._now = fleet, books, sharing, fleet.now
        self._instant = instant(fleet.now)
        nodes = [room.node for room in fleet.rooms.values()]
        self._weakest = min((weakest for node in nodes if (weakest := _weakest_on(node)) is not None), default=9)
        for_whom = {each for node in nodes for each in _makes_room_for(node)}
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
        if any(len(self._books.parts.of(each)) > 1 for each in ended):
            vars(self).pop("_packs", None)  # other rooms have become cheaper; the room that is cleared is kept
        return [
            Preemption(part.attempt_id, part.job_id, job.job_id, self._sentence(job, victim))
            for job_id, victim in sorted(ended.items())
            for part in self._books.parts.of(job_id)
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

    def _by_least_loss(self, job: Waiting, request: Request) -> Iterator[tuple[int, str, Room]]:
        """Rooms where enough could be freed, with a bound of what that loses."""
        gpus = request.gpus if request.gpu_memory_mib is None else 0
        asked = (gpus, request.cpus, job.priority, job.team if self._has_a_right(job) else None)
        now, bounds = self._instant, list[tuple[int, str, Room]]()
        for room, pack in self._packs:
            loss = pack.known.get(asked)
            if loss is None:
                loss = pack.least_loss(asked)
            if loss:
                bounds.append((max(loss[0] * now - loss[1], loss[2] * now - loss[3]), room.name, room))
        return ascending(bounds)

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
        if len(options) == 1 or all(len(self._books.parts.of(each)) == 1 for each in victims):
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
        parts = [part for held in victims for part in self._books.parts.of(held.job_id)]
        return sum(self._loss(part)[0] for part in parts), len(victims)

    def _loss(self, held: Held) -> tuple[int, str]:
        """The work that is lost: the time since it was last saved, for each GPU."""
        saved = saved_at(held)
        unsaved = 0 if saved is None else self._instant - saved
        return unsaved * max(1, len(held.devices)), held.attempt_id

    @cached_property
    def _packs(self) -> list[tuple[Room, Pack]]:
        """What could be had of each room that is open."""
        open_rooms = (room for room in self._fleet.rooms.values() if room.is_open)
        return [
            (room, den_on(room.node).pack(self._instant, ended=self._ended, borrowed=self._borrowed))
            for room in open_rooms
        ]

    @cached_property
    def _borrowed(self) -> set[str]:
        """What was borrowed when the decision began: what is, is among it."""
        if all(account.quota.gpus is None for account in self._sharing.accounts.values()):
            return set()
        everything = (held for room in self._fleet.rooms.values() for held in room.node.held)
        return {held.job_id for held in everything if self._books.is_borrowed(held)}

    @staticmethod
    def _sentence(job: Waiting, victim: Held) -> str:
        if job.priority >= victim.priority + MARGIN:
            return f"Made room for job {job.job_id} of priority {job.priority}; its own is {victim.priority}."
        return f"Made room for job {job.job_id} of team {job.team}, within whose quota it had borrowed."


@once
def _weakest_on(node: Node) -> int | None:
    """The lowest priority of what runs there."""
    return min((held.priority for held in node.held), default=None)


@once
def _makes_room_for(node: Node) -> Collection[str]:
    return {held.ending_for for held in node.held if held.ending_for}


def _spare(trial: Room, victims: Sequence[Held], request: Request) -> list[Held]:
    """The victims without those that need not end, the dearest first; these hold their part of the room again."""
    needed: list[Held] = []
    for held in reversed(victims):
        trial.hold(held)
        if not trial.fits(request):
            trial.release(held)
            needed.append(held)
    return needed
