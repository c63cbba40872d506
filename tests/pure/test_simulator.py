"""The simulator of `benchmarks/simulator`: its books, its baselines, its workload, and what is read off a run."""

from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.simulator import measures
from benchmarks.simulator.baselines import Easy, Fifo, claimed, perfect
from benchmarks.simulator.engine import CHECKPOINT_EVERY, GRACE, Decision, OversoldError, Result, Span, Start, simulate
from benchmarks.simulator.fleet import GIB, SMALL, Machine, SimJob, gpus_granted
from benchmarks.simulator.measures import Outcome, Service, jain, percentile
from benchmarks.simulator.ours import Levare
from benchmarks.simulator.plot import draw
from benchmarks.simulator.scenarios import Contention, contended
from benchmarks.simulator.workload import TEAMS, contention, month, work_of

HOUR = timedelta(hours=1)
FOUR = [Machine("n", 64, 512 * GIB, (80 * GIB,) * 4)]
PAIR = [Machine("m", 64, 512 * GIB, (80 * GIB,) * 4), Machine("n", 64, 512 * GIB, (80 * GIB,) * 4)]
EASY = Easy("EASY", perfect)


def a_job(name: str, *, gpus: int = 1, hours: float = 1, at: float = 0, **more) -> SimJob:
    fields = {"cpus": 1, "memory_mib": 0, "gpu_memory_mib": None, "priority": 5, "limit": None, "team": "t", **more}
    return SimJob(
        id=name, user="u", family="f", submitted=at * HOUR, gpus=gpus, duration=hours * HOUR, fails=False, **fields
    )


def starts(result: Result) -> dict[str, float]:
    return {span.job.id: span.started / HOUR for span in sorted(result.spans, key=lambda span: span.started)}


class Scripted:
    """A policy that does what it is told at its first, second, ... decision."""

    name = "scripted"

    def __init__(self, *decisions: Decision) -> None:
        self._decisions = list(decisions)

    def bucket(self, _job):
        return None

    def decide(self, _waiting, _fleet, **_now):
        return self._decisions.pop(0) if self._decisions else Decision()


# Baselines


def test_fifo_starts_nobody_before_an_earlier_one_that_does_not_fit():
    jobs = [a_job("long", gpus=3, hours=5), a_job("wide", gpus=4, at=1), a_job("small", at=2, hours=1)]

    assert starts(simulate(jobs, FOUR, Fifo())) == {"long": 0, "wide": 5, "small": 6}


def test_easy_lets_a_short_job_pass_and_not_a_long_one():
    jobs = [
        a_job("running", gpus=3, hours=5),
        a_job("head", gpus=4, at=1),
        a_job("too-long", at=2, hours=4),
        a_job("short", at=2.5, hours=2),
    ]

    assert starts(simulate(jobs, FOUR, EASY)) == {"running": 0, "short": 2.5, "head": 5, "too-long": 6}


def test_easy_lets_as_many_long_jobs_pass_as_the_head_leaves_room_for():
    jobs = [
        a_job("running", gpus=2, hours=5),
        a_job("head", gpus=3, at=1),
        a_job("first", at=2, hours=9),
        a_job("second", at=2, hours=9),
    ]

    assert starts(simulate(jobs, FOUR, EASY)) == {"running": 0, "first": 2, "head": 5, "second": 6}


def test_easy_goes_by_the_order_of_the_submits_whatever_the_jobs_ask_for():
    jobs = [
        a_job("all", gpus=4),
        a_job("two", gpus=2, at=0.1),
        a_job("one", at=0.2),
        a_job("two-again", gpus=2, at=0.3),
    ]

    assert starts(simulate(jobs, FOUR, EASY)) == {"all": 0, "two": 1, "one": 1, "two-again": 2}


def test_easy_lets_anybody_pass_on_another_machine():
    jobs = [
        a_job("m", gpus=3, hours=5),
        a_job("n", gpus=2, hours=9),
        a_job("head", gpus=4, at=1),
        *(a_job(f"long-{i}", at=2, hours=20) for i in range(2)),
    ]

    assert starts(simulate(jobs, PAIR, EASY)) == {"m": 0, "n": 0, "long-0": 2, "long-1": 2, "head": 5}


