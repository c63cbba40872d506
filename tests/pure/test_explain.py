import re
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.change import smallest_change
from levare.decide.explain import MOST_AHEAD, explain, verdict
from levare.decide.placement import place
from levare.model import Account, Duration, Held, Node, Quota, Sharing, Waiting, Window
from tests.situations import DOCUMENT, GIB, HOUR, MINUTE, NOON, SITUATIONS, Situation, a_job, a_node, a_run, told_in


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


EXPECTED: dict[str, tuple[str, list[tuple[str, float | None, float | None]], tuple[str, object] | None]] = {
    "no_gpu_free": ("will-wait", [("gpus-busy", 2, 1)], ("gpus", 1)),
    "shares_full": ("will-wait", [("gpus-busy", 1, 0)], ("gpu_memory_mib", 30 * GIB)),
    "too_big": ("can-never-run", [("too-many-gpus", 6, 4)], ("gpus", 4)),
    "no_such_label": ("can-never-run", [("no-such-node", 1, 0)], ("require", {})),
    "no_such_model": ("can-never-run", [("no-such-node", 1, 0)], ("gpu_model", None)),
    "no_such_resource": ("can-never-run", [("too-much-matlap", 1, 0)], ("resources", {})),
    "licence_used_up": ("will-wait", [("licence-busy", 2, 1)], ("resources", {"matlab": 1})),
    "hard_quota": ("will-wait", [("quota-gpus", 1, 0)], None),
    "borrowing": ("will-wait", [("gpus-busy", 1, 0), ("borrowing", 1, 0), ("behind-others", 0, 1)], None),
    "held_family": ("will-wait", [("family-held", None, None)], None),
    "maintenance": ("will-wait", [("window", None, None)], ("timeout_seconds", 3 * 3600)),
    "drained_and_excluded": (
        "will-wait",
        [("not-together", 1, 0), ("node-draining", None, None), ("node-excluded", None, None)],
        None,
    ),
    "kept_for_another": (
        "will-wait",
        [("node-kept", None, None), ("behind-others", 0, 1)],
        ("timeout_seconds", 3 * 3600),
    ),
    "behind_another_team": ("will-wait", [("gpus-busy", 1, 0), ("behind-others", 0, 1)], None),
    "foreign_gpu": ("will-wait", [("gpus-busy", 2, 1), ("gpu-foreign", None, None)], ("gpus", 1)),
    "gang": ("will-wait", [("gpus-busy", 4, 3)], ("gpus", 3)),
    "off_hours": ("will-wait", [("off-hours", None, None)], ("only_between", None)),
    "failed_there": ("will-wait", [("node-shunned", None, None)], None),
    "preempting": ("will-wait", [("making-room", None, None), ("gpus-busy", 2, 0)], None),
    "first_come": ("will-wait", [("gpus-busy", 4, 3), ("behind-others", 0, 7)], ("gpus", 3)),
}


def test_every_situation_is_expected():
    assert set(EXPECTED) == set(SITUATIONS)


@pytest.mark.parametrize("name", EXPECTED)
def test_each_situation_is_named_with_its_numbers_and_what_would_help(name: str):
    found = SITUATIONS[name]().explain()

    codes = [(reason.code, reason.asked, reason.available) for reason in found.reasons]
    change = found.change and (found.change.field, found.change.value)
    assert (verdict(found.reasons), codes, change) == EXPECTED[name]


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_said_fits_a_terminal(name: str):
    assert max(map(len, SITUATIONS[name]().print().splitlines())) <= 80


@pytest.mark.parametrize("name", SITUATIONS)
def test_what_is_said_is_in_the_right_number(name: str):
    said = " ".join(SITUATIONS[name]().print().split())

    wrong = re.findall(r"\b(?:1 (?:GPU|CPU|node|job)s|(?:[02-9]|\d\d+) (?:GPU|CPU|node|job)|there are 1)\b", said)
    assert wrong == []


