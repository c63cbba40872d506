from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.replay import GRACE, replay
from levare.decide.stage import CHECKPOINT_EVERY
from levare.decide.tally import tallies
from levare.model import Account, DayWindow, Device, Node, Quota, Request, Sharing
from levare.model.past import Course, PastJob, Stay
from tests.pure.world import CARD, GIB, NOON

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
LATER = NOON + 100 * HOUR
NOBODY = Sharing()


def a_node(name: str = "a", *, gpus: int = 2, price: float | None = None) -> Node:
    devices = [Device(f"{name}-{index}", index, CARD) for index in range(gpus)]
    return Node(name, "ready", 32, 256 * GIB, devices, price=price)


def a_job(name: str, *, gpus: int = 1, at: timedelta = timedelta(), hours: float = 1, **changes: object) -> PastJob:
    request = Request(gpus=gpus, nodes=int(str(changes.pop("nodes", 1))))
    job = PastJob(name, request, 5, NOON + at, hours * HOUR, family=f"default/default/{name}")
    return replace(job, **changes)


def of_quota(**teams: Quota) -> Sharing:
    return Sharing({name: Account(name, quota=quota) for name, quota in teams.items()})


def times(course: Course) -> Mapping[str, tuple[float, float]]:
    """Of each job, in hours after noon, when its last stay began and ended."""
    return {stay.job.id: ((stay.began - NOON) / HOUR, (stay.ended - NOON) / HOUR) for stay in course.stays}


def test_who_comes_first_starts_first_and_holds_it_for_as_long_as_it_did():
    jobs = [a_job("second", gpus=2, at=MINUTE), a_job("first", gpus=2, hours=2), a_job("third", at=2 * MINUTE)]

    course = replay(jobs, [a_node()], NOBODY, until=LATER)

    assert times(course) == {"first": (0, 2), "second": (2, 3), "third": (3, 4)}


def test_a_smaller_quota_makes_its_team_wait_and_lets_others_go_first():
    jobs = [a_job(f"v{number}", at=number * MINUTE, team="vision") for number in range(4)]
    jobs += [a_job("speech", at=5 * MINUTE, team="speech")]
    fleet = [a_node(gpus=4)]
    tight = of_quota(vision=Quota(gpus=2, borrow=False))

    before, after = replay(jobs, fleet, NOBODY, until=LATER), replay(jobs, fleet, tight, until=LATER)

    assert times(before)["speech"][0] == 1
    assert times(after)["speech"][0] == 5 / 60
    assert times(after)["v3"][0] > 1


def test_a_job_waits_for_what_it_needs_and_its_wait_counts_from_then():
    jobs = [a_job("train", hours=3), a_job("evaluate", after=("train", "long-gone"))]

    course = replay(jobs, [a_node()], NOBODY, until=LATER)

    assert times(course)["evaluate"] == (3, 4)
    assert tallies(course, jobs, [a_node()], since=NOON).all.wait_p95 == timedelta()


def test_who_needs_what_never_ends_neither_starts_nor_counts_as_a_wait():
    jobs = [a_job("huge", gpus=9), a_job("after-it", after=("huge",))]

    found = tallies(replay(jobs, [a_node()], NOBODY, until=LATER), jobs, [a_node()], since=NOON).all

    assert (found.jobs, found.waiting, found.wait_p50) == (2, 2, 100 * HOUR)


def test_who_makes_room_goes_on_from_its_last_checkpoint():
    weak = a_job("weak", gpus=2, hours=4, priority=1, saves=True)
    strong = a_job("strong", gpus=2, hours=1, at=100 * MINUTE, priority=9)

    course = replay([weak, strong], [a_node()], NOBODY, until=LATER)

    told_at = NOON + 100 * MINUTE
    first, between, last = course.stays
    assert (first.preempted, first.ended) == (True, told_at + GRACE)
    assert (between.job.id, between.began) == ("strong", told_at + GRACE)
    assert last.ended - last.began == 4 * HOUR - 3 * CHECKPOINT_EVERY


def test_who_saves_nothing_begins_anew_and_who_may_not_be_preempted_is_not():
    strong = a_job("strong", gpus=2, at=90 * MINUTE, priority=9)
    weak = a_job("weak", gpus=2, hours=4, priority=1)

    anew = replay([weak, strong], [a_node()], NOBODY, until=LATER)
    kept = replay([replace(weak, preemptible=False), strong], [a_node()], NOBODY, until=LATER)

    assert anew.stays[-1].ended - anew.stays[-1].began == 4 * HOUR
    assert times(kept) == {"weak": (0, 4), "strong": (4, 5)}


