from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.lifecycle import MOST_LOSSES, settle
from levare.decide.retries import LONGEST_PAUSE, MOST_SHUNNED, grown_memory_mib, pause_before_retry
from levare.model import Ended, Move, Node, Request

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
N1, N2 = Node("n1", "ready", 8, 4096), Node("n2", "ready", 8, 8192)
modest = settings(max_examples=40, deadline=None)


def an_ending(outcome: str = "failed", *, attempt: int = 1, retries: int = 5, ran: float = 3600, **more: Any) -> Ended:
    plain = Ended("j", f"j-{attempt}", outcome, 3, "Exited with code 3.", attempt, retries, 0, cancel_requested=False)
    return replace(plain, node="n1", started_at=NOON - ran * SECOND, ended_at=NOON, **more)


def consequence(ended: Ended, *nodes: Node) -> Move:
    (move,) = settle([ended], nodes or (N1, N2), now=NOON)
    return move


@pytest.mark.parametrize(
    ("retry_on", "outcome", "exit_code", "state"),
    [
        ((), "failed", 3, "waiting"),
        ((), "timed_out", None, "waiting"),
        (("out_of_memory",), "failed", 3, "failed"),
        (("out_of_memory",), "out_of_memory", 137, "waiting"),
        (("failed",), "failed", 1, "waiting"),
        (("failed",), "timed_out", None, "failed"),
        (("timed_out",), "timed_out", None, "waiting"),
        (("exit:3",), "failed", 3, "waiting"),
        (("exit:3",), "failed", 4, "failed"),
        (("exit:64-78",), "failed", 64, "waiting"),
        (("exit:64-78",), "failed", 78, "waiting"),
        (("exit:64-78",), "failed", 79, "failed"),
        (("exit:1", "exit:9"), "failed", 9, "waiting"),
        (("exit:3",), "failed", None, "failed"),
        (("exit:none",), "failed", 3, "failed"),
    ],
)
def test_only_the_endings_that_a_job_names_are_tried_again(retry_on, outcome, exit_code, state):
    assert consequence(an_ending(outcome, retry_on=retry_on, exit_code=exit_code)).state == state


@pytest.mark.parametrize("outcome", ["preempted", "lost"])
def test_what_is_nobodys_fault_goes_back_at_once_whatever_a_job_names(outcome: str):
    move = consequence(an_ending(outcome, retries=0, retry_on=("exit:9",), backoff=60 * SECOND))

    assert (move.state, move.lost, move.not_before) == ("waiting", True, None)


def test_preemptions_do_not_use_up_the_losses_of_a_job():
    lost = an_ending("lost", attempt=9, retries=0, losses=8)

    assert consequence(replace(lost, preemptions=8 - MOST_LOSSES + 1)).state == "waiting"
    assert consequence(replace(lost, preemptions=8 - MOST_LOSSES)).state == "failed"


def test_a_job_may_spend_its_own_retries_on_lost_nodes():
    lost = an_ending("lost", attempt=4, retries=1, losses=3, retry_on=("lost",))

    assert (consequence(lost).state, consequence(lost).lost) == ("waiting", False)
    assert consequence(replace(lost, attempt=5)).state == "failed"


def test_a_job_that_pauses_is_blocked_until_then_and_says_why():
    move = consequence(an_ending(attempt=2, backoff=SECOND))

    assert move.state == "blocked"
    assert move.not_before
    assert 1.6 * SECOND <= move.not_before - NOON <= 2.4 * SECOND
    assert move.reason == (
        f"Tries again at {move.not_before:%Y-%m-%d %H:%M:%S} UTC after it failed with exit code 3 (2 of 5 retries)."
    )


def test_without_a_backoff_a_job_is_tried_again_at_once():
    assert consequence(an_ending()).state == "waiting"


@modest
@given(st.integers(1, 100), st.integers(1, 10**9), st.text(max_size=20))
def test_pauses_grow_and_are_bounded(attempt: int, seconds: int, attempt_id: str):
    first = an_ending(attempt=attempt, backoff=seconds * SECOND, attempt_id=attempt_id)
    pause, later = pause_before_retry(first), pause_before_retry(replace(first, attempt=attempt + 1))

    assert 0.8 * min(seconds * SECOND, LONGEST_PAUSE) <= pause <= 1.2 * LONGEST_PAUSE
    assert later >= pause
    assert pause == pause_before_retry(first)


def test_jobs_that_failed_together_do_not_come_back_together():
    pauses = {pause_before_retry(an_ending(backoff=60 * SECOND, attempt_id=f"j{i}-1")) for i in range(100)}

    assert len(pauses) > 90


def test_a_job_that_ran_out_of_its_memory_asks_for_more():
    move = consequence(an_ending("out_of_memory", request=Request(memory_mib=1000), memory_growth=1.5))

    assert move.memory_mib == 1500
    assert move.reason
    assert move.reason.endswith("(1 of 5 retries). It asks for 1500 MiB of memory instead of 1000 from now on.")