def test_a_gang_is_told_how_many_nodes_have_enough():
    def said(*busy: int) -> str:
        nodes = [a_node(f"n{number}", cpus_held(number, cpus)) for number, cpus in enumerate(busy)]
        return Situation(a_job(cpus=20, nodes=3), nodes).explain().reasons[0].message

    def cpus_held(number: int, cpus: int) -> Held:
        return a_run("x", node=f"n{number}", cpus=cpus)

    assert said(0, 13, 14).endswith("each of 3 nodes; only 1 has that free, and no other has more than 19 (n1).")
    assert said(0, 0, 32).endswith("each of 3 nodes; only 2 have that free, and no other has any.")
    assert said(32, 32, 32).endswith("each of 3 nodes; no node has any free.")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"require": (("disk", "ssd"),)}, "Here disk is hdd or nvme."),
        ({"require": (("dsk", "nvme"),)}, "The labels here are disk, rack and zone; did you mean disk?"),
        ({"gpu_model": "h1000"}, "The only model of a GPU here is NVIDIA H100; did you mean H100?"),
        ({"gpus": 2, "gpu_memory_mib": 90 * GIB}, "90 GiB each on one node; no GPU has more than 80 GiB (n1)."),
        ({"gpu_model": "B200"}, "The only model of a GPU here is NVIDIA H100."),
        ({"resources": (("fpag", 1),)}, "The only resource here is fpga; did you mean fpga?"),
        ({"resources": (("zzz", 1),)}, "The only resource here is fpga."),
        ({"gpus": 5, "gpu_memory_mib": 40 * GIB}, "the largest node has 4."),
        ({"avoid": (("rack", "7"),)}, "No node is without the label rack=7."),
        ({"avoid": (("zone", "a"),), "nodes": 2}, "Only 1 of the 2 nodes that it asks for has no label zone=a."),
    ],
)
def test_what_nobody_has_is_said_with_what_there_is_and_the_nearest_name(asked: dict[str, Any], said: str):
    labels = [{"disk": "nvme", "zone": "a", "rack": "7"}, {"disk": "hdd", "rack": "7"}]
    nodes = [a_node(f"n{number}", labels=each, resources={"fpga": 1}) for number, each in enumerate(labels)]

    [reason] = Situation(a_job("mine", **asked), nodes).explain().reasons

    assert reason.kind == "can-never-run"
    assert reason.message.endswith(said)


def test_the_guide_shows_what_levare_why_says():
    shown = told_in(DOCUMENT.read_text())

    assert len(shown) >= 10
    assert shown == {name: SITUATIONS[name]().print() for name in shown}


def test_the_reasons_are_those_of_the_decision():
    for situation in (make() for make in SITUATIONS.values()):
        decision = place([*situation.others, situation.job], situation.nodes, now=NOON, sharing=situation.sharing)
        reasons = situation.explain().reasons

        assert list(reasons)[: len(decision.reasons["mine"])] == decision.reasons["mine"]


def test_a_job_that_starts_has_no_reason_and_starts_now():
    found = Situation(a_job(gpus=1), [a_node()]).explain()

    assert (found.reasons, found.change, verdict(found.reasons)) == ([], None, "starts-now")
    assert (found.estimate.typical, found.estimate.latest) == (NOON, NOON)


def test_the_estimate_runs_from_what_is_usual_to_what_is_promised():
    found = SITUATIONS["no_gpu_free"]().explain().estimate

    assert (found.typical, found.latest) == (NOON + 2 * HOUR, NOON + 3 * HOUR)


def test_nothing_is_estimated_from_runs_of_which_nothing_is_known():
    found = Situation(a_job(gpus=4), [a_node("atlas", a_run("x", 0, expected=None))]).explain().estimate

    assert (found.typical, found.latest) == (None, None)
    assert "1 job that runs has no limit (--timeout)" in found.message


def test_what_has_been_told_to_end_ends_for_that_though_nothing_tells_how_long_it_would_have_run():
    leaving = a_run("low", 0, 1, 2, 3, expected=None, is_ending=True, ending_for="mine", ends_by=NOON + 2 * MINUTE)

    found = Situation(a_job(gpus=2, priority=9), [a_node("atlas", leaving)]).explain()

    assert [reason.code for reason in found.reasons] == ["making-room", "gpus-busy"]
    assert found.estimate.typical == NOON + 2 * MINUTE


