from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.families import BURST, FIRST_HOLD, LONGEST_HOLD, REMEMBERED, Family, learn
from levare.model import Ended

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NAME = "vision/imagenet/train.py"
NEW = Family(NAME)


def an_ending(outcome: str = "failed", *, ran: float = 1, job: str = "j", **more: Any) -> Ended:
    plain = Ended(job, f"{job}-1", outcome, 3, "It ended.", 1, 0, 0, cancel_requested=False, family=NAME)
    return replace(plain, started_at=NOON - ran * SECOND, ended_at=NOON, **more)


def after(known: Family, *ended: Ended, now: datetime = NOON) -> Family:
    (changed,) = learn({NAME: known}, ended, now=now) or [known]
    return changed


def a_burst(known: Family = NEW, *, now: datetime = NOON) -> Family:
    return after(known, *(an_ending(job=f"j{i}") for i in range(BURST)), now=now)


def test_a_family_remembers_how_long_its_last_runs_took():
    known = Family(NAME, tuple(float(i) for i in range(REMEMBERED)))

    assert after(known, an_ending("succeeded", ran=90)).seconds == (*known.seconds[1:], 90.0)


def test_a_family_that_is_new_is_learnt():
    assert learn({}, [an_ending()], now=NOON) == [Family(NAME, fast_failures=1)]


@pytest.mark.parametrize("outcome", ["cancelled", "preempted", "lost", "timed_out"])
def test_endings_without_fault_teach_nothing(outcome: str):
    assert learn({NAME: Family(NAME, fast_failures=4)}, [an_ending(outcome)], now=NOON) == []


def test_a_burst_of_fast_failures_holds_the_family_and_says_what_to_do():
    held = a_burst()

    assert held.held_until == NOON + FIRST_HOLD
    assert held.held_reason == (
        f"5 jobs of {NAME} in a row failed within 60 s of their start, the last with exit code 3 (j4). The others are "
        f"held until 2026-01-01 12:10:00 UTC; `levare families release {NAME}` lets them start once the cause is "
        "removed."
    )


def test_one_failure_less_than_a_burst_holds_nothing():
    assert after(NEW, *(an_ending(job=f"j{i}") for i in range(BURST - 1))).held_until is None


@pytest.mark.parametrize(
    "between",
    [an_ending("succeeded", job="j2x"), an_ending(ran=60, job="j2x")],
)
def test_a_run_that_does_not_fail_at_once_ends_the_row(between: Ended):
    failures = [an_ending(job=f"j{i}") for i in range(BURST)]

    assert after(NEW, *failures[:3], between, *failures[3:]).held_until is None


@pytest.mark.parametrize(
    "ended",
    [an_ending(attempt=2), replace(an_ending(), started_at=None), an_ending(cancel_requested=True)],
    ids=["a retry", "not started", "cancelled"],
)
def test_what_is_not_the_doing_of_the_family_does_not_count(ended: Ended):
    assert after(Family(NAME, fast_failures=BURST - 1), ended).held_until is None


def test_the_first_own_attempt_counts_even_after_a_loss():
    assert after(NEW, an_ending(attempt=2, losses=1)).fast_failures == 1


def test_what_still_ran_when_the_family_was_held_makes_no_second_burst():
    held = a_burst()

    assert after(held, *(an_ending(job=f"k{i}") for i in range(3 * BURST)), now=NOON + SECOND) == held


def test_each_further_burst_holds_twice_as_long_up_to_two_hours():
    family, now, holds = Family(NAME), NOON, []
    for _ in range(6):
        family = a_burst(family, now=now)
        assert family.held_until
        holds.append(family.held_until - now)
        now = family.held_until

    assert holds == [min(FIRST_HOLD * 2**i, LONGEST_HOLD) for i in range(6)]


def test_a_success_releases_the_family():
    released = after(a_burst(), an_ending("succeeded"))

    assert (released.fast_failures, released.held_until, released.held_reason) == (0, None, None)


endings = st.builds(
    an_ending,
    st.sampled_from(["failed", "succeeded", "out_of_memory", "lost", "cancelled"]),
    ran=st.integers(0, 120),
    attempt=st.integers(1, 3),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(endings, max_size=30))
def test_a_family_is_held_only_after_a_burst_and_never_for_longer_than_the_longest_hold(ended):
    family = after(NEW, *ended)

    assert len(family.seconds) <= REMEMBERED
    assert (family.held_until is None) == (family.held_reason is None)
    failures = [each for each in ended if each.outcome in ("failed", "out_of_memory")]
    assert family.held_until is None or len(failures) >= BURST
    assert family.held_until is None or family.held_until - NOON <= LONGEST_HOLD
