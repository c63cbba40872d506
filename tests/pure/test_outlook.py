"""The load that schedules bring: who holds how much when, where that is too much, and when there is room."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.outlook import (
    HOUR,
    MOST_STARTS,
    QUARTER,
    Hold,
    Plan,
    Stage,
    best_slot,
    expected_starts,
    holds_of,
    hours,
    kept_by_windows,
    peaks,
)
from levare.decide.timing import timing_of
from levare.model import Device, Duration, Node, Request, Window

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def a_duration(hours: float, promised: float | None = None) -> Duration:
    return Duration(hours * HOUR, (promised or hours) * HOUR)


def a_plan(name: str = "nightly", gpus: float = 2, duration: Duration | None = None, **definition: Any) -> Plan:
    stage = Stage(Request(int(gpus)), gpus=gpus, duration=duration or a_duration(1))
    return Plan(name, timing_of(definition or {"cron": "0 * * * *"}), [stage])


def test_every_start_to_come_is_expected_once_the_earliest_first():
    plans = [a_plan("b", cron="0 14 * * *"), a_plan("a", cron="0 13,14 * * *")]

    starts = expected_starts(plans, now=NOON, upto=NOON + 3 * HOUR)

    assert [(start.plan.name, start.at) for start in starts] == [
        ("a", NOON + HOUR),
        ("a", NOON + 2 * HOUR),
        ("b", NOON + 2 * HOUR),
    ]


def test_what_starts_very_often_is_a_steady_load():
    [start] = expected_starts([a_plan(gpus=1, every_seconds=60)], now=NOON, upto=NOON + WEEK)

    [hold] = holds_of([start], is_promised=False)

    assert start.until == NOON + WEEK
    assert abs(start.count - WEEK / timedelta(minutes=1)) <= 1 < MOST_STARTS
    assert round(hold.gpus) == 60


def test_the_steps_of_a_pipeline_hold_one_after_the_other():
    first = Stage(Request(1), gpus=1, duration=a_duration(1))
    second = Stage(Request(4), gpus=4, duration=a_duration(1, 2), after=HOUR)
    plan = Plan("p", timing_of({"at": (NOON + HOUR).isoformat()}), [first, second])

    found = hours(expected_starts([plan], now=NOON, upto=NOON + WEEK), [], fleet=8, now=NOON, count=24)

    assert [(hour.at, hour.gpus, hour.gpus_at_most) for hour in found] == [
        (NOON + HOUR, 1, 1),
        (NOON + 2 * HOUR, 4, 4),
        (NOON + 3 * HOUR, 0, 4),
    ]
    assert (plan.gpus, plan.taken) == (4, a_duration(2, 3))


def test_hours_in_which_schedules_and_windows_want_more_than_there_is_are_conflicts():
    starts = expected_starts([a_plan("a", 3), a_plan("b", 3)], now=NOON, upto=NOON + 2 * HOUR)
    window = Window("driver", "n1", NOON + 2 * HOUR, NOON + 3 * HOUR)
    node = Node("n1", "ready", 8, 1024, [Device(f"g{i}", i, 1024) for i in range(4)], windows=[window])

    found = hours(starts, kept_by_windows([node]), fleet=8, now=NOON, count=3)

    assert [(hour.gpus, hour.kept, hour.is_conflict) for hour in found] == [(6, 0, False), (6, 4, True)]
    assert found[0].schedules == ["a", "b"]


def test_of_a_job_of_which_nothing_is_known_an_hour_is_taken():
    plan = Plan("new", timing_of({"cron": "@daily"}), [Stage(Request(1), gpus=1)])

    assert (plan.is_known, plan.taken) == (False, a_duration(1))


def test_a_slot_is_where_the_least_is_held_and_the_earliest_of_those():
    holds = [Hold("a", 2, NOON, NOON + 4 * HOUR), Hold("b", 1, NOON + 4 * HOUR, NOON + 8 * HOUR)]

    slot = best_slot(holds, 2, 2 * HOUR, fleet=4, now=NOON + timedelta(minutes=1), upto=NOON + 8 * HOUR)

    assert slot
    assert (slot.at, slot.until, slot.busy) == (NOON + 4 * HOUR, NOON + 6 * HOUR, 1)


def test_where_there_is_never_room_there_is_no_slot():
    holds = [Hold("a", 3, NOON, NOON + WEEK)]

    assert best_slot(holds, 2, HOUR, fleet=4, now=NOON, upto=NOON + WEEK) is None
    assert best_slot([], 5, HOUR, fleet=4, now=NOON, upto=NOON + WEEK) is None
    assert best_slot([], 1, 2 * WEEK, fleet=4, now=NOON, upto=NOON + WEEK) is None


some_holds = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 40), st.integers(1, 20)).map(
        lambda hold: Hold("s", hold[0], NOON + hold[1] * QUARTER / 3, NOON + (hold[1] + hold[2]) * QUARTER / 3)
    ),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(some_holds, st.integers(1, 6), st.integers(1, 8))
def test_a_slot_never_holds_more_than_the_fleet_and_no_other_is_emptier(holds: list[Hold], gpus: int, quarters: int):
    upto, length = NOON + 6 * HOUR, quarters * QUARTER

    slot = best_slot(holds, gpus, length, fleet=6, now=NOON, upto=upto)

    cells = peaks(holds, NOON, QUARTER, 24)
    loads = {
        place: sum(cells[place : place + quarters]) / quarters
        for place in range(25 - quarters)
        if max(cells[place : place + quarters]) + gpus <= 6
    }
    assert (slot is None) == (not loads)
    if slot:
        assert abs(slot.busy - min(loads.values())) < 0.001
        for minute in range(0, int(length / timedelta(minutes=1)), 5):
            at = slot.at + timedelta(minutes=minute)
            assert sum(hold.gpus for hold in holds if hold.start <= at < hold.end) + gpus <= 6