def test_easy_believes_a_limit_and_doubles_it_for_whoever_outruns_it():
    jobs = [
        a_job("outruns", gpus=3, hours=5, limit=HOUR),
        a_job("head", gpus=4, at=0.5, limit=HOUR),
        a_job("passes", at=1.25, hours=0.5, limit=HOUR / 2),
        a_job("waits", at=1.75, hours=0.5, limit=HOUR / 2),
        a_job("tick", at=2.5, gpus=0, hours=0.1, limit=HOUR / 10),
    ]
    result = simulate(jobs, FOUR, Easy("EASY", claimed))

    assert starts(result) == {"outruns": 0, "passes": 1.25, "waits": 2.5, "tick": 2.5, "head": 5}
    assert result.promises == {"head": HOUR}


# The engine


def test_a_gpu_is_never_given_twice():
    twice = Decision([Start("a", "n", {0: 80 * GIB}), Start("b", "n", {0: 80 * GIB})])

    with pytest.raises(OversoldError, match="GPU 0 of n has 81920 MiB and 163840 are held"):
        simulate([a_job("a"), a_job("b")], FOUR, Scripted(twice))


@pytest.mark.parametrize("devices", [{}, {0: 80 * GIB, 1: 80 * GIB}, {0: 10 * GIB}])
def test_a_job_gets_exactly_what_it_asked_for(devices):
    with pytest.raises(OversoldError, match="asks for"):
        simulate([a_job("a")], FOUR, Scripted(Decision([Start("a", "n", devices)])))


@pytest.mark.parametrize("asked", [{"cpus": 40}, {"memory_mib": 300 * GIB}])
def test_cpus_and_memory_are_never_oversold_either(asked):
    both = Decision([Start("a", "n", {0: 80 * GIB}), Start("b", "n", {1: 80 * GIB})])

    with pytest.raises(OversoldError, match="are held"):
        simulate([a_job("a", **asked), a_job("b", **asked)], FOUR, Scripted(both))


def test_a_job_that_does_not_wait_is_not_started():
    again = Decision([Start("a", "n", {0: 80 * GIB})])

    with pytest.raises(OversoldError, match="does not wait"):
        simulate([a_job("a"), a_job("b")], FOUR, Scripted(Decision([*again.starts, *again.starts])))


def test_what_no_machine_could_ever_run_is_refused():
    with pytest.raises(ValueError, match="more than any machine has"):
        simulate([a_job("a", gpus=5)], FOUR, Fifo())


def test_a_preempted_job_keeps_its_checkpoints_and_loses_the_rest():
    jobs = [a_job("victim", hours=2), a_job("tick", at=1.2), a_job("tock", at=1.5)]
    start = Decision([Start("victim", "n", {0: 80 * GIB})])
    result = simulate(jobs, FOUR, Scripted(start, Decision(preemptions=["victim"]), start))

    first, second = (span for span in result.spans if span.job.id == "victim")
    assert first.preempted
    assert first.ended == 1.2 * HOUR + GRACE
    assert first.lost == first.ended - 2 * CHECKPOINT_EVERY
    assert second.ended - second.started == HOUR


# What holds on any workload

workloads = st.lists(
    st.builds(
        a_job,
        st.just("later numbered"),
        gpus=st.integers(0, 4),
        gpu_memory_mib=st.sampled_from([None, None, 20 * GIB]),
        hours=st.integers(1, 6).map(lambda halves: halves / 2),
        at=st.integers(0, 12).map(lambda quarters: quarters / 4),
        cpus=st.integers(1, 48),
        priority=st.integers(3, 8),
    ),
    min_size=1,
    max_size=25,
).map(lambda jobs: [replace(job, id=f"j{number:02}") for number, job in enumerate(jobs)])
policies = st.sampled_from([Fifo, lambda: EASY, lambda: Easy("EASY", claimed), Levare])


@given(workloads, policies)
@settings(max_examples=40, deadline=None)
def test_every_job_runs_to_its_end_once_and_nothing_is_oversold(jobs, policy):
    """The engine raises where a policy oversells."""
    result = simulate(jobs, PAIR, policy())
    kept: dict[str, timedelta] = defaultdict(timedelta)
    for span in result.spans:
        kept[span.job.id] += span.ended - span.started - span.lost

    assert sorted(span.job.id for span in result.spans if not span.preempted) == [job.id for job in jobs]
    assert kept == {job.id: job.duration for job in jobs}
    assert all(span.started >= span.job.submitted for span in result.spans)


