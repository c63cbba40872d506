"""What holds when decisions come true one after another: promises, an end to preemption, a turn for everyone."""

from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.capacity import Room
from levare.decide.order import AGEING
from levare.decide.placement import PATIENCE, PROMISES
from levare.decide.sharing import Books
from levare.model import Account, Duration, Quota, Sharing, Waiting, Window
from tests.pure.world import MINUTE, NOON, World, a_job, a_node

seeds = st.integers(0, 2**32)
HOUR = timedelta(hours=1)


def exactly(time: timedelta) -> Duration:
    return Duration(time, time)


def a_queue(dice: Random, size: int) -> list[Waiting]:
    return [
        a_job(
            f"j{number}",
            gpus=dice.choice([0, 1, 1, 2, 3, 4]),
            cpus=dice.randint(1, 6),
            nodes=dice.choice([1, 1, 1, 1, 2]),
            priority=dice.randint(0, 9),
            since=NOON - timedelta(minutes=dice.randint(0, 60)),
            expected=exactly(MINUTE * dice.choice([5, 20, 60, 61, 200])),
        )
        for number in range(size)
    ]


@settings(max_examples=40, deadline=None)
@given(seeds)
def test_the_first_that_does_not_fit_starts_when_promised_if_runs_take_as_long_as_promised(seed: int):
    dice = Random(seed)
    nodes = [a_node(f"n{number}", gpus=dice.randint(1, 4), cpus=dice.randint(4, 12)) for number in range(2)]
    world, promised = World.of(nodes, preemptible=False), dict[str, datetime]()
    world.submit(*a_queue(dice, 12))
    while True:
        for job, promise in list(world.decide().promises.items())[:1]:
            promised[job] = min(promise.at, promised.get(job, promise.at))
        if (end := world.next_end()) is None:
            break
        world.advance(end)

    assert {job: world.started[job] for job, at in promised.items() if world.started[job] > at} == {}


def settle(world: World, steps: int = 40) -> None:
    """Decide until nothing changes any more; what makes room has time to."""
    for _ in range(steps):
        decision = world.decide()
        if not (decision.placements or decision.preemptions or any(held.is_ending for held in world.running())):
            return
        world.advance(world.now + world.grace)
    pytest.fail("still changes after so many decisions with nothing from outside")


@settings(max_examples=60, deadline=None)
@given(seeds)
def test_whoever_is_within_quota_gets_back_what_others_have_borrowed(seed: int):
    dice = Random(seed)
    quotas = {team: Account(team, quota=Quota(gpus=dice.randint(0, 4))) for team in "ab"}
    world = World.of([a_node("n0"), a_node("n1", gpus=2)], sharing=Sharing(quotas), preemptible=False)
    for team in dice.sample("ab", 2):
        queue = a_queue(dice, dice.randint(1, 8))
        world.submit(
            *(
                replace(job, job_id=f"{team}{job.job_id}", team=team, expected=None, since=world.now, request=one(job))
                for job in queue
            )
        )
        settle(world)

    for job in world.waiting.values():
        assert not could_reclaim(world, job)


def one(job: Waiting):
    return replace(job.request, nodes=1)


def could_reclaim(world: World, job: Waiting) -> bool:
    nodes = list(world.nodes.values())
    books = Books(world.sharing, nodes, now=world.now)
    if books.borrows(job) or not job.request.gpus:
        return False
    borrowed = {held.attempt_id for held in world.running() if held.team != job.team and books.is_borrowed(held)}
    left = [replace(node, held=[held for held in node.held if held.attempt_id not in borrowed]) for node in nodes]
    return bool(borrowed) and any(Room(node).fits(job.request) for node in left)


def test_nobody_ends_another_twice_in_ten_thousand_random_steps():
    dice, steps = Random(7), 0
    quotas = {team: Account(team, quota=Quota(gpus=gpus)) for team, gpus in (("a", 2), ("b", 1))}
    world = World.of(
        [a_node("n0", gpus=2, cpus=4), a_node("n1", gpus=2, cpus=4)],
        sharing=Sharing(quotas),
        min_runtime=5 * MINUTE,
    )
    while steps < 10_000:
        disturb(world, dice, f"j{steps}")
        pairs = list[tuple[str, str]]()
        for _ in range(dice.choice([3, 25])):
            steps += 1
            pairs += sorted({(each.job_id, each.for_job) for each in world.decide().preemptions})
            world.advance(world.now + dice.choice([world.grace, MINUTE, 6 * MINUTE]))
        assert len(pairs) == len(set(pairs)), pairs
        assert len(pairs) <= 4 * len(world.jobs)


def disturb(world: World, dice: Random, name: str) -> None:
    """Something ends, or something comes, so that a handful wait."""
    running = [held.attempt_id for held in world.running()]
    if running and (len(world.waiting) > 5 or dice.random() < 0.5):
        world.end(dice.choice(running))
    else:
        team, gpus = dice.choice("abc"), dice.choice([0, 1, 1, 2])
        nodes = dice.choice([1, 1, 1, 2])
        about = {"cpus": dice.randint(1, 3), "priority": dice.randint(0, 9), "user": dice.choice("uv")}
        world.submit(a_job(name, gpus=gpus, nodes=nodes, since=world.now, team=team, **about))


