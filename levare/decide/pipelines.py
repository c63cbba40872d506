"""Pipelines: the order of their steps, cycles among them, and where a whole pipeline stands."""

from collections.abc import Iterable, Mapping, Sequence

from levare.model import BLOCKED, CANCELLED, FAILED, FINAL, RUNNING, SUCCEEDED, WAITING


def in_order(needs: Mapping[str, Iterable[str]]) -> list[str] | None:
    """The steps, each after all that it needs, otherwise as they were given; None if there is a cycle."""
    left, done = {step: set(needed) for step, needed in needs.items()}, list[str]()
    while left:
        met = set(done)
        ready = [step for step, needed in left.items() if needed <= met]
        if not ready:
            return None
        done += ready
        left = {step: needed for step, needed in left.items() if step not in ready}
    return done


def cycle(needs: Mapping[str, Sequence[str]]) -> list[str]:
    """A way from a step through what it needs back to itself, such as a, b, a; empty if there is none."""
    left = dict(needs)
    while free := [step for step, needed in left.items() if not any(other in left for other in needed)]:
        left = {step: needed for step, needed in left.items() if step not in free}
    if not left:
        return []
    way = [next(iter(left))]
    while (following := next(other for other in left[way[-1]] if other in left)) not in way:
        way.append(following)
    return [*way[way.index(following) :], following]


def state_of(steps: Iterable[tuple[str, bool]]) -> str:
    """
    Where a pipeline stands, by the state of each step and whether somebody wanted that cancelled.

    A step that was skipped, because what it waited for did not come, is no failure of the pipeline.
    """
    known = list(steps)
    states = {state for state, _ in known}
    if not states <= set(FINAL):
        return WAITING if states <= {BLOCKED, WAITING} else RUNNING
    if FAILED in states:
        return FAILED
    return CANCELLED if any(state == CANCELLED and wished for state, wished in known) else SUCCEEDED