@pytest.mark.parametrize(
    ("outcome", "asked", "growth"), [("failed", 1000, 2.0), ("out_of_memory", 0, 2.0), ("out_of_memory", 1000, 1.0)]
)
def test_memory_grows_only_where_a_job_asked_for_too_little(outcome: str, asked: int, growth: float):
    ended = an_ending(outcome, request=Request(memory_mib=asked), memory_growth=growth)

    assert consequence(ended).memory_mib is None


@modest
@given(st.integers(1, 10_000), st.floats(1, 100), st.lists(st.integers(1, 10_000), max_size=4))
def test_memory_never_grows_beyond_the_largest_node_that_could_run_it(asked, growth, sizes):
    nodes = [Node(f"n{size}", "ready", 8, size) for size in sizes]
    ended = an_ending("out_of_memory", request=Request(memory_mib=asked), memory_growth=growth)

    grown = grown_memory_mib(ended, nodes)

    assert grown is None or asked < grown <= max(sizes)


def test_memory_does_not_grow_to_that_of_a_node_that_lacks_the_gpus():
    ended = an_ending("out_of_memory", request=Request(cpus=16, memory_mib=1000), memory_growth=100)

    assert grown_memory_mib(ended, [N2, Node("big", "ready", 16, 2000)]) == 2000


@pytest.mark.parametrize(
    "ended",
    [
        an_ending("lost"),
        an_ending(ran=59),
        replace(an_ending(), started_at=None, exit_code=None),
        an_ending("out_of_memory"),
    ],
)
def test_a_job_stays_away_from_a_node_that_may_be_to_blame(ended: Ended):
    assert consequence(ended).shunned == ("n1",)


@pytest.mark.parametrize(
    "ended",
    [
        an_ending(ran=60),
        an_ending("preempted", ran=1),
        an_ending("timed_out", ran=1),
        an_ending("out_of_memory", request=Request(memory_mib=100)),
    ],
)
def test_a_job_comes_back_to_a_node_that_is_not_to_blame(ended: Ended):
    assert consequence(ended).shunned is None


@pytest.mark.parametrize(
    "other", [Node("n2", "lost", 8, 8192), Node("n2", "ready", 1, 8192), Node("n2", "ready", 8, 8192, note="Excluded.")]
)
def test_a_node_is_not_shunned_if_no_other_could_run_the_job(other: Node):
    assert consequence(an_ending(ran=1, request=Request(cpus=2)), N1, other).shunned is None


@modest
@given(st.lists(st.sampled_from(["n1", "n2", "n3", "n4", "n5"]), unique=True), st.integers(1, 5))
def test_the_last_few_nodes_are_shunned_and_one_that_can_run_it_is_always_left(shunned, count):
    nodes = [Node(f"n{i + 1}", "ready", 8, 4096) for i in range(count)]

    move = consequence(an_ending(ran=1, shunned=tuple(shunned)), *nodes)

    if move.shunned is not None:
        assert move.shunned[-1] == "n1"
        assert len(set(move.shunned)) == len(move.shunned) <= MOST_SHUNNED
        assert {node.name for node in nodes} - set(move.shunned)


@pytest.mark.parametrize("failure", ["import_error", "bad_argument", "command_not_found", "data_not_found"])
def test_what_a_retry_cannot_cure_is_tried_again_only_where_the_job_says_so(failure: str):
    move = consequence(an_ending(failure=failure))

    why_not = f"It is not tried again: a retry does not cure {failure}; --retry-on {failure} has it tried."
    assert (move.state, move.reason) == ("failed", f"Exited with code 3. {why_not}")
    for retry_on in ((failure,), ("failed",), ("exit:3",)):
        assert consequence(an_ending(failure=failure, retry_on=retry_on)).state == "waiting"
    assert consequence(an_ending(failure=failure, retry_on=("nan",))).state == "failed"
    assert consequence(an_ending(failure=failure, retries=0)).reason == "Exited with code 3."


def test_a_class_may_be_what_a_job_is_tried_again_for():
    assert consequence(an_ending(failure="network_error", retry_on=("network_error",))).state == "waiting"
    assert consequence(an_ending(failure="nan", retry_on=("network_error",))).state == "failed"


def test_the_plan_of_a_retry_names_the_class():
    reason = consequence(an_ending(failure="gpu_memory")).reason

    assert reason == "Tries again after it failed with exit code 3 (gpu_memory, 1 of 5 retries)."


@pytest.mark.parametrize("failure", ["cuda_error", "network_error", "disk_full", "distributed_error"])
def test_what_lies_in_the_machine_is_tried_again_on_another_one_however_long_it_ran(failure: str):
    assert consequence(an_ending(failure=failure)).shunned == ("n1",)
    assert consequence(an_ending(failure="exception")).shunned is None


def test_what_lacked_main_memory_by_its_own_words_asks_for_more_too():
    ended = an_ending(failure="host_memory", request=Request(memory_mib=1000), memory_growth=1.5)

    assert grown_memory_mib(ended, [N1, N2]) == 1500
