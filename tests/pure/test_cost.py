"""What a run costs."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.cost import Bill, cost, expected_cost, share
from levare.model import Duration, Node, Request
from tests.situations import GIB, HOUR, Situation, a_job, a_node, a_run

USUAL = Duration(HOUR, 4 * HOUR)


def priced(name: str, price: float | None, *, gpus: int = 4) -> Node:
    return a_node(name, gpus=gpus, price=price)


def test_the_part_of_a_node_is_the_greatest_of_its_parts():
    node = a_node("atlas", gpus=4)

    assert share(node, {"atlas-0": 80 * GIB}, Request(gpus=1, cpus=4)) == 0.25
    assert share(node, {"atlas-0": 20 * GIB}, Request(gpus=1, gpu_memory_mib=20 * GIB, cpus=1)) == 0.0625
    assert share(node, {"atlas-0": 80 * GIB}, Request(gpus=1, cpus=16)) == 0.5
    assert share(node, {}, Request(cpus=1, memory_mib=64 * GIB)) == 0.25


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 8), st.integers(1, 64), st.integers(0, 1 << 20), st.integers(0, 4))
def test_a_part_is_never_more_than_the_whole(held: int, cpus: int, memory_mib: int, gpus: int):
    devices = {f"atlas-{number}": 80 * GIB for number in range(held)}

    part = share(a_node("atlas", gpus=gpus), devices, Request(gpus=held, cpus=cpus, memory_mib=memory_mib))

    assert 0 < part <= 1


def test_a_cost_is_price_by_part_by_hours_and_never_negative():
    assert cost(2.5, 0.25, 4 * HOUR) == 2.5
    assert cost(2.5, 0.25, timedelta(seconds=-1)) == 0


def test_a_run_is_told_its_usual_time_on_the_cheapest_and_its_promised_time_on_the_dearest():
    job = a_job(gpus=1, expected=USUAL)

    assert expected_cost(job, [priced("a", 4.0), priced("b", 8.0)]) == Bill(1.0, 8.0)
    assert expected_cost(a_job(gpus=4, nodes=2, expected=USUAL), [priced("a", 4.0), priced("b", 8.0)]) == Bill(12, 48)


def test_without_a_price_or_a_duration_there_is_no_cost_to_tell():
    assert expected_cost(a_job(gpus=1, expected=USUAL), [priced("a", None)]) is None
    assert expected_cost(a_job(gpus=1), [priced("a", 4.0)]) is None
    assert expected_cost(a_job(gpus=1, expected=USUAL), []) is None


def test_the_cost_is_that_of_the_node_on_which_it_would_start():
    dear, cheap = priced("dear", 8.0), a_node("cheap", a_run("x", 0, 1, 2, 3, node="cheap"), price=4.0)

    starts = Situation(a_job(gpus=1, expected=USUAL), [dear, cheap]).explain()
    waits = Situation(a_job(gpus=8, expected=USUAL), [dear, cheap]).explain()

    assert (starts.reasons, starts.cost) == ([], Bill(2.0, 8.0))
    assert waits.cost is None


def test_a_job_that_waits_is_told_the_cost_where_it_is_promised_to_start():
    busy = a_node("busy", a_run("x", 0, 1, 2, 3, node="busy"), price=4.0)
    later = a_node("later", a_run("y", 0, node="later", expected=Duration(8 * HOUR, 9 * HOUR)), gpus=1, price=100.0)

    found = Situation(a_job(gpus=1, expected=USUAL), [busy, later]).explain()

    assert found.cost == Bill(1.0, 4.0)
