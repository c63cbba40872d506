"""What the runs of a family teach: how long the next one takes, and whether it fails at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levare.decide.health import SOON, is_soon
from levare.model import FAILED, OUT_OF_MEMORY, SUCCEEDED, Ended

REMEMBERED = 50
"""Of so many successful runs it is known how long they took."""
BURST = 5
"""So many first attempts that fail soon in a row are a burst, and the family is held back."""
FIRST_HOLD, LONGEST_HOLD = timedelta(minutes=10), timedelta(hours=2)


@dataclass(frozen=True)
class Family:
    """What is known of the jobs of one `team/project/name`. `seen` is when it was last written, None for a new one."""

    name: str
    seconds: tuple[float, ...] = ()
    fast_failures: int = 0
    held_until: datetime | None = None
    held_reason: str | None = None
    seen: datetime | None = None


def learn(known: Mapping[str, Family], ended: Iterable[Ended], *, now: datetime) -> list[Family]:
    """The families that these endings change."""
    changed: dict[str, Family] = {}
    for ending in sorted(ended, key=lambda ending: (ending.ended_at or now, ending.attempt_id)):
        family = changed.get(ending.family) or known.get(ending.family) or Family(ending.family)
        changed[ending.family] = _after(family, ending, now)
    return [family for name, family in changed.items() if family != known.get(name, Family(name))]


def _after(family: Family, ending: Ended, now: datetime) -> Family:
    if ending.outcome == SUCCEEDED:
        return _proven(family, ending)
    if ending.cancel_requested or ending.outcome not in (FAILED, OUT_OF_MEMORY):
        return family
    if ending.started_at is not None and not is_soon(ending.started_at, ending.ended_at):
        return replace(family, fast_failures=0)
    return _failed_again(family, ending, now) if _counts(family, ending, now) else family


def _proven(family: Family, ending: Ended) -> Family:
    times = () if not (ending.started_at and ending.ended_at) else (_seconds(ending.started_at, ending.ended_at),)
    return replace(
        family,
        seconds=(*family.seconds, *times)[-REMEMBERED:],
        fast_failures=0,
        held_until=None,
        held_reason=None,
    )


def _seconds(started_at: datetime, ended_at: datetime) -> float:
    return max(0.0, (ended_at - started_at).total_seconds())


def _counts(family: Family, ending: Ended, now: datetime) -> bool:
    """
    Whether a failure says anything new.

    Retries are bounded by the job itself, what a node could not start is the node's doing, and what still
    ran when the family was held belongs to the burst that is over.
    """
    is_held = family.held_until is not None and family.held_until > now
    is_first = ending.attempt - ending.losses == 1
    return is_first and ending.started_at is not None and not is_held


def _failed_again(family: Family, ending: Ended, now: datetime) -> Family:
    failures = family.fast_failures + 1
    if failures % BURST:
        return replace(family, fast_failures=failures)
    until = now + min(FIRST_HOLD * 2 ** min(failures // BURST - 1, 10), LONGEST_HOLD)
    how = (
        "the last by running out of memory"
        if ending.outcome == OUT_OF_MEMORY
        else f"the last with exit code {ending.exit_code}"
    )
    reason = (
        f"{failures} jobs of {family.name} in a row failed within {SOON.total_seconds():g} s of their start, {how} "
        f"({ending.job_id}). The others are held until {until:%Y-%m-%d %H:%M:%S} UTC; "
        f"`levare families release {family.name}` lets them start once the cause is removed."
    )
    return replace(family, fast_failures=failures, held_until=until, held_reason=reason)