def test_levare_shares_by_weight_while_both_teams_want_everything():
    jobs = [
        a_job(f"{team}-{number:03}", team=team, hours=0.5 + number % 3 / 2)
        for team in ("heavy", "light")
        for number in range(150)
    ]
    result = simulate(jobs, FOUR, Levare({"heavy": 2, "light": 1}), until=24 * HOUR)
    used = {
        team: sum(span.gpus * (span.ended - span.started) / HOUR for span in spans) for team, spans in _by_team(result)
    }

    assert used["heavy"] + used["light"] == 4 * 24
    assert used["heavy"] / used["light"] == pytest.approx(2, rel=0.1)


def test_levare_learns_how_long_a_family_takes_and_lets_what_is_short_pass():
    known = [a_job(f"known-{number}", at=0.01 * number, hours=0.5) for number in range(5)]
    jobs = [
        *known,
        replace(a_job("running", gpus=3, hours=5, at=2, limit=5 * HOUR), family="long"),
        replace(a_job("head", gpus=4, at=3, limit=HOUR), family="wide"),
        replace(a_job("too-long", at=4, hours=4, limit=4 * HOUR), family="other"),
        a_job("short", at=4.5, hours=0.5),
    ]
    result = simulate(jobs, FOUR, Levare())
    began = starts(result)

    assert (began["short"], began["head"], began["too-long"]) == (4.5, 7, 8)
    assert result.promises["head"] == 7 * HOUR


def _by_team(result: Result) -> list[tuple[str, list[Span]]]:
    return [(team, [span for span in result.spans if span.job.team == team]) for team in ("heavy", "light")]


@given(workloads)
@settings(max_examples=40, deadline=None)
def test_easy_with_true_limits_never_delays_the_head_beyond_what_it_was_promised(jobs):
    result = simulate(jobs, PAIR, EASY)
    began = starts(result)

    assert all(began[job_id] <= at / HOUR for job_id, at in result.promises.items())
    assert result.promises == result.fair_starts


@given(workloads)
@settings(max_examples=40, deadline=None)
def test_fifo_starts_in_the_order_of_the_submits(jobs):
    began = starts(simulate(jobs, PAIR, Fifo()))

    assert all(began[a.id] <= began[b.id] for a, b in pairwise(sorted(jobs, key=lambda job: job.order)))


# The workload


def test_a_month_is_the_same_for_the_same_seed_and_another_for_another():
    assert month(SMALL, days=2, seed=7) == month(SMALL, days=2, seed=7)
    assert month(SMALL, days=2, seed=7) != month(SMALL, days=2, seed=8)


@pytest.mark.parametrize("load", [0.5, 0.95])
def test_the_offered_load_is_the_stated_one(load):
    jobs = month(SMALL, days=4, load=load)
    capacity = 4 * 86400 * sum(len(machine.gpus) for machine in SMALL)

    assert sum(map(work_of, jobs)) / capacity == pytest.approx(load, rel=0.01)


