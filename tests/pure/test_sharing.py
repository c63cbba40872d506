from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.sharing import ENTRY, Books
from levare.decide.use import accrued, cost, fading
from levare.model import Account, Device, Duration, Held, Node, Quota, Request, Sharing, Waiting

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
GIB = 1024
CARD = 80 * GIB


def a_node(*held: Held, gpus: int = 64) -> Node:
    return Node("n1", "ready", 512, 999 * GIB, [Device(f"g{i}", i, CARD) for i in range(gpus)], held)


def a_run(job: str, *, gpus: int = 1, first: int = 0, ran: timedelta = HOUR, cpus: int = 0, **more) -> Held:
    devices = {f"g{first + i}": CARD for i in range(gpus)}
    return Held(f"{job}-1", job, devices, cpus, 0, placed_at=NOON - ran, **more)


def a_job(name: str = "j", *, team: str = "a", user: str = "u", project: str = "p", expected=None, **request):
    return Waiting(name, Request(**request), 5, NOON, team, project, user, expected=expected)


def books(*held: Held, accounts: Sequence[Account] = (), half_life: timedelta = 7 * DAY) -> Books:
    return Books(Sharing({each.name: each for each in accounts}, half_life), [a_node(*held)], now=NOON)


def a_quota(name: str = "a", **quota) -> Account:
    return Account(name, quota=Quota(**quota))


spans = st.timedeltas(timedelta(0), 90 * DAY)
lives = st.timedeltas(HOUR, 60 * DAY)


def test_a_request_weighs_its_gpus_or_its_part_of_one_and_a_twentieth_of_a_gpu_per_cpu_on_each_node():
    assert cost(Request(gpus=2, cpus=20), CARD) == 3.0
    assert cost(Request(gpus=1, gpu_memory_mib=20 * GIB, cpus=1), CARD) == pytest.approx(0.3)
    assert cost(Request(gpus=8, cpus=20, nodes=4), CARD) == 36.0
    assert cost(Request(gpus=1, gpu_memory_mib=20 * GIB, cpus=1), 0) == pytest.approx(1.05)


@settings(max_examples=50)
@given(elapsed=spans, half_life=lives)
def test_use_halves_with_each_half_life(elapsed: timedelta, half_life: timedelta):
    assert fading(elapsed + half_life, half_life) == pytest.approx(fading(elapsed, half_life) / 2)


@settings(max_examples=50)
@given(first=spans, second=spans, half_life=lives, rate=st.floats(0, 64))
def test_taking_use_down_in_two_parts_changes_nothing(
    first: timedelta, second: timedelta, half_life: timedelta, rate: float
):
    whole = accrued(rate, first + second, half_life)
    parts = accrued(rate, first, half_life) * fading(second, half_life) + accrued(rate, second, half_life)

    assert parts == pytest.approx(whole)


def test_a_short_time_accrues_the_rate_times_the_seconds():
    assert accrued(2.0, timedelta(seconds=30), 7 * DAY) == pytest.approx(60, rel=1e-4)


def test_whoever_has_used_less_for_its_weight_has_the_smaller_claim():
    kept = books(accounts=[Account("a", weight=2, use=100), Account("b", use=60)])

    assert kept.team_claim("a") == 50
    assert kept.team_claim("b") == 60
    assert kept.team_claim("new") == 0


def test_what_runs_counts_at_once_as_if_it_had_run_for_its_typical_time_or_an_hour():
    quick = Duration(HOUR / 4, HOUR)
    just_started, quick_one = a_run("x", ran=timedelta(), team="a"), a_run("y", ran=timedelta(), team="b")
    kept = Books(Sharing(), [a_node(just_started, a_run("z", ran=ENTRY, team="c"))], now=NOON)

    assert kept.team_claim("a") == kept.team_claim("c") == pytest.approx(3600, rel=0.01)
    kept = Books(Sharing(), [a_node(replace(quick_one, expected=quick))], now=NOON)
    assert kept.team_claim("b") == pytest.approx(900, rel=0.01)


def test_a_user_claims_within_its_team_only():
    kept = books(a_run("x", team="a", user="ada"), accounts=[Account("b:ada", use=7)])

    assert kept.user_claim("a", "ada") > 3000
    assert kept.user_claim("a", "bob") == 0
    assert kept.user_claim("b", "ada") == 7


@settings(max_examples=50)
@given(gpus=st.integers(0, 8), cpus=st.integers(1, 64), nodes=st.integers(1, 4), before=st.floats(0, 1e6))
def test_a_start_raises_the_claims_of_its_team_and_user(gpus: int, cpus: int, nodes: int, before: float):
    kept, job = books(accounts=[Account("a", use=before)]), a_job(gpus=gpus, cpus=cpus, nodes=nodes)

    kept.charge(job)

    assert kept.team_claim("a") > before
    assert kept.user_claim("a", "u") > 0
    assert kept.team_claim("b") == 0


