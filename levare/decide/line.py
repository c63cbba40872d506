"""Who comes before whom, and why: the order in which all that wait would start if there were room for all."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from levare.decide.order import AGEING, Lane, Queue, lanes, rank, urgency
from levare.decide.placement import OWED
from levare.decide.present import FIRST, Part
from levare.decide.sharing import Books
from levare.model import Sharing, Waiting

_HOUR_SECONDS = 3600
_MINUTE = timedelta(minutes=1)


class Line:
    """
    The queue in front of one job, and behind it.

    What may not start now is not in it, for it takes nothing from others: a held family, other hours, a full quota.
    """

    def __init__(self, job: Waiting, waiting: Sequence[Waiting], books: Books, sharing: Sharing, now: datetime) -> None:
        self._job, self._lane = job, job.lane
        self._waiting, self._books, self._sharing, self._now = waiting, books, sharing, now
        self._borrowers: list[Lane] = []
        self._served: set[str] = set()

    def turns(self) -> Iterator[Waiting]:
        """All in their order. While one is looked at, the books say what holds at its turn: ask `why` then."""
        yield from self._served_first()
        others = [job for job in self._waiting if job.job_id not in self._served]
        yield from self._turns(lanes(others, self._now), may_borrow=False)
        yield from self._turns(self._borrowers, may_borrow=True)

    def why(self, other: Waiting) -> str:
        """Why this one, whose turn it is, comes before the job."""
        job, books = self._job, self._books
        if other.job_id in self._served and other.promised_at:
            return f"It was promised to start by {other.promised_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
        if other.job_id in self._served:
            return "Others made room for it."
        if not books.borrows(other) and books.borrows(job):
            return f"It is within the quota of team {other.team}; this one would borrow."
        theirs, ours = books.asked(other), books.asked(job)
        if other.team != job.team:
            parts = books.team_part(other.team, theirs), books.team_part(job.team, ours)
            bound = _by_part("Team", other.team, job.team, *parts)
            return bound or self._between(books.team_claim, "Team", other.team, job.team, other)
        if other.user != job.user:
            parts = books.user_part(job.team, other.user, theirs), books.user_part(job.team, job.user, ours)
            bound = _by_part("User", other.user, job.user, *parts)
            claim = partial(books.user_claim, job.team)
            return bound or self._between(claim, "User", other.user, job.user, other)
        return self._by_rank(other)

    def _served_first(self) -> Iterator[Waiting]:
        """Those for whom others made room, then those with a promise: they come before the order."""
        owed = [job for job in self._waiting if job.owed_since and self._now - job.owed_since < OWED]
        promised = [job for job in self._waiting if job.promised_at and job not in owed]
        owed.sort(key=lambda job: (-job.priority, rank(job, self._now)))
        promised.sort(key=lambda job: (job.promised_at or self._now, rank(job, self._now)))
        for job in (*owed, *promised):
            if not (self._is_held(job) or self._is_refused(job) or self._books.borrows(job)):
                self._served.add(job.job_id)
                yield job
                self._books.charge(job)

    def _turns(self, waiting: Sequence[Lane], *, may_borrow: bool) -> Iterator[Waiting]:
        queue = Queue(waiting, self._books, now=self._now)
        while lane := queue.first():
            first = lane.first
            if self._is_held(first):
                queue.skip(lane)
            elif self._is_refused(first):
                self._books.keep(first)
                queue.drop(lane)
            elif self._books.borrows(first) and not may_borrow:
                queue.drop(lane)
                self._borrowers.append(lane)
            else:
                yield first
                self._books.charge(first)
                queue.skip(lane)

    def _is_held(self, first: Waiting) -> bool:
        return first.family in self._sharing.held_families and first.job_id != self._job.job_id

    def _is_refused(self, first: Waiting) -> bool:
        """Those of the job's own lane never are: what refuses them refuses the job as well, after them."""
        if first.lane == self._lane:
            return False
        return is_off_hours(first, self._now) or self._books.refusal(first) is not None

    def _between(self, claim: Callable[[str], float], noun: str, their: str, our: str, other: Waiting) -> str:
        theirs, ours = (f"{claim(name) / _HOUR_SECONDS:.3g}" for name in (their, our))
        if theirs == ours:
            return self._by_rank(other)
        what = "weighted GPU-hours for its weight" if noun == "Team" else "weighted GPU-hours"
        if claim(their) < claim(our):
            return f"{noun} {their} has had {theirs} {what} of late, {noun.lower()} {our} {ours}."
        if other.priority > self._job.priority:
            urgent = f"Its priority {other.priority} against {self._job.priority} outweighs"
            return f"{urgent} that {noun.lower()} {their} has had {theirs} {what} of late, and {our} {ours}."
        return f"It is the turn of {noun.lower()} {their} before that of {our}."

    def _by_rank(self, other: Waiting) -> str:
        theirs, ours = (each.priority + urgency(each, self._now) for each in (other, self._job))
        older = (self._job.since - other.since) // _MINUTE
        if theirs == ours:
            return f"It has the same priority, {ours}, and {f'is {older} min older' if older else 'came first'}."
        first, second = ((self._now - rank(each, self._now)[0]) / AGEING for each in (other, self._job))
        if first < second:
            return "Another job of its team or user is more urgent, and so has brought it forward."
        return f"It has priority {first:.1f} with its age, this one {second:.1f}."


def _by_part(noun: str, their: str, our: str, theirs: Part, ours: Part) -> str:
    """What each holds now, where that decides."""
    if theirs.order >= ours.order:
        return ""
    if theirs.band == FIRST:
        has = f"{noun} {their} holds {theirs.fraction:.0%} of its present share, less than half"
        return f"{has}; {noun.lower()} {our} holds {ours.fraction:.0%}."
    return f"{noun} {our} would hold more than twice its present share with this job; it holds {ours.fraction:.0%} now."


def is_off_hours(job: Waiting, now: datetime) -> bool:
    at = now.astimezone(UTC)
    return job.only_between is not None and not job.only_between.contains(at.hour * 60 + at.minute)