def test_a_job_behind_one_of_which_nothing_is_known_is_told_so():
    """Its end is what nobody knows, though it has not even begun: to say that no end would help were wrong."""
    first = a_job("first", waited=HOUR, gpus=4, team="t")
    found = Situation(a_job(gpus=2), [a_node("atlas", a_run("x", 0))], [first]).explain().estimate

    assert found.typical is None
    assert found.message.startswith("1 job that starts before it has no limit (--timeout), no progress and no earlier")


def test_the_end_of_a_window_and_the_hours_of_a_job_are_foreseen():
    assert SITUATIONS["maintenance"]().explain().estimate.typical == NOON + 5 * HOUR
    assert SITUATIONS["off_hours"]().explain().estimate.typical == NOON + 10 * HOUR


def test_what_comes_first_is_counted_and_only_the_first_are_named():
    situation = SITUATIONS["first_come"]()
    found = explain(situation.job, situation.others, situation.nodes, now=NOON, sharing=Sharing(), cut={"job0"})

    assert (found.jobs_ahead, found.is_least) == (7, True)
    assert [ahead.job for ahead in found.ahead] == [f"job{number}" for number in (6, 5, 4, 3, 2)]
    assert len(found.ahead) == MOST_AHEAD


def test_a_full_quota_or_other_hours_put_nobody_first():
    accounts = {"speech": Account("speech", quota=Quota(running=0))}
    other = replace(a_job("theirs", gpus=4, waited=HOUR), team="speech")

    found = Situation(a_job(gpus=4), [a_node("atlas", a_run("x", 0))], [other], Sharing(accounts)).explain()

    assert found.jobs_ahead == 0


def test_priority_age_and_deadline_are_told_apart():
    weight = SITUATIONS["first_come"]().explain().weight

    assert (weight.declared, weight.from_age, weight.from_deadline, weight.team.team) == (5, 1, 3, "default")


def test_a_window_that_is_near_leaves_minutes_and_one_that_has_begun_is_said_to_end():
    def found(starts: timedelta) -> tuple[str, object]:
        window = Window("driver", "atlas", NOON + starts, NOON + 5 * HOUR)
        told = Situation(a_job(gpus=1), [a_node(windows=[window])]).explain()
        return told.reasons[0].message, told.change and (told.change.value, told.change.message)

    assert found(20 * MINUTE)[1] == (900, "With a limit of 15 min (--timeout 15m) it would start now.")
    assert found(2 * MINUTE)[1] is None
    assert found(-MINUTE) == ("Node atlas is kept for the window 'driver' until 2030-01-04 17:00 UTC.", None)


def test_no_limit_is_proposed_that_its_kind_usually_outlasts():
    usual = Duration(4 * HOUR, 6 * HOUR)
    window = Window("driver", "atlas", NOON + 3 * HOUR, NOON + 5 * HOUR)

    assert Situation(a_job(gpus=1, expected=usual), [a_node(windows=[window])]).explain().change is None


hours = st.integers(1, 12).map(timedelta(hours=1).__mul__)
durations = st.none() | st.builds(lambda typical, more: Duration(typical, typical + more), hours, hours)
fleet_nodes = st.builds(
    lambda gpus, cpus, runs, lasts, priority, model: a_node(
        "X",
        *(
            a_run(f"r{number}", number, node="X", expected=lasts, priority=priority, team=f"t{number}")
            for number in range(min(runs, gpus))
        ),
        gpus=gpus,
        model=model,
        labels={"zone": model},
        resources={"kit": 2},
        windows=[Window("w", "X", NOON + 4 * HOUR, NOON + 6 * HOUR)] if cpus == 3 else [],
    ),
    st.integers(0, 4),
    st.integers(1, 4),
    st.integers(0, 4),
    durations,
    st.integers(0, 9),
    st.sampled_from(["H100", "A100"]),
)


def _named(node: Node, name: str) -> Node:
    cards = [replace(card, uuid=f"{name}-{card.index}") for card in node.devices]
    held = [
        replace(
            each,
            attempt_id=f"{name}{each.attempt_id}",
            job_id=f"{name}{each.job_id}",
            devices={uuid.replace("X", name): mib for uuid, mib in each.devices.items()},
        )
        for each in node.held
    ]
    windows = [replace(window, node=name) for window in node.windows]
    return replace(node, name=name, devices=cards, held=held, windows=windows)