def test_a_gang_holds_all_its_nodes_and_costs_what_they_cost():
    fleet = [a_node("a", price=2.0), a_node("b", price=3.0)]
    jobs = [a_job("gang", gpus=2, nodes=2, hours=2)]

    found = tallies(replay(jobs, fleet, NOBODY, until=NOON + 4 * HOUR), jobs, fleet, since=NOON)

    assert (found.all.gpu_hours, found.all.cost, found.used) == (8, 10, 0.5)


def test_hours_of_the_day_pass_though_nothing_happens():
    night = a_job("night", only_between=DayWindow(22 * 60, 6 * 60))

    course = replay([night], [a_node()], NOBODY, until=LATER)

    assert times(course) == {"night": (10, 11)}


def test_gpu_hours_that_are_used_up_come_back_with_time():
    quota = of_quota(vision=Quota(gpu_hours=2, period=timedelta(days=1)))
    jobs = [a_job("first", hours=2, team="vision"), a_job("second", at=3 * HOUR, team="vision")]

    course = replay(jobs, [a_node()], quota, until=LATER)

    assert 26 <= times(course)["second"][0] <= 26.25


def test_only_what_lies_in_the_time_is_counted():
    jobs = [a_job("early", hours=10), a_job("late", at=5 * HOUR, hours=200)]
    course = replay(jobs, [a_node()], NOBODY, until=LATER)

    found = tallies(course, jobs, [a_node()], since=NOON + 5 * HOUR)

    assert found.all.jobs == 1
    assert found.all.gpu_hours == 5 + 95


def test_each_team_has_its_own_tally():
    jobs = [a_job("v", team="vision"), a_job("s", team="speech", gpus=2), a_job("w", team="speech", gpus=2)]

    found = tallies(replay(jobs, [a_node()], NOBODY, until=LATER), jobs, [a_node()], since=NOON).teams

    assert {team: (each.jobs, each.gpu_hours) for team, each in found.items()} == {"vision": (1, 1), "speech": (2, 4)}


def past(seed: int) -> tuple[list[PastJob], list[Node], Sharing]:
    dice = Random(seed)
    jobs = [
        a_job(
            f"j{number}",
            gpus=dice.randint(0, 3),
            at=MINUTE * dice.randint(0, 600),
            hours=dice.choice((0.01, 0.5, 3, 8)),
            nodes=dice.choice((1, 1, 1, 2)),
            priority=dice.randint(0, 9),
            team=dice.choice(("a", "b")),
            saves=dice.random() < 0.5,
            after=(f"j{dice.randint(0, number - 1)}",) if number and dice.random() < 0.2 else (),
        )
        for number in range(dice.randint(1, 40))
    ]
    quota = Quota(gpus=dice.randint(0, 4), running=dice.choice((None, 2)), borrow=False)
    return jobs, [a_node("a", gpus=4), a_node("b", gpus=2)], of_quota(b=quota)


@settings(max_examples=12)
@given(st.integers(0, 1 << 32))
def test_nothing_is_held_twice_nor_beyond_a_quota_and_each_job_does_its_work(seed: int):
    jobs, fleet, sharing = past(seed)

    course = replay(jobs, fleet, sharing, until=NOON + 30 * HOUR)

    moments = sorted({each for stay in course.stays for each in (stay.began, stay.ended)})
    for begin, end in pairwise(moments):
        during = [stay for stay in course.stays if stay.began <= begin and stay.ended >= end]
        held = [uuid for stay in during for _, devices in stay.held for uuid in devices]
        assert len(held) == len(set(held))
        assert len({stay.job.id for stay in during}) == len(during)
        limit = sharing.accounts["b"].quota
        assert sum(len(devices) for stay in during if stay.job.team == "b" for _, devices in stay.held) <= (
            limit.gpus or 0
        )
    for job in jobs:
        assert_whole(job, [stay for stay in course.stays if stay.job.id == job.id])


def assert_whole(job: PastJob, stays: list[Stay]) -> None:
    """What it did and kept is its work, once it has ended; it never ended before."""
    kept = [(stay.ended - stay.began) // CHECKPOINT_EVERY * CHECKPOINT_EVERY for stay in stays if stay.preempted]
    done = sum(kept, timedelta()) if job.saves else timedelta()
    ended = [stay for stay in stays if not stay.preempted and stay.ended < NOON + 30 * HOUR]
    assert len(ended) <= 1
    assert all(stay.began >= job.came_at for stay in stays)
    if ended:
        assert ended[0].ended - ended[0].began == job.work - done


@settings(max_examples=12)
@given(st.integers(0, 1 << 32))
def test_the_order_in_which_it_is_told_makes_no_difference(seed: int):
    jobs, fleet, sharing = past(seed)

    until = NOON + 15 * HOUR
    assert replay(jobs, fleet, sharing, until=until) == replay(jobs[::-1], fleet[::-1], sharing, until=until)
