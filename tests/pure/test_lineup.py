"""The queue as a whole says of each job what `why` says of it alone."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.explain import explain
from levare.decide.lineup import FORESEEN, lineup
from levare.model import Duration, Node, Sharing, Waiting
from tests.pure.world import CARD, NOON, a_job, a_node, a_run

HOUR = timedelta(hours=1)
RUNS = Duration(HOUR, 2 * HOUR)
SHARING = Sharing()


def full_node() -> Node:
    running = a_job("r", gpus=4, expected=RUNS)
    devices = {f"n-{index}": CARD for index in range(4)}
    return a_node("n", held=[a_run(running, devices, placed_at=NOON)])


def jobs(shapes: list[tuple[int, int, str, int]]) -> list[Waiting]:
    return [
        a_job(f"j{i}", gpus=gpus, priority=priority, team=team, since=NOON - timedelta(minutes=age), expected=RUNS)
        for i, (gpus, priority, team, age) in enumerate(shapes)
    ]


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(1, 4), st.integers(0, 9), st.sampled_from("ab"), st.integers(0, 90)),
        min_size=1,
        max_size=6,
    )
)
def test_a_place_is_one_behind_those_that_come_first(shapes: list[tuple[int, int, str, int]]):
    waiting, nodes = jobs(shapes), [full_node()]

    stands = lineup(waiting, nodes, now=NOON, sharing=SHARING)

    assert sorted(stand.position for stand in stands) == list(range(1, len(waiting) + 1))
    for stand in stands:
        alone = explain(stand.job, waiting, nodes, now=NOON, sharing=SHARING)
        assert stand.position == alone.jobs_ahead + 1
        assert stand.from_age == alone.weight.from_age
        assert list(stand.reasons) == list(alone.reasons)[: len(stand.reasons)]
        assert stand.position > FORESEEN or stand.estimate == alone.estimate


def test_what_fits_starts_now_and_nothing_is_said_of_an_empty_queue():
    [stand] = lineup([a_job("a", gpus=1)], [a_node("n")], now=NOON, sharing=SHARING)

    assert (stand.reasons, stand.estimate and stand.estimate.typical) == ((), NOON)
    assert lineup([], [a_node("n")], now=NOON, sharing=SHARING) == []


def test_the_start_of_what_can_never_run_is_not_foreseen():
    [stand] = lineup([a_job("a", gpus=9)], [a_node("n")], now=NOON, sharing=SHARING)

    assert [reason.kind for reason in stand.reasons] == ["can-never-run"]
    assert stand.estimate is None
