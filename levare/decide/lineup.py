"""The whole queue in its order, each job with why it waits; of the first ones also when they will start."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from levare.decide.forecast import NOW, Estimate, estimate
from levare.decide.line import Line
from levare.decide.order import AGEING, rank, urgency
from levare.decide.placement import place
from levare.decide.sharing import Books
from levare.model import Decision, Node, Reason, Sharing, Waiting

FORESEEN = 5
"""Of so many of the first their start is foreseen: to look ahead costs as much for each as the decision itself."""


@dataclass(frozen=True)
class Stand:
    """Where a job stands: `position` 1 comes first. `reasons` is empty for one that starts at the next decision."""

    job: Waiting
    position: int
    reasons: Sequence[Reason]
    from_age: int
    from_deadline: int
    estimate: Estimate | None = None
    """None where nobody has looked ahead so far."""


def lineup(waiting: Sequence[Waiting], nodes: Sequence[Node], *, now: datetime, sharing: Sharing) -> list[Stand]:
    """All that wait, in the order in which they would start if there were room for all. Pure."""
    decision = place(waiting, nodes, now=now, sharing=sharing)
    line = _Line(waiting, nodes, decision, now, sharing)
    return [line.stand(job, position) for position, job in enumerate(line.in_order(), start=1)]


@dataclass(frozen=True)
class _Line:
    waiting: Sequence[Waiting]
    nodes: Sequence[Node]
    decision: Decision
    now: datetime
    sharing: Sharing

    def in_order(self) -> Sequence[Waiting]:
        """By their turns; what may not start now takes nothing from others, and comes after them, as it came."""
        last = max(self.waiting, key=lambda job: rank(job, self.now), default=None)
        if last is None:
            return ()
        books = Books(self.sharing, self.nodes, now=self.now)
        turns = Line(last, self.waiting, books, self.sharing, self.now).turns()
        turn = {job.job_id: place for place, job in enumerate(turns)}
        return sorted(self.waiting, key=lambda job: (turn.get(job.job_id, len(turn)), job.since, job.job_id))

    def stand(self, job: Waiting, position: int) -> Stand:
        return Stand(
            job,
            position,
            self.decision.reasons.get(job.job_id, ()),
            (self.now - job.since) // AGEING,
            urgency(job, self.now),
            self._foreseen(job) if position <= FORESEEN else None,
        )

    def _foreseen(self, job: Waiting) -> Estimate | None:
        reasons = self.decision.reasons.get(job.job_id, ())
        if not reasons:
            return Estimate(self.now, self.now, NOW)
        if any(reason.kind != "will-wait" for reason in reasons):
            return None
        promise = self.decision.promises.get(job.job_id)
        return estimate(job, self.waiting, self.nodes, now=self.now, sharing=self.sharing, promise=promise)
