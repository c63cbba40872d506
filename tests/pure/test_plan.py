"""Plans as values: what differs, what that is called, and that what they foretell comes true."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide import due, effect
from levare.decide.effect import InFlight
from levare.decide.forecast import starts
from levare.decide.plan import Field, Plan, differences, digest_after, digest_of, fields, outright
from levare.decide.sharing import Books
from levare.decide.timing import timing_of
from levare.model import Account, Declared, Duration, Quota, Sharing, Waiting
from levare.model.changes import Change
from tests.pure.world import MINUTE, NOON, World, a_job, a_node, a_run

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
WORK = {"job": {"command": ["true"]}}


def a_schedule(name: str = "nightly", **document: Any) -> Declared:
    return Declared("schedule", name, {"cron": "0 3 * * *", **WORK, **document})


def a_team(name: str = "a", **document: Any) -> Declared:
    return Declared("team", name, document)


def changes(before: list[Declared], after: list[Declared]) -> list[tuple[str, str, str]]:
    return [(each.action, each.kind, each.name) for each in differences(before, after).changes]


def test_what_is_new_gone_and_other_is_told_in_the_order_in_which_it_is_made():
    before = [a_schedule("b"), a_schedule("c"), a_team("z")]
    after = [a_schedule("a"), a_schedule("b", zone="Europe/Berlin"), a_team("y")]

    assert changes(before, after) == [
        ("create", "team", "y"),
        ("remove", "team", "z"),
        ("create", "schedule", "a"),
        ("update", "schedule", "b"),
        ("remove", "schedule", "c"),
    ]
    assert changes(before, before[::-1]) == []


def test_what_means_the_same_is_no_change_and_fields_are_told_with_their_usual_values():
    def normal(_kind: str, document: Any) -> Any:
        return {"zone": "UTC", **document}

    told, plain = a_schedule(zone="UTC"), a_schedule()
    assert differences([plain], [told], normal=normal).changes == []
    [change] = differences([plain], [a_schedule(zone="Europe/Berlin")], normal=normal).changes
    assert fields(change, normal) == [Field("zone", "UTC", "Europe/Berlin")]


def test_a_field_is_told_by_its_path_and_an_element_by_its_name():
    def a_pipeline(*steps: dict[str, Any]) -> dict[str, Any]:
        return {"pipeline": {"jobs": list(steps)}, "parameters": {"a": [1, 2]}}

    before = a_pipeline({"step": "train", "gpus": 1}, {"step": "check"})
    after = a_pipeline({"step": "check"}, {"step": "train", "gpus": 2, "env": {"A": "1"}}) | {"parameters": {"a": [1]}}

    assert fields(Change("schedule", "s", before, after)) == [
        Field("pipeline.jobs[train].gpus", 1, 2),
        Field("pipeline.jobs[train].env.A", None, "1"),
        Field("parameters.a", [1, 2], [1]),
    ]


def test_what_is_paused_stays_so_where_nothing_is_said_and_is_told():
    paused = a_schedule(paused=True)

    found = differences([paused], [a_schedule()])
    assert (found.changes, found.left_paused) == ([], [("schedule", "nightly")])
    [resumed] = differences([paused], [a_schedule(paused=False)]).changes
    assert resumed.after == a_schedule().document
    assert differences([paused], outright([a_schedule()])).changes == [resumed]


def test_a_plan_that_was_changed_by_hand_is_another_plan():
    plan = Plan(3, [Change("team", "a", None, {"weight": 2.0})])

    others = (
        replace(plan, base=4),
        replace(plan, in_flight="finish"),
        replace(plan, rollback_to=1),
        replace(plan, changes=[Change("team", "a", None, {"weight": 3.0})]),
    )
    assert len({plan.digest, *(each.digest for each in others)}) == 5


objects = st.dictionaries(
    st.tuples(st.sampled_from(["team", "schedule", "trigger"]), st.sampled_from("abcdef")),
    st.dictionaries(st.sampled_from(["x", "y"]), st.one_of(st.integers(0, 3), st.lists(st.integers(0, 2), max_size=2))),
).map(lambda found: [Declared(kind, name, document) for (kind, name), document in found.items()])  # pyright: ignore[reportArgumentType]


@settings(max_examples=100)
@given(objects, objects)
def test_the_changes_lead_from_any_declaration_to_any_other_and_so_does_the_digest(
    before: list[Declared], after: list[Declared]
):
    declared = {(each.kind, each.name): each.document for each in before}
    found = differences(before, after).changes
    for each in found:
        assert declared.pop((each.kind, each.name), None) == each.before  # pyright: ignore[reportArgumentType]
        if each.after is not None:
            declared[each.kind, each.name] = each.after  # pyright: ignore[reportArgumentType]

    assert declared == {(each.kind, each.name): each.document for each in after}
    assert digest_after(digest_of(before), found) == digest_of(after)
    assert differences(after, after).changes == []


# What it foretells


def test_the_fire_times_are_those_at_which_it_then_fires():
    before, after = (
        a_schedule(jitter_seconds=600).document,
        a_schedule(cron="30 */2 * * *", jitter_seconds=600).document,
    )
    [told] = effect.fires([Change("schedule", "nightly", before, after)], {"nightly": NOON - HOUR}, now=NOON)

    for document, settled_to, foretold in ((before, NOON - HOUR, told.before), (after, NOON, told.after)):
        schedule = due.Schedule("nightly", timing_of(document), settled_to)
        fired: list[datetime] = []
        now = NOON
        while len(fired) < effect.FIRES:
            settled = due.settle(schedule, now=now)
            fired += [now for fire in settled.fires if fire.outcome == due.RUN]
            schedule = replace(schedule, settled_to=settled.settled_to)
            assert settled.fires_at is not None
            now = max(now, settled.fires_at)
        assert fired == foretold


@pytest.mark.parametrize(("before", "after"), [(None, {}), ({}, None), ({}, {"paused": True}), ({"paused": True}, {})])
def test_what_begins_or_ends_to_fire_has_times_on_one_side_only(before: Any, after: Any):
    documents = [None if each is None else a_schedule(**each).document for each in (before, after)]

    [told] = effect.fires([Change("schedule", "nightly", *documents)], {}, now=NOON)

    assert [bool(told.before), bool(told.after)] == [each == {} for each in (before, after)]
    assert effect.fires([Change("schedule", "nightly", documents[0], documents[0])], {}, now=NOON) == []


def a_queue(dice: Random) -> list[Waiting]:
    """Nobody makes room for another: all are as urgent, and nobody borrows."""

    def a_time() -> Duration:
        lasts = MINUTE * dice.choice([5, 20, 60, 61, 200])
        return Duration(lasts, lasts)

    return [
        a_job(
            f"j{number}",
            gpus=dice.randint(1, 4),
            team=dice.choice("abc"),
            since=NOON - timedelta(minutes=dice.randint(0, 60)),
            expected=a_time(),
        )
        for number in range(15)
    ]


def started(world: World) -> dict[str, datetime]:
    """When each starts in a world in which the decisions come true."""
    world.decide()
    while world.waiting and (end := world.next_end()):
        world.advance(end)
        world.decide()
    return world.started


@settings(max_examples=40)
@given(st.integers(0, 2**32))
def test_waiting_jobs_start_when_and_in_the_order_that_was_foretold(seed: int):
    dice = Random(seed)
    queue, nodes = a_queue(dice), [a_node("n0", gpus=4), a_node("n1", gpus=dice.randint(2, 4))]
    for weights in ((1, 1, 1), (dice.randint(1, 9), dice.randint(1, 9), dice.randint(1, 9))):
        accounts = {
            name: Account(name, weight, Quota(gpus=5, borrow=False))
            for name, weight in zip("abc", weights, strict=True)
        }
        sharing = Sharing(accounts)
        world = World.of(nodes, sharing=sharing, preemptible=False, min_runtime=DAY)
        world.submit(*queue)

        foretold = starts(queue, nodes, now=NOON, sharing=sharing)
        happened = started(world)

        assert foretold == happened
        assert sorted(foretold, key=foretold.__getitem__) == sorted(happened, key=happened.__getitem__)


def test_only_jobs_that_move_by_a_minute_or_more_are_told_the_next_first():
    names = {name: (name, "a") for name in "wxyz"}
    before = {"w": NOON, "x": NOON + HOUR, "y": NOON, "z": NOON}
    after = {"w": NOON + MINUTE / 2, "x": NOON + MINUTE, "y": NOON + HOUR}

    found = effect.shifts(names, before, after)

    assert [(each.job, each.before, each.after) for each in found] == [
        ("x", NOON + HOUR, NOON + MINUTE),
        ("y", NOON, NOON + HOUR),
        ("z", NOON, None),
    ]


def a_run_of(job: str, **more: Any) -> InFlight:
    plain = {"team": "a", "user": "ada", "state": "running", "node": "n0", "attempt": f"{job}-1"}
    return InFlight(job, job, **{**plain, **more})


REMOVED = Change("schedule", "nightly", a_schedule().document, None)
OTHER = Change("schedule", "nightly", a_schedule().document, a_schedule(job={"command": ["false"]}).document)
LATER = Change("schedule", "nightly", a_schedule().document, a_schedule(cron="0 4 * * *").document)
KEPT = Change(
    "window", "upgrade", None, {"nodes": ["n0"], "starts": "2026-01-01T15:00:00Z", "ends": "2026-01-02T00:00:00Z"}
)
POOL = Change("pool", "spare", {}, None)


@pytest.mark.parametrize(
    ("change", "job", "fates"),
    [
        (REMOVED, a_run_of("x", schedule="nightly"), ("keep", "finish", "requeue")),
        (
            REMOVED,
            a_run_of("x", schedule="nightly", state="waiting", node=None, attempt=None),
            ("keep", "cancel", "keep"),
        ),
        (OTHER, a_run_of("x", schedule="nightly"), ("keep", "finish", "requeue")),
        (OTHER, a_run_of("x", schedule="nightly", node=None, attempt=None), ("keep", "keep", "keep")),
        (KEPT, a_run_of("x", usual_end=NOON + 9 * HOUR), ("keep", "finish", "requeue")),
        (KEPT, a_run_of("x", preemptible=False), ("keep", "finish", "keep")),
        (POOL, a_run_of("x", pool="spare"), ("keep", "finish", "requeue")),
    ],
)
def test_each_job_in_flight_that_a_change_is_about_is_told_what_becomes_of_it(
    change: Change, job: InFlight, fates: tuple[str, ...]
):
    found = [effect.touched([change], [job], asked, now=NOON) for asked in ("keep", "finish", "requeue")]

    assert tuple(each.fate for [each] in found) == fates
    assert all(each.because for [each] in found)


@pytest.mark.parametrize(
    ("change", "job"),
    [
        (LATER, a_run_of("x", schedule="nightly")),
        (REMOVED, a_run_of("x", schedule="weekly")),
        (KEPT, a_run_of("x", usual_end=NOON + HOUR)),
        (KEPT, a_run_of("x", node="n1")),
    ],
)
def test_a_job_that_a_change_is_not_about_is_not_told(change: Change, job: InFlight):
    assert effect.touched([change], [job], "requeue", now=NOON) == []


def test_a_quota_that_is_lower_than_what_is_held_is_told():
    job = a_job("x", gpus=3)
    node = a_node("n0", held=[a_run(job, {"n0-0": 81920, "n0-1": 81920, "n0-2": 81920})])
    sharing = Sharing({"a": Account("a", 1, Quota(gpus=2, running=1, queued=4)), "b": Account("b", 1, Quota(gpus=0))})

    found = effect.over_quota(["a"], Books(sharing, [node], now=NOON), {"a": 5})

    assert [(each.account, each.what, each.used, each.limit) for each in found] == [
        ("a", "gpus", 3, 2),
        ("a", "queued", 5, 4),
    ]


def test_who_a_window_admits_is_not_touched_by_it():
    document = {**(KEPT.after or {}), "team": "a", "user": "ada"}
    mine, other = a_run_of("x"), a_run_of("y", user="ben")

    found = effect.touched([Change("window", "ours", None, document)], [mine, other], "keep", now=NOON)

    assert [each.job for each in found] == ["y"]
