from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.gangs import decisive, partings
from levare.model import ATTEMPT_STATES, LIVE, Member

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def a_member(rank: int, state: str, *, after: int = 0, exit_code: int | None = None, was_ended: bool = False) -> Member:
    ended_at = None if state in LIVE else NOON + timedelta(seconds=after)
    return Member(f"j-1.{rank}", rank, f"n{rank}", state, exit_code, ended_at, was_ended)


@st.composite
def gangs(draw: st.DrawFn) -> list[Member]:
    states = draw(st.lists(st.sampled_from(ATTEMPT_STATES), min_size=1, max_size=4))
    return [
        a_member(rank, state, after=draw(st.integers(0, 3)), was_ended=draw(st.booleans()))
        for rank, state in enumerate(states)
    ]


def test_a_gang_succeeds_when_all_of_it_has():
    members = [a_member(1, "succeeded", after=1), a_member(0, "succeeded", after=2)]

    assert decisive(members) == members[1]


def test_the_first_failure_decides_and_not_what_it_ended():
    members = [
        a_member(0, "cancelled", after=1, was_ended=True),  # its clock is behind
        a_member(1, "failed", after=2, exit_code=3),
        a_member(2, "failed", after=3, exit_code=1),
        a_member(3, "succeeded", after=0),
    ]

    chosen = decisive(members)

    assert chosen is not None
    assert chosen.exit_code == 3


def test_the_others_are_told_who_ended_where_and_how():
    members = [
        a_member(0, "running"),
        a_member(1, "failed", exit_code=3),
        a_member(2, "starting", was_ended=True),
        a_member(3, "placed"),
    ]

    told = partings(members)

    assert [parting.attempt_id for parting in told] == ["j-1.0", "j-1.3"]
    assert {parting.reason for parting in told} == {
        "Another part of the gang ended: rank 1 on n1 failed with exit code 3."
    }


def test_a_part_that_was_lost_has_no_exit_code():
    (told,) = partings([a_member(0, "running"), a_member(1, "lost")])

    assert told.reason == "Another part of the gang ended: rank 1 on n1 was lost."


def test_who_has_succeeded_ends_nobody():
    assert partings([a_member(0, "running"), a_member(1, "succeeded")]) == []


@settings(max_examples=100)
@given(gangs())
def test_a_gang_is_decided_when_nobody_lives_and_by_a_failure_if_there_is_one(members: list[Member]):
    lives = any(member.state in LIVE for member in members)
    fails = any(member.state not in (*LIVE, "succeeded") for member in members)

    chosen = decisive(members)

    assert (chosen is None) == lives
    if chosen is not None:
        assert (chosen.state != "succeeded") == fails


@settings(max_examples=100)
@given(gangs())
def test_only_the_living_are_told_and_nobody_twice(members: list[Member]):
    told = {parting.attempt_id for parting in partings(members)}

    may_be = {member.attempt_id for member in members if member.state in LIVE and not member.was_ended}
    assert told in (set(), may_be)
