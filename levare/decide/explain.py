"""
Everything about a job that waits: why, when it will start, who comes first, and what would start it now.

All of it comes from the code that decides, run on the same facts.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from levare.decide.amounts import counted
from levare.decide.capacity import could_serve
from levare.decide.change import Change, smallest_change
from levare.decide.cost import Bill, expected_cost
from levare.decide.fleet import without_licences
from levare.decide.forecast import NEVER, NOW, Estimate, estimate
from levare.decide.line import Line
from levare.decide.order import AGEING, urgency
from levare.decide.placement import place
from levare.decide.sharing import Books, Standing
from levare.model import Decision, Node, Reason, Sharing, Waiting

__all__ = ["MOST_AHEAD", "Ahead", "Change", "Estimate", "Explanation", "Weight", "explain", "verdict"]

MOST_AHEAD = 5
"""So many of those that come first are named."""
STARTS_NOW, WILL_WAIT, NEVER_RUNS, MISCONFIGURED = "starts-now", "will-wait", "can-never-run", "misconfigured"
VERDICTS = (STARTS_NOW, WILL_WAIT, NEVER_RUNS, MISCONFIGURED)


@dataclass(frozen=True)
class Ahead:
    """A job that comes first, and why."""

    job: str
    reason: str


@dataclass(frozen=True)
class Weight:
    """What the place of a job in the queue is made of."""

    declared: int
    from_age: int
    from_deadline: int
    team: Standing


@dataclass(frozen=True)
class Explanation:
    """
    `reasons` is empty if the job starts at the next decision, or of an array at least one element.

    `is_least` says that even more come first.
    """

    reasons: Sequence[Reason]
    estimate: Estimate
    change: Change | None
    ahead: Sequence[Ahead]
    jobs_ahead: int
    is_least: bool
    weight: Weight
    cost: Bill | None
    """Of one start: of an array that of an element."""


def explain(
    job: Waiting,
    others: Sequence[Waiting],
    nodes: Sequence[Node],
    *,
    now: datetime,
    sharing: Sharing,
    cut: Collection[str] = (),
) -> Explanation:
    """
    All about one job; `others` are those that wait too, of each lane the first ones.

    `cut` are those of them behind which more of the same lane wait that are not among them.
    """
    return _Facts(job, [other for other in others if other.job_id != job.job_id], nodes, now, sharing).explain(cut)


def verdict(reasons: Sequence[Reason]) -> str:
    """The worst of what the reasons say."""
    kinds = {reason.kind for reason in reasons}
    return next((each for each in (MISCONFIGURED, NEVER_RUNS, WILL_WAIT) if each in kinds), STARTS_NOW)


@dataclass(frozen=True)
class _Facts:
    job: Waiting
    others: Sequence[Waiting]
    nodes: Sequence[Node]
    now: datetime
    sharing: Sharing

    @property
    def waiting(self) -> Sequence[Waiting]:
        return [*self.others, self.job]

    def explain(self, cut: Collection[str]) -> Explanation:
        decision = place(self.waiting, self.nodes, now=self.now, sharing=self.sharing)
        line = list(self._ahead())
        started = sum(1 for each in decision.placements if each.job_id == self.job.job_id and each.rank == 0)
        reasons = [] if started else list(self._reasons(decision, [other for other, _ in line]))
        return Explanation(
            reasons=reasons,
            estimate=self._estimate(decision, verdict(reasons), started),
            change=self._change() if reasons else None,
            ahead=[Ahead(other.job_id, why) for other, why in line[:MOST_AHEAD]],
            jobs_ahead=sum(other.count for other, _ in line),
            is_least=any(other.job_id in cut for other, _ in line),
            weight=self._weight(),
            cost=expected_cost(self.job, self._where(decision)),
        )

    def _where(self, decision: Decision) -> Sequence[Node]:
        """The nodes on which it would start, or may: those that it gets, is promised, or could be served by."""
        placed = {placement.node for placement in decision.placements if placement.job_id == self.job.job_id}
        promise = decision.promises.get(self.job.job_id)
        chosen = placed or (set(promise.nodes) if promise else set[str]())
        return [node for node in self.nodes if node.name in chosen or (not chosen and self._could_serve(node))]

    def _could_serve(self, node: Node) -> bool:
        return could_serve(without_licences(self.job.request, self.sharing.licences), node)

    def _books(self) -> Books:
        """Anew for each use: who counts what comes next charges it."""
        return Books(self.sharing, self.nodes, now=self.now)

    def _ahead(self) -> Iterator[tuple[Waiting, str]]:
        """Those that come first, each with its reason, which is asked for at its turn."""
        line = Line(self.job, self.waiting, self._books(), self.sharing, self.now)
        for number, other in enumerate(line.turns()):
            if other.job_id == self.job.job_id:
                return
            yield other, line.why(other) if number < MOST_AHEAD else ""

    def _reasons(self, decision: Decision, line: Sequence[Waiting]) -> Iterator[Reason]:
        """Those of the decision, and what decides besides room: the quota, and who comes first."""
        found = decision.reasons.get(self.job.job_id, ())
        yield from found
        if verdict(found) == WILL_WAIT:
            yield from self._borrowing()
            yield from _behind(line)

    def _borrowing(self) -> Iterator[Reason]:
        job, books = self.job, self._books()
        if not books.borrows(job):
            return
        account, held = self.sharing.accounts.get(job.team), books.standing(job.team).gpus
        nominal = account.quota.gpus if account else None
        has = (
            f"holds {held:.3g} of the {counted(nominal, 'GPU')} of its quota"
            if nominal is not None
            else "has used up a quota"
        )
        message = f"Team {job.team} {has}; this would borrow, so it comes after all that are within theirs."
        left = None if nominal is None else max(0.0, nominal - held)
        yield Reason("borrowing", WILL_WAIT, message, job.request.gpus * job.request.nodes, left)

    def _estimate(self, decision: Decision, verdict: str, started: int) -> Estimate:
        if verdict == STARTS_NOW:
            return Estimate(self.now, self.now, _starts(started, self.job.count))
        if verdict != WILL_WAIT:
            return Estimate(None, None, NEVER)
        promise = decision.promises.get(self.job.job_id)
        return estimate(self.job, self.waiting, self.nodes, now=self.now, sharing=self.sharing, promise=promise)

    def _change(self) -> Change | None:
        return smallest_change(self.job, self.others, self.nodes, now=self.now, sharing=self.sharing)

    def _weight(self) -> Weight:
        books = self._books()
        for team, user in {(other.team, other.user) for other in self.waiting}:
            books.expect(team, user)  # so that those that only wait are compared, too
        return Weight(
            declared=self.job.priority,
            from_age=(self.now - self.job.since) // AGEING,
            from_deadline=urgency(self.job, self.now),
            team=books.standing(self.job.team),
        )


def _starts(started: int, count: int) -> str:
    if started == count:
        return NOW
    return (
        f"{started} of its elements {'starts' if started == 1 else 'start'} at the next decision, others as room comes."
    )


def _behind(line: Sequence[Waiting]) -> Iterator[Reason]:
    if line:
        jobs = f"Job {line[0].job_id} comes" if len(line) == 1 else f"{len(line)} waiting jobs come"
        yield Reason("behind-others", WILL_WAIT, f"{jobs} first and may take what becomes free.", 0, len(line))
