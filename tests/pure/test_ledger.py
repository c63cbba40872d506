"""Whose each GPU is: what proves it, and when it is believed."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from levare.model import FOREIGN, FREE, ORPHAN, OURS, TAKEN, Device
from worker.probe.ledger import (
    ORPHANED_AFTER_SECONDS,
    Belief,
    Ownership,
    Use,
    judge,
    left_behind,
    long_over,
    over_since,
)

GPU = Device("gpu-a", 0, 81920)
BOB = Use(4711, 100, "bob", "python train.py", None, 2048)


def judged(*uses: Use, live: Mapping[str, Sequence[str]] | None = None, over: Sequence[str] = ()) -> Ownership:
    return judge([GPU], {"gpu-a": uses}, live or {}, over, node="n1")["gpu-a"]


def a_use(pid: int = 12, attempt: str | None = "a-1", memory_mib: int = 300) -> Use:
    return Use(pid, 50, "alice", "python left.py", attempt, memory_mib)


def test_a_gpu_that_nothing_uses_and_nobody_holds_is_free():
    assert judged() == Ownership(FREE)


@pytest.mark.parametrize("uses", [(), (a_use(),)])
def test_a_gpu_that_a_live_attempt_holds_is_ours_before_and_while_it_uses_it(uses: tuple[Use, ...]):
    assert judged(*uses, live={"a-1": ["gpu-a"]}) == Ownership(OURS)


def test_a_gpu_that_a_live_attempt_uses_without_holding_it_is_ours():
    assert judged(a_use(), live={"a-1": ["gpu-b"]}).state == OURS


def test_foreign_use_names_its_owner():
    seen = judged(BOB)

    assert (seen.state, seen.owner) == (FOREIGN, (BOB,))
    assert seen.detail == (
        "GPU 0 of n1 is used by process 4711 of bob (python train.py, 2048 MiB), which levare did not start."
    )


def test_the_largest_of_several_is_named_and_the_others_are_counted():
    seen = judged(BOB, a_use(99, None, memory_mib=5000), a_use(98, None))

    assert seen.detail is not None
    assert "process 99 of alice (python left.py, 5000 MiB) and 2 others," in seen.detail


def test_a_process_of_another_process_table_is_unknown_and_foreign():
    seen = judged(Use(4711, None, memory_mib=10))

    assert seen.state == FOREIGN
    assert seen.detail is not None
    assert "an unknown process (pid 4711 of a process table not seen here, 10 MiB)" in seen.detail


def test_a_process_of_another_process_table_may_be_of_the_job_that_holds_the_gpu():
    assert judged(Use(4711, None), live={"a-1": ["gpu-a"]}) == Ownership(OURS)
    assert judged(Use(4711, None), live={"a-1": ["gpu-b"]}).state == FOREIGN


def test_foreign_use_of_a_gpu_that_a_job_holds_is_foreign():
    assert judged(BOB, a_use(), live={"a-1": ["gpu-a"]}).state == FOREIGN


def test_what_an_ended_attempt_left_behind_is_an_orphan_and_says_how_to_end_it():
    seen = judged(a_use(), over=["a-1"])

    assert seen.state == ORPHAN
    assert seen.detail == (
        "GPU 0 of n1 is used by process 12 of alice (python left.py, 300 MiB), left behind by attempt a-1, now over; "
        "`levare nodes reap n1` ends it."
    )


def test_a_marker_of_an_attempt_that_was_never_here_proves_nothing():
    assert judged(a_use(attempt="of-elsewhere-1"), over=["a-1"]).state == FOREIGN


def test_a_device_that_says_nothing_of_its_processes_is_not_judged():
    assert judge([GPU], {}, {}, [], node="n1") == {}


def test_an_orphan_is_listed_once_with_all_its_gpus_and_nothing_foreign_beside_it():
    orphan = a_use()
    uses = {"gpu-a": [orphan, BOB], "gpu-b": [orphan], "gpu-c": [Use(13, None, attempt="a-1")]}

    assert left_behind(uses, ["a-1"]) == {orphan: ["gpu-a", "gpu-b"]}


def test_an_attempt_is_long_over_only_after_it_was_seen_so_for_the_whole_grace():
    since = over_since({}, ["a-1"], 100.0)
    later = over_since(since, ["a-1", "b-1"], 105.0)

    assert long_over(later, 100.0 + ORPHANED_AFTER_SECONDS - 0.1) == set()
    assert long_over(later, 100.0 + ORPHANED_AFTER_SECONDS) == {"a-1"}


def test_an_attempt_that_was_not_seen_in_between_begins_anew():
    since = over_since(over_since({}, ["a-1"], 100.0), [], 105.0)

    assert over_since(since, ["a-1"], 111.0) == {"a-1": 111.0}


def believed(*states: str) -> list[str]:
    belief, found = Belief(), []
    for state in states:
        belief = belief.after(Ownership(state))
        found.append(belief.ownership.state)
    return found


def test_foreign_use_counts_when_seen_twice_and_is_over_when_gone_twice():
    assert believed(FOREIGN, FOREIGN, FREE, FREE) == [FREE, FOREIGN, FOREIGN, FREE]


def test_a_process_that_shows_once_changes_nothing():
    assert believed(FOREIGN, FREE, FOREIGN, FREE) == [FREE, FREE, FREE, FREE]


def test_our_own_coming_and_going_needs_no_second_look():
    assert believed(OURS, FREE, OURS) == [OURS, FREE, OURS]


def test_what_holds_while_a_foreign_process_is_doubted_is_the_news_of_the_second_look():
    assert believed(FOREIGN, FOREIGN, FREE, OURS, OURS) == [FREE, FOREIGN, FOREIGN, OURS, OURS]


@given(st.lists(st.sampled_from([FREE, OURS, FOREIGN, ORPHAN]), max_size=12))
def test_a_gpu_changes_between_taken_and_usable_only_on_two_looks_that_agree(states: list[str]):
    seen = [FREE, FREE, *states]
    held = believed(*seen)

    for place in range(2, len(seen)):
        if (held[place] in TAKEN) != (held[place - 1] in TAKEN):
            assert (seen[place] in TAKEN) == (seen[place - 1] in TAKEN) == (held[place] in TAKEN)
        if (seen[place] in TAKEN) == (seen[place - 1] in TAKEN):
            assert (held[place] in TAKEN) == (seen[place] in TAKEN)


def test_more_memory_of_the_same_process_is_no_news_but_another_process_is():
    before = judged(a_use(memory_mib=300), over=["a-1"])

    assert before.says_the_same_as(judged(a_use(memory_mib=900), over=["a-1"]))
    assert not before.says_the_same_as(judged(a_use(pid=13), over=["a-1"]))
