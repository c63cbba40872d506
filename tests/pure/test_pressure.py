"""What lint finds in schedules beside their times: work that cannot run, crowds, too few GPUs, windows."""

from datetime import UTC, datetime, timedelta
from typing import Any

from levare.decide.outlook import Plan, Stage, expected_starts
from levare.decide.pressure import AHEAD, Finding, of_pressure, of_times, of_work
from levare.decide.timing import timing_of
from levare.model import Device, Duration, Node, Request, Window

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def a_plan(name: str, gpus: int = 0, cron: str = "0 3 * * *", team: str = "default", **timing: Any) -> Plan:
    stage = Stage(Request(gpus), team, gpus, Duration(HOUR, HOUR))
    return Plan(name, timing_of({"cron": cron, **timing}), [stage], "ada")


def a_node(name: str = "n1", gpus: int = 4, *windows: Window) -> Node:
    cards = [Device(f"{name}-{i}", i, 1024) for i in range(gpus)]
    return Node(name, "ready", 64, 65536, cards, windows=windows)


def found(*plans: Plan, nodes: list[Node], fleet: int = 4) -> list[Finding]:
    starts = expected_starts(plans, now=NOON, upto=NOON + AHEAD)
    return of_pressure(starts, nodes, {}, fleet=fleet)


def test_work_that_no_node_could_run_is_an_error_with_its_numbers():
    [finding] = of_work(a_plan("huge", 8), [a_node()], {})

    assert (finding.code, finding.level, finding.schedules) == ("can-never-run", "error", ("huge",))
    assert "8 whole GPUs" in finding.message
    assert not [*of_work(a_plan("small", 4), [a_node()], {})]
    assert not [*of_work(a_plan("huge", 8), [], {})]


def test_many_schedules_in_one_minute_are_one_crowd():
    [finding] = found(*(a_plan(f"s{i}") for i in range(5)), nodes=[a_node()])

    assert (finding.code, finding.schedules) == ("crowd", ("s0", "s1", "s2", "s3", "s4"))
    assert finding.message.startswith(
        "5 schedules start in the same minute, at 2026-01-02 03:00 UTC and 6 times more within 7 days."
    )
    assert len(finding.at) == 4
    assert not found(*(a_plan(f"s{i}") for i in range(4)), nodes=[a_node()])


def test_jitter_takes_a_crowd_apart():
    assert not found(*(a_plan(f"s{i}", jitter_seconds=7200) for i in range(5)), nodes=[a_node()])


def test_schedules_that_want_more_gpus_together_than_there_are_are_told_so():
    [finding] = found(a_plan("a", 3), a_plan("b", 2), a_plan("c"), nodes=[a_node()])

    assert (finding.code, finding.schedules) == ("short-of-gpus", ("a", "b"))
    assert "ask for 5 GPUs" in finding.message
    assert "there are 4" in finding.message
    assert not found(a_plan("a", 2), a_plan("b", 2), nodes=[a_node()])


def test_a_window_that_leaves_no_node_is_told_and_one_that_leaves_another_is_not():
    at_night = datetime(2026, 1, 2, 3, 30, tzinfo=UTC)
    window = Window("driver", "n1", at_night, at_night + HOUR)

    [finding] = found(a_plan("a", 3), nodes=[a_node("n1", 4, window)])

    assert (finding.code, finding.schedules) == ("window", ("a",))
    assert finding.message.startswith("Window driver leaves no node that could run it at 2026-01-02 03:00 UTC:")
    assert not found(a_plan("a", 3), nodes=[a_node("n1", 4, window), a_node("n2", 4)])
    assert found(a_plan("a", 3), nodes=[a_node("n1", 4, window), a_node("n2", 1)])


def test_a_window_of_the_own_team_is_in_nobodys_way():
    at_night = datetime(2026, 1, 2, 3, tzinfo=UTC)
    window = Window("paper", "n1", at_night, at_night + HOUR, "vision", "ada")

    assert not found(a_plan("a", team="vision"), nodes=[a_node("n1", 4, window)])
    assert found(a_plan("a", team="speech"), nodes=[a_node("n1", 4, window)])


def test_a_schedule_that_is_done_is_no_error_and_one_that_was_never_due_is():
    once = timing_of({"at": NOON.isoformat()})

    assert of_times("once", once, now=NOON + HOUR, declared_at=NOON - HOUR) == []
    [finding] = of_times("once", once, now=NOON + 2 * HOUR, declared_at=NOON + HOUR)
    assert (finding.code, finding.level) == ("never", "error")