fleets = st.lists(fleet_nodes, min_size=1, max_size=3).map(
    lambda nodes: [_named(node, name) for node, name in zip(nodes, "abc", strict=False)]
)
queues = st.lists(
    st.builds(
        lambda gpus, mib, priority, waited, team, lasts, label, kit, nodes: a_job(
            "?",
            waited=waited * MINUTE,
            priority=priority,
            team=team,
            expected=lasts,
            gpus=gpus,
            cpus=1 + gpus,
            gpu_memory_mib=mib if gpus else None,
            require=label,
            resources=kit,
            nodes=nodes,
        ),
        st.integers(0, 4),
        st.sampled_from([None, None, 20 * GIB, 70 * GIB]),
        st.integers(0, 9),
        st.integers(0, 90),
        st.sampled_from(["t0", "t1"]),
        durations,
        st.sampled_from([(), (), (("zone", "H100"),)]),
        st.sampled_from([(), (), (("kit", 1),), (("matlab", 2),)]),
        st.sampled_from([1, 1, 1, 2]),
    ),
    min_size=1,
    max_size=8,
).map(lambda jobs: [replace(job, job_id=f"j{number}") for number, job in enumerate(jobs)])
quotas = st.builds(Quota, gpus=st.none() | st.integers(1, 4), borrow=st.booleans())


def submitted_with(job: Waiting, field: str, value: Any) -> Waiting:
    """The job of a submission that differs in one field, submitted anew now."""
    if field == "timeout_seconds":
        limit = timedelta(seconds=value)
        typical = min(job.expected.typical, limit) if job.expected else limit
        return replace(job, since=NOON, expected=Duration(typical, limit))
    if field in ("priority", "only_between"):
        return replace(job, since=NOON, **{field: value})
    request = job.request
    return replace(
        job,
        since=NOON,
        request=replace(request, **{field: tuple(sorted(value.items()))})
        if isinstance(value, dict)
        else replace(request, **{field: value}),
    )


@settings(max_examples=60, deadline=None)
@given(queues, fleets, quotas)
def test_the_change_that_is_proposed_starts_the_job_at_the_next_decision(
    jobs: list[Waiting], nodes: list[Node], quota: Quota
):
    sharing = Sharing({"t0": Account("t0", quota=quota)}, licences={"matlab": 1})
    *others, job = jobs
    decision = place(jobs, nodes, now=NOON, sharing=sharing)

    change = smallest_change(job, others, nodes, now=NOON, sharing=sharing)

    if change and job.job_id in decision.reasons:
        changed = submitted_with(job, change.field, change.value)
        placed = place([*others, changed], nodes, now=NOON, sharing=sharing).placements
        assert job.job_id in {placement.job_id for placement in placed}, change


@settings(max_examples=25, deadline=None)
@given(queues, fleets, quotas)
def test_every_wait_is_explained_in_full(jobs: list[Waiting], nodes: list[Node], quota: Quota):
    sharing = Sharing({"t0": Account("t0", quota=quota)}, licences={"matlab": 1})
    *others, job = jobs

    found = explain(job, others, nodes, now=NOON, sharing=sharing)

    starts = any(each.job_id == job.job_id for each in place(jobs, nodes, now=NOON, sharing=sharing).placements)
    assert bool(found.reasons) != starts
    typical, latest = found.estimate.typical, found.estimate.latest
    assert not (typical and latest) or NOON <= typical <= latest
    assert found.jobs_ahead <= len(others)
    assert found.estimate.message


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (3, "2 of its elements start at the next decision, others as room comes."),
        (2, "It starts at the next decision."),
    ],
)
def test_an_array_starts_when_its_first_elements_do(count: int, told: str):
    array = replace(a_job("a", gpus=1), count=count)

    found = explain(array, [], [a_node("atlas", gpus=2)], now=NOON, sharing=Sharing())
    full = explain(array, [], [a_node("atlas", a_run("x", 0), gpus=1)], now=NOON, sharing=Sharing())

    assert (found.reasons, found.change, found.estimate.typical, found.estimate.message) == ([], None, NOON, told)
    assert verdict(full.reasons) == "will-wait"