def flooded(big: Waiting, *, known: bool, **world) -> timedelta:
    """How long a job waits while there are always six others, each of which comes first when it is new."""
    fleet = World.of([a_node("n0", gpus=4)], preemptible=False, **world)
    fleet.submit(big)
    number, lasts = 0, dict[str, timedelta]()
    while big.job_id not in fleet.started and fleet.now - NOON < 24 * HOUR:
        for _ in range(6 - len(fleet.waiting)):
            number += 1
            one = a_job(f"s{number}", priority=9, since=fleet.now, gpus=1, resources=(("matlab", 1),))
            lasts[one.job_id] = (15 + 5 * (number % 4)) * MINUTE
            fleet.submit(replace(one, user=f"v{number % 3}", expected=exactly(lasts[one.job_id]) if known else None))
        fleet.decide()
        for held in fleet.running():
            if held.placed_at and fleet.now - held.placed_at >= lasts.get(held.job_id, HOUR):
                fleet.end(held.attempt_id)
        fleet.advance(fleet.now + 5 * MINUTE)
    return fleet.started.get(big.job_id, NOON + 24 * HOUR) - NOON


BOUND = 9 * AGEING + PATIENCE + 30 * MINUTE


@pytest.mark.parametrize("known", [True, False], ids=["promised", "by patience"])
@pytest.mark.parametrize("user", ["v0", "somebody else"])
def test_a_big_job_starts_however_many_small_ones_with_more_priority_come(user: str, known: bool):
    big = a_job("big", priority=0, gpus=4, user=user, expected=exactly(HOUR) if known else None)

    assert flooded(big, known=known) <= BOUND


def test_a_job_that_needs_many_licences_gets_them_though_others_take_one_at_a_time():
    big = a_job("big", priority=0, gpus=0, user="v0", resources=(("matlab", 3),))

    assert flooded(big, known=True, sharing=Sharing(licences={"matlab": 3})) <= BOUND


def test_no_node_is_kept_for_a_job_that_a_label_forbids_it():
    big = a_job("big", gpus=4, require=(("disk", "ssd"),), since=NOON - PATIENCE)
    world = World.of([a_node("n0"), a_node("n1", labels={"disk": "ssd"})])
    world.submit(a_job("busy", gpus=1, priority=9, require=(("disk", "ssd"),)))
    world.decide()
    world.submit(big, a_job("small", gpus=4))
    world.decide()

    assert {"busy", "small"} <= world.started.keys()


def test_a_job_that_waits_only_because_of_the_first_of_its_lane_has_that_as_its_reason():
    """Its own time would do, but that of the first, with which it is taken to be alike, runs into a window."""
    long, short = exactly(120 * MINUTE), exactly(90 * MINUTE)
    repairs = [Window("repair", f"n{number}", NOON + 100 * MINUTE, NOON + 5 * HOUR) for number in range(PROMISES + 1)]
    world = World.of([a_node(repair.node, windows=[repair], labels={"name": repair.node}) for repair in repairs])
    world.submit(*(a_job(f"j{number}", priority=9, user=f"u{number}", expected=long) for number in range(PROMISES)))
    last = (("name", repairs[-1].node),)
    world.submit(a_job("first", expected=long, since=NOON - MINUTE, require=last))
    world.submit(a_job("second", expected=short, require=last))

    reasons = world.decide().reasons

    assert [reason.code for reason in reasons["first"]] == ["window"]
    assert [reason.code for reason in reasons["second"]] == ["behind-others"]


def contest(**about) -> World:
    """A weak job runs; an urgent one of a team that has used a lot ends it; another weak one would come first."""
    used = Sharing({"a": Account("a", use=1e7)})
    world = World.of([a_node("n0", gpus=1)], sharing=used, grace=5 * MINUTE, **about)
    world.submit(a_job("victim", gpus=1, team="b"))
    world.decide()
    world.submit(a_job("urgent", gpus=1, team="a", priority=9), a_job("next", gpus=1, team="c"))
    return world


def test_what_has_been_told_to_make_room_is_not_told_again():
    world = contest()

    told = [len(world.decide().preemptions) for _ in range(3)]

    assert told == [1, 0, 0]


def test_room_goes_to_the_job_that_it_was_made_for_even_if_others_come_first_in_the_queue():
    world = contest()
    world.decide()
    assert not world.decide().placements
    world.advance(world.now + world.grace)
    world.decide()

    assert [held.job_id for held in world.running()] == ["urgent"]
    assert len(world.preemptions) == 1


def test_what_is_being_left_to_one_job_is_not_counted_on_by_another():
    world = contest()
    world.decide()
    world.submit(a_job("later", gpus=1, team="c", priority=9, since=NOON - HOUR))
    decision = world.decide()

    assert next(reason.code for reason in decision.reasons["urgent"]) == "making-room"
    assert "making-room" not in [reason.code for reason in decision.reasons["later"]]