def test_the_shapes_of_a_month_are_those_that_are_described():
    jobs = month(SMALL, days=20)

    assert sum(job.gpus == 1 for job in jobs) / len(jobs) > 0.6
    assert sum(job.fails for job in jobs) / len(jobs) == pytest.approx(0.25, abs=0.05)
    assert {job.team for job in jobs} == {team.name for team in TEAMS}
    assert len({job.family for job in jobs}) < len(jobs) / 3
    honest = [job for job in jobs if job.limit and not job.fails]
    factors = sorted(claimed(job) / job.duration for job in honest)
    assert factors[0] < 1
    assert factors[len(factors) // 2] > 2
    assert sum(job.submitted.seconds // 3600 < 7 for job in jobs) < len(jobs) / 6


def test_endless_work_keeps_both_teams_waiting_until_the_end():
    jobs = contention(SMALL, weights={"a": 2, "b": 1}, arrives=timedelta(hours=5), days=1)
    result = simulate(jobs, SMALL, Fifo(), until=timedelta(days=1))

    for team in ("a", "b"):
        assert any(outcome.job.team == team and not outcome.spans for outcome in measures.outcomes(result))
    assert sum(job.submitted == timedelta(hours=5) for job in jobs) == 1000


# Measures


def a_result(*spans: Span, jobs: list[SimJob] | None = None, ended: float = 10) -> Result:
    return Result(jobs or [span.job for span in spans], FOUR, spans, {}, {}, ended * HOUR)


def a_span(job: SimJob, started: float, ended: float, *, preempted: bool = False) -> Span:
    gpus = gpus_granted(FOUR[0], dict.fromkeys(range(job.gpus), job.gpu_memory_mib or 80 * GIB))
    return Span(job, "n", started * HOUR, ended * HOUR, gpus, preempted=preempted)


def test_utilisation_counts_only_the_time_between_the_first_and_the_last_submit():
    early, late = a_job("early", gpus=2, at=1), a_job("late", gpus=4, at=5)

    assert measures.utilisation(a_result(a_span(early, 1, 3), a_span(late, 5, 99))) == 2 * 2 / (4 * 4)


def test_a_shared_gpu_counts_in_part():
    quarter, last = a_job("quarter", gpu_memory_mib=20 * GIB), a_job("last", at=4)

    assert measures.utilisation(a_result(a_span(quarter, 0, 4), a_span(last, 4, 5))) == 0.25 / 4


def test_percentiles_are_values_that_occurred():
    assert percentile([4.0, 1.0, 3.0, 2.0], 50, of_none=0.0) == 2.0
    assert percentile(map(float, range(1, 101)), 95, of_none=0.0) == 95.0
    assert percentile([], 95, of_none=0.0) == 0.0


def test_slowdown_is_bounded_for_the_shortest():
    blink = a_job("blink", hours=1 / 3600)

    assert Outcome(blink, [a_span(blink, 0.5, 0.5 + 1 / 3600)], 10 * HOUR).slowdown == pytest.approx(3, rel=0.01)


def test_a_job_that_never_started_has_waited_until_the_end():
    (outcome,) = measures.outcomes(a_result(jobs=[a_job("never", at=4)]))

    assert outcome.wait == 6 * HOUR


def test_a_head_is_late_by_what_it_started_after_its_promise_and_never_early():
    late, early = a_job("late"), a_job("early")
    found = measures.outcomes(a_result(a_span(late, 5, 6), a_span(early, 1, 2)))

    assert measures.delays(found, {"late": 2 * HOUR, "early": 2 * HOUR}) == [3 * HOUR, timedelta()]


def test_jain_is_one_for_equals_and_a_part_for_one_who_has_all():
    assert jain([3, 3, 3]) == 1
    assert jain([5, 0, 0, 0]) == 0.25
    assert jain([0, 0]) == 1


def test_fairness_compares_with_the_weights_and_only_while_both_have_jobs_waiting():
    a, b = a_job("a", gpus=3, team="a"), a_job("b", gpus=1, team="b")
    waits_a, waits_b = a_job("wa", team="a"), a_job("wb", team="b")
    last = a_job("last", team="a", at=8)
    result = a_result(
        *(a_span(a, 0, 8), a_span(b, 0, 8), a_span(waits_a, 8, 9), a_span(waits_b, 4, 5), a_span(last, 8, 9))
    )

    served = measures.service(result, {"a": 2, "b": 2})

    assert served == {"a": Service(12, 8), "b": Service(4, 8)}
    assert measures.fairness(served) == jain([1.5, 0.5])


def test_a_preempted_job_waits_again():
    a, b, last = a_job("a", team="a"), a_job("b", team="b", hours=9), a_job("last", team="b", at=6)
    spans = [a_span(a, 0, 2, preempted=True), a_span(a, 4, 6), a_span(b, 6, 9), a_span(last, 6, 7)]

    served = measures.service(a_result(*spans), {"a": 1, "b": 1})

    assert served == {"a": Service(0, 0), "b": Service(0, 0)}


def test_a_job_that_never_starts_waits_all_the_time():
    a, b = a_job("a", gpus=3, team="a"), a_job("b", team="b")
    never_a, never_b = a_job("na", team="a", at=2), a_job("nb", team="b", at=4)
    result = a_result(a_span(a, 0, 10), a_span(b, 0, 10), jobs=[a, b, never_a, never_b, a_job("last", team="a", at=9)])

    assert measures.service(result, {"a": 1, "b": 1}) == {"a": Service(15, 10), "b": Service(5, 10)}


# The report


def test_the_plot_is_well_formed_and_knows_dark_pages():
    svg = draw([contended(Contention(days=1, alone=1 / 3), "fifo")])

    assert ET.fromstring(svg).tag.endswith("svg")
    assert "prefers-color-scheme: dark" in svg
    assert {"vision", "language", "newcomer"} <= {text.text for text in ET.fromstring(svg).iter() if text.text}
