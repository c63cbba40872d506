"""What follows from what has happened: endings, retries, needs, cancels, lost nodes."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from levare.decide import retries
from levare.model import (
    BLOCKED,
    CANCELLED,
    FAILED,
    LIVE,
    LOST,
    PREEMPTED,
    SUCCEEDED,
    WAITING,
    Blocked,
    Ended,
    Move,
    Node,
    Silent,
)

MOST_LOSSES = 3
"""How often a job is started again after its node was lost, besides its own retries."""


def settle(ended: Iterable[Ended], nodes: Sequence[Node] = (), *, now: datetime) -> list[Move]:
    """A job follows its latest attempt: to its end, or back to the queue, for `nodes` to take it up."""
    return [_consequence(attempt, nodes, now) for attempt in ended]


def _consequence(ended: Ended, nodes: Sequence[Node], now: datetime) -> Move:
    if ended.outcome == SUCCEEDED:
        return _end(ended, SUCCEEDED)
    if ended.cancel_requested or ended.outcome == CANCELLED:
        return _end(ended, CANCELLED)
    if _is_faultless(ended):
        return _back(ended, nodes)
    if retries.is_tried_again(ended):
        return retries.again(ended, nodes, now=now)
    return _end(ended, FAILED, retries.why_not(ended))


def _is_faultless(ended: Ended) -> bool:
    """Whether it goes back without a retry of its own; preemption is no loss of a node."""
    if ended.outcome == LOST:
        return ended.losses - ended.preemptions < MOST_LOSSES
    return ended.outcome == PREEMPTED


def _end(ended: Ended, state: str, more: str = "") -> Move:
    return Move(ended.job_id, LIVE, state, f"{ended.reason}{more}", ended.exit_code)


def _back(ended: Ended, nodes: Sequence[Node]) -> Move:
    elsewhere = retries.shunned(ended, ended.request, nodes)
    return Move(ended.job_id, LIVE, WAITING, ended.reason, ended.exit_code, lost=True, shunned=elsewhere)


def unblock(blocked: Iterable[Blocked], *, now: datetime) -> list[Move]:
    """
    A blocked job goes on when all it needs has ended as wanted and its time has come.

    When a need cannot be met any more it is skipped: cancelled, and so neither a success nor a failure for others.
    """
    moves = (_unblocked(job, now) for job in blocked)
    return [move for move in moves if move]


def _unblocked(job: Blocked, now: datetime) -> Move | None:
    hopeless = [(needed, need) for needed, need in sorted(job.needs.items()) if need.is_hopeless]
    if hopeless:
        fates = "; ".join(f"it needs {needed} {need.wish}, and {needed} {need.fate}" for needed, need in hopeless)
        return Move(job.job_id, (BLOCKED,), CANCELLED, f"Skipped because {fates}.")
    is_time = job.start_after is None or job.start_after <= now
    if is_time and all(need.is_met for need in job.needs.values()):
        return Move(job.job_id, (BLOCKED,), WAITING)
    return None


def cancel(job_ids: Iterable[str]) -> list[Move]:
    """Jobs that nobody has started yet are cancelled at once."""
    return [Move(job_id, (BLOCKED, WAITING), CANCELLED, "Cancelled before it started.") for job_id in job_ids]


def lost_attempts(silent: Sequence[Silent], *, lost_after: timedelta) -> list[str]:
    """
    The attempts that are given up because their node is silent.

    With `requeue` the node has fenced itself by now, so that nothing runs twice. With `keep` nothing
    is given up unless the job is to be cancelled.
    """
    return [
        attempt.attempt_id
        for attempt in silent
        if attempt.silence >= lost_after and (attempt.on_lost == "requeue" or attempt.cancel_requested)
    ]