def test_room_that_is_made_for_a_weaker_job_is_not_counted_on_by_a_stronger_one_with_its_own():
    world = World.of([a_node("n0", gpus=1), a_node("n1", gpus=1)])
    world.submit(a_job("v0", gpus=1, priority=1, require=(), shunned=frozenset({"n1"})))
    world.submit(a_job("v1", gpus=1, priority=1, shunned=frozenset({"n0"})))
    world.decide()
    for victim, beneficiary in (("v0", "weak"), ("v1", "strong")):
        world.nodes = {
            name: replace(
                node,
                held=[
                    replace(held, is_ending=True, ending_for=beneficiary) if held.job_id == victim else held
                    for held in node.held
                ],
            )
            for name, node in world.nodes.items()
        }
    world.submit(a_job("weak", gpus=1, priority=5), a_job("strong", gpus=1, priority=9))

    reasons = world.decide().reasons

    assert reasons["strong"][0].message == "Room is being made for it on n1."
    assert reasons["weak"][0].message == "Room is being made for it on n0."


def test_the_node_is_cleared_that_loses_least_even_if_its_gpus_alone_would_lose_more():
    world = World.of([a_node("n0", gpus=1, cpus=9), a_node("n1", gpus=1, cpus=8)])
    world.submit(a_job("old", cpus=8, priority=1, shunned=frozenset({"n1"})))
    world.decide()
    world.advance(NOON + 10 * HOUR)
    world.submit(a_job("middle", gpus=1, cpus=8, priority=1, shunned=frozenset({"n0"})))
    world.decide()
    world.advance(NOON + 11 * HOUR)
    world.submit(a_job("new", gpus=1, cpus=1, priority=1, shunned=frozenset({"n1"})))
    world.decide()
    world.advance(NOON + 12 * HOUR)
    world.submit(a_job("urgent", gpus=1, cpus=4, priority=9))

    assert [each.job_id for each in world.decide().preemptions] == ["middle"]


def test_the_end_of_a_gang_frees_all_of_its_nodes_so_that_others_there_are_spared():
    world = World.of([a_node("n0", gpus=1), a_node("n1", gpus=2)])
    world.submit(a_job("gang", gpus=1, nodes=2, priority=1))
    world.decide()
    world.advance(NOON + HOUR)
    world.submit(a_job("single", gpus=1, priority=1))
    world.decide()
    world.advance(NOON + 2 * HOUR)
    world.submit(a_job("urgent", gpus=1, nodes=2, priority=9))

    assert {each.job_id for each in world.decide().preemptions} == {"gang"}


def test_what_is_left_over_by_a_job_with_a_promise_is_given_away_only_once():
    world = World.of([a_node("n0", gpus=4)], preemptible=False)
    world.submit(a_job("now", gpus=2, user="x", expected=exactly(HOUR)))
    world.decide()
    longer = [a_job(name, gpus=1, priority=1, expected=exactly(5 * HOUR), user=name) for name in ("one", "two")]
    world.submit(a_job("big", gpus=3, priority=9, expected=exactly(HOUR)), *longer)
    decision = world.decide()

    assert decision.promises["big"].at == NOON + HOUR
    assert [each.job_id for each in decision.placements] == ["one"]


def within_a_full_quota(*, lasts: timedelta | None) -> World:
    """Of a quota of four GPUs three run, for an hour; one job has long waited for all four, and a small one comes."""
    hard = Sharing({"a": Account("a", quota=Quota(gpus=4, borrow=False))})
    world = World.of([a_node("n0", gpus=8)], sharing=hard)
    world.submit(*(a_job(f"r{number}", gpus=1, expected=exactly(HOUR)) for number in range(3)))
    world.decide()
    small = a_job("small", gpus=1, since=NOON - MINUTE, expected=lasts and exactly(lasts))
    world.submit(a_job("big", gpus=4, since=NOON - PATIENCE, expected=exactly(HOUR)), small)
    return world


@pytest.mark.parametrize("lasts", [None, 2 * HOUR])
def test_small_jobs_do_not_fill_a_hard_quota_for_ever_that_a_big_one_waits_for(lasts: timedelta | None):
    world = within_a_full_quota(lasts=lasts)
    decision = world.decide()

    assert "small" not in world.started
    assert [reason.code for reason in decision.reasons["small"]] == ["quota-kept"]
    world.advance(NOON + HOUR)
    world.decide()
    assert world.started["big"] == NOON + HOUR


def test_what_ends_before_a_hard_quota_has_room_for_a_big_job_may_start_meanwhile():
    world = within_a_full_quota(lasts=HOUR)
    world.decide()

    assert world.started["small"] == NOON


def test_nothing_is_kept_of_a_hard_quota_for_what_has_not_waited_long_or_could_never_fit():
    for big in (a_job("big", gpus=4, since=NOON - PATIENCE + MINUTE), a_job("big", gpus=5, since=NOON - PATIENCE)):
        world = within_a_full_quota(lasts=None)
        world.submit(big)
        world.decide()

        assert "small" in world.started
