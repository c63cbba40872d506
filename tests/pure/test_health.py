from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.health import LOOK_BACK, REST, Run, suspects
from levare.model import Device, Node

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def a_node(name: str, *, gpus: int = 2, **more: Any) -> Node:
    return Node(name, "ready", 8, 4096, [Device(f"{name}-{i}", i, 1024) for i in range(gpus)], **more)


def a_run(number: int, node: str = "n1", *gpus: str, outcome: str = "failed", ran: float = 1, **more: Any) -> Run:
    ended_at = NOON - (100 - number) * SECOND
    run = Run(f"j{number}", f"f{number}", "anna", node, frozenset(gpus), outcome, ended_at - ran * SECOND, ended_at)
    return replace(run, **more)


def excluded(*runs: Run, nodes: tuple[Node, ...] = (a_node("n1"), a_node("n2")), **cleared: datetime) -> list[str]:
    found = suspects(runs, nodes, cleared=cleared, now=NOON)
    assert all(each.until == NOON + REST for each in found)
    return [each.device or each.node for each in found]


def test_a_node_on_which_different_jobs_fail_at_once_is_excluded_and_says_so():
    (found,) = suspects([a_run(i) for i in range(3)], [a_node("n1"), a_node("n2")], cleared={}, now=NOON)

    assert (found.node, found.device, found.jobs) == ("n1", None, ("j2", "j1", "j0"))
    assert found.reason == (
        "Different jobs failed within 60 s of their start on n1, with no success between them: j2, j1, j0. "
        "It takes jobs again at 2026-01-01 12:30:00 UTC, or by `levare resume n1`."
    )


def test_a_gpu_on_which_different_jobs_fail_at_once_is_excluded_alone():
    assert excluded(*(a_run(i, "n1", "n1-0") for i in range(3))) == ["n1-0"]


def test_failures_on_different_gpus_are_the_fault_of_the_node():
    runs = [a_run(0, "n1", "n1-0"), a_run(1, "n1", "n1-1"), a_run(2, "n1")]

    assert excluded(*runs) == ["n1"]


def test_two_failures_are_an_accident():
    assert excluded(a_run(0), a_run(1)) == []


def test_one_family_that_fails_says_nothing_of_the_node():
    assert excluded(*(a_run(i, family="same") for i in range(9))) == []


def test_one_family_of_different_users_does():
    assert excluded(*(a_run(i, family="same", user=f"u{i}") for i in range(3))) == ["n1"]


def test_a_success_between_acquits_the_node():
    assert excluded(a_run(0), a_run(1), a_run(2, outcome="succeeded"), a_run(3)) == []


def test_a_success_on_another_gpu_does_not_acquit_this_one():
    failures = [a_run(i, "n1", "n1-0") for i in (0, 2, 4)]

    assert excluded(*failures, a_run(3, "n1", "n1-1", outcome="succeeded")) == ["n1-0"]


def test_slow_failures_and_cancels_neither_blame_nor_acquit():
    others = [a_run(1, ran=60), a_run(2, outcome="cancelled")]

    assert excluded(a_run(0), *others) == []
    assert excluded(a_run(0), *others, a_run(4), a_run(5)) == ["n1"]


def test_what_ended_long_ago_does_not_count():
    assert excluded(*(a_run(i, ended_at=NOON - LOOK_BACK - SECOND) for i in range(3))) == []


def test_what_ended_before_a_node_was_cleared_does_not_count_again():
    runs = [a_run(i) for i in range(3)]

    assert excluded(*runs, n1=runs[0].ended_at) == []
    assert excluded(*runs, n1=runs[0].ended_at - SECOND) == ["n1"]


def test_what_could_not_even_be_started_counts():
    assert excluded(*(a_run(i, started_at=None) for i in range(3))) == ["n1"]


def test_if_every_node_were_excluded_none_is():
    everywhere = [a_run(i, node) for i in range(3) for node in ("n1", "n2")]

    assert excluded(*everywhere) == []
    assert excluded(*(a_run(i) for i in range(3)), nodes=(a_node("n1"), a_node("n2", note="Excluded."))) == []


def test_the_last_gpu_is_not_excluded():
    runs = [a_run(i, "n1", "n1-0") for i in range(3)]

    assert excluded(*runs, nodes=(a_node("n1", gpus=1), a_node("n2", gpus=0))) == []
    assert excluded(*runs, nodes=(a_node("n1", gpus=1), a_node("n2", gpus=1))) == ["n1-0"]


def test_what_is_excluded_already_is_not_excluded_again():
    assert excluded(*(a_run(i) for i in range(3)), nodes=(a_node("n1", note="Excluded."), a_node("n2"))) == []


runs = st.builds(
    a_run,
    st.integers(0, 90),
    st.sampled_from(["n1", "n2", "n3"]),
    outcome=st.sampled_from(["failed", "failed", "failed", "succeeded", "lost"]),
    ran=st.integers(0, 90),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(runs, max_size=25), st.integers(1, 3), st.sampled_from(["ready", "lost"]))
def test_a_node_that_takes_jobs_is_always_left(ended: list[Run], count: int, state: str):
    nodes = [a_node(f"n{i + 1}") for i in range(count)]
    nodes[-1] = replace(nodes[-1], state=state)

    bad = {each.node for each in suspects(ended, nodes, cleared={}, now=NOON) if each.device is None}

    assert not bad or {node.name for node in nodes if node.state == "ready"} - bad
