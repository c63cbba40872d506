"""The brakes of triggers: what starts, what is held, what waits; nothing is lost, nothing doubled."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.conditions import BETWEEN, BREACH, CLEAR, Standing, Test, lasting, read, swing
from levare.decide.declared import declared
from levare.decide.events import EventFilter, environment_of, parameters_of, sameness
from levare.decide.files import Print, Seen, look
from levare.decide.happenings import Happening, Run, judge
from levare.decide.resources import readings
from levare.decide.simulation import absences, simulate
from levare.decide.triggers import (
    HELD,
    MOST_BYTES,
    PENDING,
    RUN,
    Brakes,
    Facts,
    Occurrence,
    day_of,
    decide,
    groups,
    next_look,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
EVENT = {"specversion": "1.0", "id": "a", "source": "/lake", "type": "data.ready", "data": {"n": 1, "files": ["x"]}}


def at(seconds: float, *, same: str | None = None, size: int = 0) -> Occurrence:
    return Occurrence(f"k{seconds:09.2f}", NOON + seconds * SECOND, same, size)


def outcomes(occurrences: Sequence[Occurrence], brakes: Brakes, facts: Facts | None = None, *, now: float = 100) -> Any:
    """What becomes of each, by its key."""
    verdicts = decide(occurrences, facts or Facts(), brakes, now=NOON + now * SECOND)
    return {key: verdict.outcome for verdict in verdicts for key in verdict.keys}


def counted(*arguments: Any, **more: Any) -> Counter[str]:
    return Counter(outcomes(*arguments, **more).values())


def test_without_brakes_each_occurrence_is_a_run():
    assert counted([at(0), at(1), at(2)], Brakes()) == {RUN: 3}


@pytest.mark.parametrize(
    ("brakes", "facts", "told"),
    [
        (
            Brakes(cooldown=60 * SECOND),
            Facts(last_run_at=NOON + 70 * SECOND),
            "12:01:10 UTC; the cool-down of 60 s ends",
        ),
        (Brakes(in_flight=2), Facts(in_flight=2), "2 of at most 2 runs are in flight"),
        (
            Brakes(per_day=3),
            Facts(runs_today=3),
            "3 of at most 3 runs a day have started; the next day begins 2026",
        ),
        (Brakes(), Facts(paused="Paused by ada."), "Paused by ada."),
        (Brakes(same_within=HOUR), Facts(seen={"s": NOON - 60 * SECOND}), "came 60 s before"),
    ],
)
def test_a_brake_holds_and_says_why_with_its_numbers(brakes: Brakes, facts: Facts, told: str):
    [verdict] = decide([at(0, same="s")], facts, brakes, now=NOON + 100 * SECOND)

    assert (verdict.outcome, told in verdict.reason) == (HELD, True), verdict.reason


def test_what_waits_for_a_brake_says_until_when():
    ended = decide([at(0)], Facts(last_run_at=NOON), Brakes(cooldown=HOUR, waits=True), now=NOON)
    tomorrow = decide([at(0)], Facts(runs_today=1), Brakes(per_day=1, waits=True), now=NOON)
    freed = decide([at(0)], Facts(in_flight=1, frees_at=NOON + HOUR), Brakes(in_flight=1, waits=True), now=NOON)

    assert [next_look(each) for each in (ended, tomorrow, freed)] == [NOON + HOUR, NOON + 12 * HOUR, NOON + HOUR]
    assert {each[0].outcome for each in (ended, tomorrow, freed)} == {PENDING}


def test_a_debounced_run_starts_when_nothing_has_come_for_a_while_and_is_for_all():
    brakes = Brakes(quiet=10 * SECOND)

    assert counted([at(0), at(9), at(18)], brakes, now=27) == {PENDING: 3}
    [verdict] = decide([at(0), at(9), at(18)], Facts(), brakes, now=NOON + 28 * SECOND)
    assert (verdict.outcome, len(verdict.keys)) == (RUN, 3)


def test_a_batch_closes_when_it_is_full_or_its_time_is_over():
    brakes = Brakes(batch=2, batch_within=60 * SECOND)
    found = [[each.key for each in group.members] for group in groups([at(0), at(1), at(2), at(70), at(71)], brakes)]

    assert found == [[at(0).key, at(1).key], [at(2).key], [at(70).key, at(71).key]]


def test_a_batch_is_never_more_than_fits_into_an_environment():
    occurrences = [at(number, size=30_000) for number in range(7)]
    found = list(groups(occurrences, Brakes(batch=100, batch_within=HOUR)))

    assert [len(group.members) for group in found] == [3, 3, 1]
    assert all(sum(each.size for each in group.members) <= MOST_BYTES for group in found)


def test_repetitions_are_counted_from_the_one_that_counted():
    occurrences = [at(second, same="s") for second in (0, 6, 12)]

    found = outcomes(occurrences, Brakes(same_within=10 * SECOND))

    assert list(found.values()) == [HELD, RUN, RUN]
    assert found[at(6, same="s").key] == HELD


TIMES = st.lists(st.integers(0, 3 * 86400), max_size=30)
BRAKES = st.builds(
    Brakes,
    cooldown=st.sampled_from([timedelta(), 60 * SECOND, 6 * HOUR]),
    in_flight=st.sampled_from([None, 1, 2]),
    per_day=st.sampled_from([None, 1, 3]),
    same_within=st.sampled_from([timedelta(), HOUR]),
    quiet=st.sampled_from([timedelta(), 30 * SECOND, 2 * HOUR]),
    batch=st.sampled_from([1, 2, 5]),
    batch_within=st.just(HOUR),
    waits=st.booleans(),
)


def a_trigger(**brakes: Any) -> Any:
    return declared("t", {"when": {"event": {}}, "job": {"command": ["x"]}, "brakes": brakes})


def past(times: Sequence[int], brakes: Brakes, lasts: timedelta) -> Any:

    trigger = replace(a_trigger(), brakes=brakes, same=("data.n",))
    happenings = [
        Happening(f"k{place}", NOON + time * SECOND, {**EVENT, "data": {"n": place % 3}})
        for place, time in enumerate(times)
    ]
    return simulate(trigger, happenings, lasts=lasts, until=NOON + timedelta(days=30))


@settings(max_examples=80, deadline=None)
@given(times=TIMES, brakes=BRAKES, lasts=st.sampled_from([timedelta(), 600 * SECOND, 5 * HOUR]))
def test_whatever_happens_the_brakes_hold_and_nothing_is_lost_or_doubled(
    times: list[int], brakes: Brakes, lasts: timedelta
):
    found = past(times, brakes, lasts)

    assert Counter(each.occurrence.key for each in found.items) == Counter(f"k{place}" for place in range(len(times)))
    assert all(each.reason for each in found.items)
    assert not [each for each in found.items if each.outcome == PENDING], "within 30 days all of it is decided"
    starts = sorted({each.run: each.decided_at for each in found.items if each.run is not None}.values())
    assert len(starts) == found.runs
    assert all(later - earlier >= brakes.cooldown for earlier, later in pairwise(starts))
    if brakes.per_day is not None:
        assert max(Counter(map(day_of, starts)).values(), default=0) <= brakes.per_day
    if brakes.in_flight is not None and lasts:
        flying = [sum(start <= moment < start + lasts for start in starts) for moment in starts]
        assert max(flying, default=0) <= brakes.in_flight


@settings(max_examples=60, deadline=None)
@given(
    times=st.lists(st.integers(0, 600), max_size=20),
    brakes=BRAKES,
    looks=st.lists(st.integers(0, 700), max_size=8),
)
def test_one_decision_gives_each_occurrence_exactly_one_verdict_and_groups_do_not_depend_on_the_time(
    times: list[int], brakes: Brakes, looks: list[int]
):
    occurrences = [Occurrence(f"k{place}", NOON + time * SECOND, f"s{place % 4}") for place, time in enumerate(times)]
    for second in looks:
        verdicts = decide(occurrences, Facts(), brakes, now=NOON + second * SECOND)
        assert Counter(key for verdict in verdicts for key in verdict.keys) == Counter(o.key for o in occurrences)
        assert all(verdict.until is not None for verdict in verdicts if verdict.outcome == PENDING)
        assert all(verdict.until > NOON + second * SECOND for verdict in verdicts if verdict.until)


@pytest.mark.parametrize(
    ("test", "values", "level"),
    [
        (Test(below=0.9, runs=3), [0.8, 0.8, 0.8], BREACH),
        (Test(below=0.9, runs=3), [0.8, 0.8], BETWEEN),
        (Test(below=0.9, runs=2), [0.95, 0.8], BETWEEN),
        (Test(below=0.9), [0.9], CLEAR),
        (Test(below=0.9, rearm=0.95), [0.92], BETWEEN),
        (Test(below=0.9, rearm=0.95), [0.95], CLEAR),
        (Test(above=2), [inf], BREACH),
        (Test(above=2), [1.0, nan], CLEAR),
        (Test(above=2), [nan], BETWEEN),
        (Test(change=-0.1), [1.0, 0.9], BREACH),
        (Test(change=-0.1), [1.0, 0.95], CLEAR),
        (Test(change=0.5, over=2), [1.0, 3.0, 3.0], BREACH),
        (Test(change=0.5), [0.0, 1.0], BREACH),
        (Test(change=0.5), [1.0], BETWEEN),
        (Test(zscore=3), [1.0, 1.1, 0.9, 2.0], BREACH),
        (Test(zscore=3), [1.0, 1.1, 0.9, 1.0], CLEAR),
        (Test(zscore=3), [1.0, 1.0, 1.0, 1.1], BREACH),
        (Test(zscore=3), [1.0, 1.1, 0.9], BETWEEN),
    ],
)
def test_values_are_beyond_a_bound_back_or_between(test: Test, values: list[float], level: str):
    assert read(test, values).level == level


def test_a_condition_fires_once_and_again_after_it_has_been_back():
    armed, fired = True, list[bool]()
    for level in (BREACH, BREACH, BETWEEN, BREACH, CLEAR, BREACH):
        armed, fires = swing(armed, level)
        fired.append(fires)

    assert fired == [True, False, False, False, False, True]


def test_what_must_last_begins_anew_after_a_gap_in_what_is_seen():
    standing, fired = Standing(), list[int]()
    for second in (0, 30, 60, 90, 300, 330, 360, 390, 420):
        standing, fires = lasting(standing, BREACH, 100 * SECOND, now=NOON + second * SECOND)
        fired += [second] if fires else []

    assert fired == [420]


A_RUN = Run(
    id="j",
    name="churn",
    team="t",
    project="p",
    family="t/p/churn",
    schedule=None,
    trigger=None,
    pipeline=None,
    is_whole=True,
    state="succeeded",
    reason=None,
    finished_at=NOON,
)


def test_a_flapping_metric_makes_one_run_not_forty():

    document = {"when": {"metric": {"name": "churn", "metric": "acc", "below": 0.9, "rearm": 0.95}}, "job": {}}
    trigger = declared("t", {**document, "brakes": {"cooldown_seconds": 86400, "in_flight": 1}})
    when: Any = trigger.when
    armed, happenings = True, list[Happening]()
    for number in range(80):
        moment = NOON + number * 60 * SECOND
        run = replace(A_RUN, id=f"j{number}", finished_at=moment)
        armed, happening = judge(when, run, armed, [0.89 if number % 2 else 0.91], at=moment)
        happenings += [happening] if happening else []

    found = simulate(trigger, happenings, lasts=HOUR, until=NOON + timedelta(days=2))

    assert (found.runs, found.totals) == (1, {RUN: 1, HELD: 39, PENDING: 0})


def test_an_absence_is_once_for_each_time_that_nothing_came():
    ends = [NOON + hours * HOUR for hours in (1, 30, 31)]

    found = absences(NOON, ends, 26 * HOUR, until=NOON + 60 * HOUR)

    assert found == [(NOON + HOUR, NOON + 27 * HOUR), (NOON + 31 * HOUR, NOON + 57 * HOUR)]


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (EventFilter(), None),
        (EventFilter(type="data.*", source="/la*", where={"data.n": 1, "data.files.0": "x"}), None),
        (EventFilter(type="model.*"), 'Its type is "data.ready", not model.*.'),
        (EventFilter(subject="s"), "Its subject is null, not s."),
        (EventFilter(where={"data.n": True}), "Its data.n is 1, not true."),
        (EventFilter(where={"data.m": 1}), "Its data.m is absent, not 1."),
    ],
)
def test_a_filter_says_why_an_event_is_not_for_it(wanted: EventFilter, reason: str | None):
    assert wanted.mismatch(EVENT) == reason


def test_parameters_come_from_the_event_as_values_never_as_text_of_a_command():
    declared_ = {
        "n": {"from": "data.n"},
        "list": {"from": "data.files"},
        "x": 5,
        "no": {"from": "data.m", "default": 7},
    }

    assert parameters_of(declared_, EVENT) == {"n": 1, "list": '["x"]', "x": 5, "no": 7}
    with pytest.raises(KeyError, match=r"data\.m"):
        parameters_of({"m": {"from": "data.m"}}, EVENT)


def test_the_environment_of_several_events_is_about_all_of_them():
    files = [{**EVENT, "type": "levare.file.created", "data": {"path": path}} for path in ("/a", "/b")]

    assert environment_of(files)["LEVARE_FILES"] == '["/a","/b"]'
    assert "LEVARE_FILE" not in environment_of(files)
    assert "LEVARE_EVENT" not in environment_of(files)
    assert environment_of(files[:1])["LEVARE_FILE"] == "/a"
    assert environment_of([EVENT])["LEVARE_EVENT_ID"] == "a"
    assert sameness(EVENT, ["data.n", "data.m"]) == "[1, null]"


def test_a_resource_is_read_in_percent_of_what_is_meant():
    heartbeats = {
        "n1": {"gpu0_utilisation_percent": 3, "memory_used_mib": 1, "memory_total_mib": 4, "cpu_percent": 7},
        "n2": {"disk_used_percent": 90},
    }

    def found(resource: str, node: str | None = None) -> dict[str, float]:
        when: Any = declared("t", {"when": {"resource": {"resource": resource, "below": 5, "node": node}}}).when
        return readings(when, heartbeats)

    assert found("gpu") == {"n1/gpu0": 3}
    assert found("memory") == {"n1": 25}
    assert found("cpu", "n2") == {}
    assert found("disk") == {"n2": 90}


STEPS = st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["write", "remove", "look"])), max_size=25)


@settings(max_examples=80, deadline=None)
@given(steps=STEPS)
def test_each_content_of_a_file_that_stays_is_told_exactly_once(steps: list[tuple[int, str]]):
    known: dict[str, Seen] = {}
    told: list[Print] = []
    now, content, there = NOON, 0, dict[str, Print]()
    for pause, step in [*steps, (0, "look"), (100, "look"), (100, "look")]:
        now += pause * SECOND
        if step == "write":
            content += 1
            there = {"f": Print(content, content, 1)}
        elif step == "remove":
            there = {}
        else:
            known, still = look(known, there, quiet=5 * SECOND, is_first=False, now=now)
            told += [known[path].mark for path in still]

    assert len(told) == len(set(told)) or any(step == "remove" for _, step in steps)
    assert (not there) or told[-1:] == [there["f"]]
