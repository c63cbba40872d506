import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.pipelines import cycle, in_order, state_of


def test_steps_come_after_all_that_they_need():
    assert in_order({"c": ["a", "b"], "b": ["a"], "a": [], "d": []}) == ["a", "d", "b", "c"]


def test_a_cycle_is_named_and_nothing_that_only_leads_to_it():
    assert cycle({"start": ["a"], "a": ["b"], "b": ["c"], "c": ["a"], "free": []}) == ["a", "b", "c", "a"]
    assert cycle({"a": ["a"]}) == ["a", "a"]


def test_without_a_cycle_none_is_found():
    assert cycle({"a": [], "b": ["a"], "c": ["a", "b"]}) == []


STEPS = st.sampled_from("abcdef")


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({step: st.lists(STEPS, max_size=2, unique=True) for step in "abcdef"}))
def test_steps_have_an_order_or_a_cycle_that_is_really_there(needs: dict[str, list[str]]):
    way, order = cycle(needs), in_order(needs)

    assert (order is None) == bool(way)
    assert all(after in needs[before] for before, after in itertools.pairwise(way))
    assert order is None or all(order.index(needed) < order.index(step) for step in needs for needed in needs[step])


@pytest.mark.parametrize(
    ("steps", "state"),
    [
        ([("waiting", False), ("blocked", False)], "waiting"),
        ([("succeeded", False), ("blocked", False)], "running"),
        ([("succeeded", False), ("succeeded", False)], "succeeded"),
        ([("succeeded", False), ("cancelled", False)], "succeeded"),
        ([("failed", False), ("cancelled", False)], "failed"),
        ([("succeeded", False), ("cancelled", True)], "cancelled"),
    ],
)
def test_a_pipeline_stands_where_its_steps_do(steps: list[tuple[str, bool]], state: str):
    assert state_of(steps) == state
