"""Roles, whose a thing is, and how often one may ask."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.rates import Buckets, stranger
from levare.decide.belonging import NOBODY, teams_of_rule, teams_of_work, watched_by
from levare.model.access import ADMIN, EVERYTHING, MEMBER, METRICS, NODE, TEAM, TEAM_ROLES, VIEWER, Access


@pytest.mark.parametrize("held", TEAM_ROLES)
def test_a_role_may_what_those_before_it_may_and_nothing_beyond(held: str):
    access = Access(TEAM, {"vision": held})

    may = [access.has(role, "vision") for role in TEAM_ROLES]

    assert may == [TEAM_ROLES.index(role) <= TEAM_ROLES.index(held) for role in TEAM_ROLES]
    assert not any(access.has(role, "nlp") for role in TEAM_ROLES)


@pytest.mark.parametrize("access", [Access(METRICS), Access(NODE), Access(TEAM), Access("emperor", {"vision": "king"})])
def test_a_scope_or_an_unknown_role_is_none_in_any_team(access: Access):
    assert not access.has_in_any(VIEWER)
    assert access.seen == []
    assert not access.has("king", "vision")


def test_an_admin_of_the_fleet_may_everything_everywhere():
    assert EVERYTHING.has_in_all(ADMIN, ["vision", "nlp"])
    assert EVERYTHING.seen is None


def test_of_several_teams_the_least_role_counts():
    access = Access(TEAM, {"vision": ADMIN, "nlp": VIEWER})

    assert access.has_in_all(VIEWER, ["vision", "nlp"])
    assert not access.has_in_all(MEMBER, ["vision", "nlp"])
    assert access.teams_with(MEMBER) == ["vision"]


@pytest.mark.parametrize(
    ("definition", "teams"),
    [
        ({"job": {"team": "vision"}}, {"vision"}),
        ({"job": {}}, {"default"}),
        ({"job": {"command": ["true"]}}, {"default"}),
        ({"pipeline": {"jobs": [{"team": "vision"}, {}, {"team": "nlp"}]}}, {"vision", "default", "nlp"}),
        ({"when": {"failure": {}}}, NOBODY),
    ],
)
def test_what_is_declared_belongs_to_the_teams_of_its_work(definition: dict[str, Any], teams: set[str]):
    assert teams_of_work(definition) == teams


@pytest.mark.parametrize(
    ("when", "teams"),
    [
        ({"failure": {"team": "vision"}}, {"vision"}),
        ({"failure": {"family": "vision/a/b"}}, {"vision"}),
        ({"failure": {"family": "vision"}}, NOBODY),
        ({"failure": {}}, NOBODY),
        ({"node_lost": None}, NOBODY),
        ({"hang": {"team": "vision", "family": "nlp/a/b"}}, {"vision"}),
    ],
)
def test_a_rule_belongs_to_the_team_to_which_it_is_confined(when: dict[str, Any], teams: set[str]):
    assert teams_of_rule({"when": when}) == teams


@pytest.mark.parametrize(
    ("when", "teams"),
    [
        ({"event": {"type": "x"}}, NOBODY),
        ({"resource": {"resource": "gpu"}}, NOBODY),
        ({"absence": {"event": {"type": "x"}}}, NOBODY),
        ({"files": {"path": "/x", "node": "a"}}, NOBODY),
        ({"files": {"path": "/x"}}, None),
        ({"ended": {"name": "x"}}, None),
        ({"metric": {"team": "vision"}}, {"vision"}),
    ],
)
def test_a_trigger_looks_at_the_runs_of_a_team_or_of_all(when: dict[str, Any], teams: set[str] | None):
    assert watched_by({"when": when}) == teams


def test_a_bucket_gives_a_burst_and_then_what_time_brings():
    buckets = Buckets(per_second=2, at_once=3)

    assert [buckets.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b", 0.0) == 0
    assert buckets.take("a", 0.5) == 0
    assert buckets.take("a", 0.5) == 0.5


def test_no_rate_is_no_bound():
    buckets = Buckets(0, 0)

    assert not any(buckets.take("a", 0.0) for _ in range(1000))
    assert not buckets.is_empty("a", 0.0)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=100))
def test_in_no_span_more_is_given_than_the_burst_and_the_rate(moments: list[float]):
    buckets = Buckets(per_second=5, at_once=4)
    given_at = [now for now in sorted(moments) if buckets.take("a", now) == 0]

    for first, begin in enumerate(given_at):
        for count, end in enumerate(given_at[first:], 1):
            assert count <= 4 + 5 * (end - begin) + 1e-6


def test_a_bounded_number_of_buckets_is_kept():
    buckets = Buckets(per_second=1, at_once=1)

    for number in range(30_000):
        buckets.take(str(number), 0.0)

    assert len(buckets._left) <= 10_000


def test_all_addresses_of_an_ipv6_network_are_one_stranger():
    assert stranger("2001:db8::1") == stranger("2001:db8::2:3")
    assert stranger("2001:db8::1") != stranger("2001:db8:0:1::1")
    assert stranger("::ffff:10.0.0.7") == stranger("10.0.0.7") == "10.0.0.7"
    assert stranger("") == ""
