"""What becomes of a gang: it succeeds together, and the first of it that does not succeed ends the rest."""

from collections.abc import Sequence

from levare.model import CANCELLED, FAILED, LIVE, LOST, OUT_OF_MEMORY, SUCCEEDED, TIMED_OUT, Member, Parting


def decisive(members: Sequence[Member]) -> Member | None:
    """The one whose ending is the gang's: the first that did not succeed, if any. None while one of them lives."""
    if any(member.state in LIVE for member in members):
        return None
    return _first_failure(members) or min(members, key=_rank)


def partings(members: Sequence[Member]) -> list[Parting]:
    """Those that live and are still to be told that another has ended, and not well."""
    failure = _first_failure(members)
    if failure is None:
        return []
    reason = f"Another part of the gang ended: rank {failure.rank} on {failure.node} {_fate(failure)}."
    return [Parting(member.attempt_id, reason) for member in members if member.state in LIVE and not member.was_ended]


def _first_failure(members: Sequence[Member]) -> Member | None:
    """Clocks of nodes may differ by little; who was told to end has not been first, whatever its clock says."""
    failures = [member for member in members if member.state not in (*LIVE, SUCCEEDED)]
    return min(failures, key=_order, default=None)


def _order(member: Member) -> tuple[bool, float, int]:
    return member.was_ended, member.ended_at.timestamp() if member.ended_at else 0.0, member.rank


def _rank(member: Member) -> int:
    return member.rank


def _fate(member: Member) -> str:
    fate = _FATES.get(member.state, f"was {member.state}")
    return fate if member.exit_code is None else f"{fate} with exit code {member.exit_code}"


_FATES = {
    FAILED: "failed",
    TIMED_OUT: "ran longer than its limit",
    OUT_OF_MEMORY: "ran out of memory",
    LOST: "was lost",
    CANCELLED: "was cancelled",
}