@settings(max_examples=100)
@given(
    gpus=st.integers(0, 10),
    running=st.integers(0, 10),
    hours=st.integers(0, 12),
    starts=st.lists(st.integers(0, 3), max_size=10),
    name=st.sampled_from(["a", "a/p", "a:u"]),
)
def test_a_start_is_refused_if_and_only_if_it_would_break_a_hard_limit(
    gpus: int, running: int, hours: int, starts: list[int], name: str
):
    kept = books(accounts=[a_quota(name, gpus=gpus, running=running, gpu_hours=hours, borrow=False)])
    started: list[int] = []
    for asked in starts:
        job = a_job(gpus=asked)
        after = [*started, asked]
        breaks = len(after) > running or (asked > 0 and (sum(after) > gpus or sum(after) > hours))
        assert (kept.refusal(job) is not None) == breaks
        assert kept.refusal(a_job(team="b", gpus=asked)) is None
        if not breaks:
            kept.charge(job)
            started = after


def test_a_refusal_names_quota_use_and_what_frees_it():
    held = a_run("x", gpus=3, team="a", project="p", user="u")
    kept = books(held, accounts=[a_quota(gpus=4, borrow=False)])

    reason = kept.refusal(a_job(gpus=2))

    assert reason is not None
    assert (reason.code, reason.kind, reason.asked, reason.available) == ("quota-gpus", "will-wait", 2, 1)
    assert reason.message == (
        "Team a holds 3 of the 4 GPUs of its quota and may not borrow; this asks for 2. "
        "Some of its jobs have to end first, or the quota has to grow."
    )


def test_each_hard_limit_has_its_code_and_names_whose_it_is():
    held = a_run("x", team="a", project="p", user="u")
    limits = {
        "a:u": (a_quota("a:u", running=1), "quota-running", "User u of team a runs 1 of the 1 job "),
        "a/p": (a_quota("a/p", gpu_hours=1.5), "quota-gpu-hours", "Project p of team a has used 1.0 of the 1.5 "),
    }
    for account, code, beginning in limits.values():
        reason = books(held, accounts=[account]).refusal(a_job(gpus=1))
        assert reason is not None
        assert reason.code == code
        assert reason.message.startswith(beginning)
        assert reason.kind == "will-wait"


def test_what_asks_for_more_than_the_whole_quota_waits_for_a_person():
    reason = books(accounts=[a_quota(gpus=4, borrow=False)]).refusal(a_job(gpus=5))

    assert reason is not None
    assert (reason.kind, reason.asked, reason.available) == ("misconfigured", 5, 4)


def test_gpu_hours_are_those_that_ended_and_those_that_run():
    held = a_run("x", gpus=2, ran=5 * HOUR, team="a")
    account = Account("a", quota=Quota(gpu_hours=30), gpu_hours=20)

    assert books(held, accounts=[account]).refusal(a_job(gpus=1)) is not None
    assert books(held, accounts=[account]).refusal(a_job(gpus=0)) is None
    assert books(accounts=[account]).refusal(a_job(gpus=10)) is None
    assert books(accounts=[account]).refusal(a_job(gpus=11)) is not None


def test_a_quota_that_allows_borrowing_refuses_nothing_and_says_who_borrows():
    held = a_run("x", gpus=3, team="a")
    kept = books(held, accounts=[a_quota(gpus=4)])

    assert kept.refusal(a_job(gpus=2)) is None
    assert kept.borrows(a_job(gpus=2))
    assert not kept.borrows(a_job(gpus=1))
    assert not kept.borrows(a_job(gpus=0))
    assert not kept.borrows(a_job(gpus=9, team="b"))


def test_the_latest_started_and_least_urgent_are_borrowed():
    early, late = a_run("early", gpus=2, ran=2 * HOUR, team="a"), a_run("late", gpus=2, first=2, ran=HOUR, team="a")
    urgent = a_run("urgent", gpus=2, first=4, ran=timedelta(), team="a", priority=9)
    kept = books(late, urgent, early, accounts=[a_quota(gpus=4)])

    assert [kept.is_borrowed(each) for each in (early, late, urgent)] == [False, True, False]


def test_what_leaves_takes_no_room_within_the_quota():
    going = a_run("going", gpus=2, team="a", priority=9, is_ending=True)
    staying = a_run("staying", gpus=3, first=2, team="a", priority=5)
    weak = a_run("weak", gpus=2, first=5, team="a", priority=1)
    kept = books(going, staying, weak, accounts=[a_quota(gpus=4)])

    assert [kept.is_borrowed(each) for each in (going, staying, weak)] == [False, False, True]


