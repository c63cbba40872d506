"""
Who comes first.

Teams take turns: first the one that has used least of late for its weight, within what `levare.decide.present` says of
what each holds now. Inside a team its users do, all with one weight. What is first of a user is highest priority after
ageing, then longest wait, then id. Four levels of priority halve what a claim has against it, so an urgent job comes
sooner, and yet no priority starves another team.

A level of priority is worth `AGEING` of waiting, neither more nor less at any time: which of two jobs of a user comes
first does not change while both wait (but for a deadline that comes near), so what one has been promised holds.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush

from levare.decide.sharing import Books
from levare.model import Waiting

AGEING = timedelta(minutes=10)
"""A job gains one level of priority for each of these that it has waited."""
HALVING = 4
"""So many levels of priority halve what a team or user has used, as far as the order goes."""
URGENT = 3
"""So many levels a job gains when it would miss its deadline if it waited for `SLACK` more."""
SLACK = timedelta(hours=1)

Rank = tuple[datetime, datetime, str]


def rank(job: Waiting, now: datetime) -> Rank:
    """The sort key among the jobs of one user: whoever has the smallest comes first."""
    return (job.since - AGEING * (job.priority + urgency(job, now)), job.since, job.job_id)


def level(job: Waiting, now: datetime) -> int:
    """Priority, with what age and a near deadline add, in whole levels."""
    return job.priority + (now - job.since) // AGEING + urgency(job, now)


def urgency(job: Waiting, now: datetime) -> int:
    if job.deadline is None:
        return 0
    needed = job.expected.promised if job.expected else timedelta()
    return URGENT if now + needed + SLACK >= job.deadline else 0


def weigh(claim: float, job: Waiting) -> float:
    """A claim in the light of the priority of the job that it is made for; 5 leaves it as it is."""
    return claim * 2 ** ((5 - job.priority) / HALVING)


@dataclass(eq=False)
class Lane:
    """Waiting jobs that differ in little but their age, the oldest first. An array may start several times."""

    jobs: Sequence[Waiting]
    rank: Rank
    passed: int = 0
    started: int = 0

    @property
    def first(self) -> Waiting:
        return self.jobs[self.passed]

    @property
    def left(self) -> Sequence[Waiting]:
        return self.jobs[self.passed :]

    def advance(self) -> bool:
        """The first has started once; whether anything is left."""
        self.started += 1
        return self.skip() if self.started >= self.first.count else True

    def skip(self) -> bool:
        """Go on to the next; whether there is one."""
        self.passed += 1
        self.started = 0
        return self.passed < len(self.jobs)


def lanes(waiting: Iterable[Waiting], now: datetime) -> list[Lane]:
    found: dict[object, list[Waiting]] = defaultdict(list)
    for job in waiting:
        found[job.lane].append(job)
    for jobs in found.values():
        jobs.sort(key=_age)
    return [Lane(jobs, rank(jobs[0], now)) for jobs in found.values()]


def _age(job: Waiting) -> tuple[datetime, str]:
    return (job.since, job.job_id)


class Queue:
    """The lanes of teams and users, of which `first` is next; what starts changes the claims in the books."""

    def __init__(self, waiting: Sequence[Lane], books: Books, *, now: datetime) -> None:
        self._books, self._now = books, now
        self._users: dict[str, dict[str, list[tuple[Rank, int, Lane]]]] = defaultdict(lambda: defaultdict(list))
        self._firsts: dict[str, tuple[float, tuple[float, Rank], Lane]] = {}
        """Of each team what its first asks for, in weighted GPUs, its claim, and its lane."""
        self._serial = 0
        for lane in waiting:
            self._push(lane)
        for team, users in self._users.items():
            for user in users:
                books.expect(team, user)
        for team in self._users:
            self._elect(team)

    def first(self) -> Lane | None:
        """The lane whose first job is next; None when there is none left."""
        if not self._firsts:
            return None
        return min(self._firsts.items(), key=self._place)[1][2]

    def _place(self, first: tuple[str, tuple[float, tuple[float, Rank], Lane]]) -> tuple[float, float, float, Rank]:
        """Anew each time: every start changes what is the share of all."""
        team, (asks, claim, _) = first
        return (*self._books.team_part(team, asks).order, *claim)

    def drop(self, lane: Lane) -> None:
        """Nothing of it can start; it must be the one that is next."""
        self._pop(lane)
        self._elect(lane.first.team)

    def advance(self, lane: Lane) -> None:
        """The first of the lane that is next has started, and the books say so."""
        self._go_on(lane, Lane.advance)

    def skip(self, lane: Lane) -> None:
        """The first of the lane that is next cannot start, for reasons of its own."""
        self._go_on(lane, Lane.skip)

    def _go_on(self, lane: Lane, step: Callable[[Lane], bool]) -> None:
        self._pop(lane)
        team = lane.first.team
        if step(lane):
            lane.rank = rank(lane.first, self._now)
            self._push(lane)
        self._elect(team)

    def _push(self, lane: Lane) -> None:
        self._serial += 1
        heappush(self._users[lane.first.team][lane.first.user], (lane.rank, self._serial, lane))

    def _pop(self, lane: Lane) -> None:
        users = self._users[lane.first.team]
        heappop(users[lane.first.user])
        if not users[lane.first.user]:
            del users[lane.first.user]

    def _elect(self, team: str) -> None:
        """Find out whose turn it is in a team, and what claim the team has with that."""
        users = self._users[team]
        if not users:
            self._firsts.pop(team, None)
            return
        claims = ((self._claim_of(team, user, heap[0][2]), heap[0][2]) for user, heap in users.items())
        _, lane = min(claims, key=lambda entry: entry[0])
        claim = (weigh(self._books.team_claim(team), lane.first), lane.rank)
        self._firsts[team] = (self._books.asked(lane.first), claim, lane)

    def _claim_of(self, team: str, user: str, lane: Lane) -> tuple[float, float, float, Rank]:
        part = self._books.user_part(team, user, self._books.asked(lane.first))
        return (*part.order, weigh(self._books.user_claim(team, user), lane.first), lane.rank)
