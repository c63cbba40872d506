from datetime import UTC, datetime, timedelta

import pytest

from levare.decide.lifecycle import MOST_LOSSES, cancel, lost_attempts, settle, unblock
from levare.model import ALWAYS, FAILURE, SUCCESS, Blocked, Ended, Need, Silent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def an_ending(outcome: str, *, attempt: int = 1, retries: int = 0, losses: int = 0, cancel: bool = False) -> Ended:
    return Ended("j", f"j-{attempt}", outcome, 3, "It ended.", attempt, retries, losses, cancel)


@pytest.mark.parametrize(
    ("ended", "state"),
    [
        (an_ending("succeeded"), "succeeded"),
        (an_ending("succeeded", cancel=True), "succeeded"),
        (an_ending("failed"), "failed"),
        (an_ending("failed", retries=1), "waiting"),
        (an_ending("failed", attempt=2, retries=1), "failed"),
        (an_ending("failed", attempt=2, retries=1, losses=1), "waiting"),
        (an_ending("timed_out"), "failed"),
        (an_ending("out_of_memory", retries=1), "waiting"),
        (an_ending("failed", retries=5, cancel=True), "cancelled"),
        (an_ending("cancelled", retries=5), "cancelled"),
        (an_ending("lost"), "waiting"),
        (an_ending("lost", attempt=9, losses=MOST_LOSSES), "failed"),
        (an_ending("lost", cancel=True), "cancelled"),
        (an_ending("preempted"), "waiting"),
    ],
)
def test_a_job_follows_its_latest_attempt(ended: Ended, state: str):
    (move,) = settle([ended], now=NOON)

    assert move.state == state
    assert move.exit_code == 3


def test_a_loss_is_counted_apart_from_the_retries():
    assert [move.lost for move in settle([an_ending("lost"), an_ending("failed", retries=1)], now=NOON)] == [
        True,
        False,
    ]


def test_a_job_goes_on_when_all_it_needs_has_succeeded():
    moves = unblock([Blocked("j", {"a": Need("succeeded"), "b": Need("succeeded")}, None)], now=NOON)

    assert [move.state for move in moves] == ["waiting"]


def test_a_job_stays_blocked_while_something_it_needs_is_not_over():
    assert not unblock([Blocked("j", {"a": Need("succeeded"), "b": Need("running")}, None)], now=NOON)


def test_a_job_whose_need_failed_is_skipped_and_says_which():
    (move,) = unblock([Blocked("j", {"a": Need("failed"), "b": Need("running")}, None)], now=NOON)

    assert move.state == "cancelled"
    assert move.reason == "Skipped because it needs a to succeed, and a failed."


@pytest.mark.parametrize(
    ("outcome", "state", "moved_to"),
    [
        (SUCCESS, "succeeded", "waiting"),
        (SUCCESS, "failed", "cancelled"),
        (SUCCESS, "cancelled", "cancelled"),
        (FAILURE, "succeeded", "cancelled"),
        (FAILURE, "failed", "waiting"),
        (FAILURE, "cancelled", "cancelled"),
        (ALWAYS, "succeeded", "waiting"),
        (ALWAYS, "failed", "waiting"),
        (ALWAYS, "cancelled", "waiting"),
    ],
)
def test_a_need_says_how_the_other_job_must_end(outcome: str, state: str, moved_to: str):
    (move,) = unblock([Blocked("j", {"a": Need(state, outcome)}, None)], now=NOON)

    assert move.state == moved_to


def test_every_need_that_cannot_be_met_is_named_with_what_was_wanted():
    needs = {"b": Need("cancelled"), "a": Need("succeeded", FAILURE), "c": Need("failed", ALWAYS)}

    (move,) = unblock([Blocked("j", needs, None)], now=NOON)

    assert move.reason == (
        "Skipped because it needs a to fail, and a succeeded; it needs b to succeed, and b was cancelled."
    )


def test_a_skip_cascades_to_what_wanted_success_and_frees_what_wanted_any_end():
    (skip,) = unblock([Blocked("b", {"a": Need("failed")}, None)], now=NOON)

    then = [Blocked("c", {"b": Need(skip.state)}, None), Blocked("d", {"b": Need(skip.state, ALWAYS)}, None)]

    assert [move.state for move in unblock(then, now=NOON)] == ["cancelled", "waiting"]


def test_a_job_waits_for_its_time():
    job = Blocked("j", {}, NOON + timedelta(seconds=1))

    assert not unblock([job], now=NOON)
    assert unblock([job], now=NOON + timedelta(seconds=1))


def test_a_cancel_touches_only_what_nobody_has_begun():
    (move,) = cancel(["j"])

    assert move.expected == ("blocked", "waiting")


@pytest.mark.parametrize(
    ("on_lost", "cancel_requested", "seconds", "given_up"),
    [
        ("requeue", False, 60, True),
        ("requeue", False, 59, False),
        ("keep", False, 10_000, False),
        ("keep", True, 60, True),
    ],
)
def test_a_silent_node_costs_an_attempt_only_when_its_policy_says_so(on_lost, cancel_requested, seconds, given_up):
    silent = [Silent("j-1", "n1", timedelta(seconds=seconds), on_lost, cancel_requested)]

    assert lost_attempts(silent, lost_after=timedelta(seconds=60)) == (["j-1"] if given_up else [])
