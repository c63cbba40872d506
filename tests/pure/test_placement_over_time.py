"""What holds when decisions come true one after another: promises, an end to preemption, a turn for everyone."""

from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.capacity import Room
from levare.decide.order import AGEING
from levare.decide.placement import PATIENCE
from levare.decide.sharing import Books
from levare.model import Account, Duration, Quota, Sharing, Waiting
from tests.pure.scenes import Scene
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
def test_who_has_been_promised_a_time_starts_by_then_if_runs_take_as_long_as_promised(seed: int):
    dice = Random(seed)
    nodes = [a_node(f"n{number}", gpus=dice.randint(1, 4), cpus=dice.randint(4, 12)) for number in range(2)]
    world = World.of(nodes, preemptible=False)
    world.submit(*a_queue(dice, 12))
    world.decide()
    while (end := world.next_end()) is not None:
        world.advance(end)
        world.decide()

    for job, promise in world.promises:
        assert world.started[job] <= promise.at, (job, promise)


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