def test_a_gang_is_borrowed_and_released_as_one():
    first, second = (
        Held(f"g-1{rank}", "g", {f"g{start + i}": CARD for i in range(4)}, 0, 0, team="a", placed_at=NOON)
        for rank, start in (("", 0), (".1", 4))
    )
    kept = books(first, second, accounts=[a_quota(gpus=7)])
    assert kept.is_borrowed(first)
    assert kept.is_borrowed(second)
    assert kept.standing("a").running == 1

    kept.release(first)
    kept.release(second)

    assert not kept.is_borrowed(second)
    assert kept.standing("a").borrowed == 0


def test_what_has_been_told_to_end_is_no_longer_borrowed_but_still_holds_its_part_of_a_hard_limit():
    going = a_run("x", gpus=2, team="a", is_ending=True)
    staying = a_run("y", gpus=2, first=2, team="a")

    kept = books(going, staying, accounts=[a_quota(gpus=2)])
    assert not kept.is_borrowed(going)
    assert not kept.is_borrowed(staying)
    kept = books(going, staying, accounts=[a_quota(gpus=5, borrow=False)])
    assert kept.refusal(a_job(gpus=2)) is not None


@settings(max_examples=100)
@given(
    runs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 5), st.booleans()), max_size=12),
    nominal=st.integers(0, 12),
)
def test_releasing_what_is_borrowed_brings_a_team_to_its_quota_and_takes_nothing_that_would_fit(
    runs: list[tuple[int, int, int, bool]], nominal: int
):
    held = [
        a_run(f"j{i}", gpus=gpus, first=4 * i, ran=hours * HOUR, team="a", priority=priority, is_ending=ending)
        for i, (gpus, priority, hours, ending) in enumerate(runs)
    ]
    kept = books(*held, accounts=[a_quota(gpus=nominal)])
    released: list[Held] = []
    while borrowed := [each for each in held if kept.is_borrowed(each)]:
        kept.release(borrowed[0])
        released.append(borrowed[0])

    staying = sum(len(each.devices) for each in held if not each.is_ending and each not in released)
    assert staying <= nominal
    assert kept.standing("a").borrowed == 0
    for each in released:
        assert staying + len(each.devices) > nominal


def test_one_gpu_jobs_go_back_to_exactly_the_quota():
    held = [a_run(f"j{i}", first=i, ran=i * HOUR, team="a") for i in range(9)]
    kept = books(*held, accounts=[a_quota(gpus=5)])

    borrowed = [each.job_id for each in held if kept.is_borrowed(each)]

    assert borrowed == ["j0", "j1", "j2", "j3"]
    assert kept.standing("a").borrowed == 4


def test_a_standing_compares_all_teams_that_are_known():
    held = a_run("x", gpus=3, team="b")
    kept = books(held, accounts=[Account("a", weight=2), Account("b", quota=Quota(gpus=2)), Account("b:u", use=9)])

    b, a = kept.standing("b"), kept.standing("a")

    assert (b.entitled, b.used, b.rank, b.borrowed, b.running, b.gpus) == (pytest.approx(1 / 3), 1, 2, 1, 1, 3)
    assert (a.entitled, a.used, a.rank, a.teams) == (pytest.approx(2 / 3), 0, 1, 2)


def test_the_example_of_the_guide_holds():
    def claims(hours: int) -> tuple[int, int]:
        """Of vision and of speech, in weighted GPU-hours per weight, when vision's job has run for so long."""
        week, ran = 7 * DAY, hours * HOUR
        uses = accrued(10, DAY, week) * fading(week + ran, week), accrued(5, DAY, week) * fading(ran, week)
        accounts = [Account("vision", weight=2, use=uses[0]), Account("speech", use=uses[1])]
        held = [a_run("x", gpus=8, cpus=8, ran=ran, team="vision")] if hours else []
        kept = books(*held, accounts=accounts)
        return round(kept.team_claim("vision") / 3600), round(kept.team_claim("speech") / 3600)

    assert [claims(hours) for hours in (0, 13, 14)] == [(57, 114), (107, 108), (111, 108)]


def test_a_standing_says_why_in_a_sentence():
    held = a_run("x", team="b")

    assert books().standing("a").why == (
        "Is owed 1 of 1 parts of the fleet, for there is no other team; priority and age alone decide."
    )
    idle = books(accounts=[Account("a"), Account("b")]).standing("a")
    assert idle.why.endswith("; nobody has had anything lately, so priority and age decide.")
    kept = books(held, accounts=[Account("a", weight=2), Account("c")])
    assert kept.standing("a").why == (
        "Is owed 2 of 4 parts of the fleet and has had 0% of what was used lately, so it comes first."
    )
    assert kept.standing("b").why.endswith("and has had 100% of what was used lately, so it comes after 2 other teams.")
