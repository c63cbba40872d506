"""What becomes of due instants: each one fate, whatever happened meanwhile."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.due import MISFIRES, MOST_ROWS, OVERLAPS, RUN, Fire, OpenRun, Schedule, settle, words
from levare.decide.times import between
from levare.decide.timing import timing_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)


def hourly(**changes: Any) -> Schedule:
    """Settled until noon."""
    return Schedule("s", timing_of({"cron": "0 * * * *"}), NOON, **changes)


def outcomes(fires: Sequence[Fire]) -> list[str]:
    return [fire.outcome for fire in fires]


@pytest.mark.parametrize(
    ("misfire", "expected"),
    [
        ("skip", ["skipped", "skipped", "skipped"]),
        ("latest", ["skipped", "skipped", "run"]),
        ("all", ["run", "run", "run"]),
    ],
)
def test_after_a_downtime_of_three_due_times(misfire: str, expected: list[str]):
    settled = settle(hourly(misfire=misfire), now=NOON + 3.5 * HOUR)

    assert outcomes(settled.fires) == expected
    assert settled.due_at == NOON + 4 * HOUR
    assert settled.settled_to == NOON + 3 * HOUR


@pytest.mark.parametrize("misfire", MISFIRES)
def test_what_is_on_time_runs_whatever_the_policy(misfire: str):
    settled = settle(hourly(misfire=misfire), now=NOON + HOUR + 2 * SECOND)

    assert outcomes(settled.fires) == ["run"]
    assert settled.fires[0].reason is None


def test_nothing_is_settled_before_it_is_due():
    settled = settle(hourly(), now=NOON + HOUR - SECOND)

    assert not settled.fires
    assert (settled.settled_to, settled.due_at) == (NOON, NOON + HOUR)


@pytest.mark.parametrize(("misfire", "runs"), [("skip", 0), ("latest", 1), ("all", 100)])
def test_a_week_of_missed_minutes_does_not_flood(misfire: str, runs: int):
    schedule = Schedule("s", timing_of({"cron": "* * * * *"}), NOON, misfire)

    settled = settle(schedule, now=NOON + timedelta(days=7) - 30 * SECOND)

    assert len(settled.fires) == 7 * 24 * 60 - 1
    assert outcomes(settled.fires).count(RUN) == runs


def test_what_is_older_than_a_week_of_minutes_is_skipped_as_one():
    schedule = Schedule("s", timing_of({"cron": "* * * * *"}), NOON)

    settled = settle(schedule, now=NOON + timedelta(days=30))

    oldest, *others = settled.fires
    assert len(others) == MOST_ROWS
    assert oldest.due_at == NOON + MINUTE
    assert oldest.until == others[0].due_at - MINUTE


def test_what_is_too_late_does_not_run():
    settled = settle(hourly(longest_lateness=10 * MINUTE), now=NOON + HOUR + 11 * MINUTE)

    assert [fire.reason for fire in settled.fires] == ["It was 11 min late, and 10 min is the most that is allowed."]


def test_a_paused_schedule_says_so_of_each_due_time():
    settled = settle(hourly(paused="Paused by ada."), now=NOON + 2 * HOUR)

    assert [(fire.outcome, fire.reason) for fire in settled.fires] == [("skipped", "Paused by ada.")] * 2


def test_forbidden_overlap_skips_and_names_the_run_that_is_open():
    run = OpenRun(NOON, ["a1"])

    settled = settle(hourly(overlap="forbid", open_runs=[run]), now=NOON + HOUR)

    reason = "The run due at 2026-01-01 12:00:00 UTC (a1) has not ended, and overlap is forbidden."
    assert [(fire.outcome, fire.reason) for fire in settled.fires] == [("skipped", reason)]


def test_forbidden_overlap_counts_a_run_of_the_same_decision():
    settled = settle(hourly(overlap="forbid", misfire="all"), now=NOON + 2 * HOUR + MINUTE)

    assert outcomes(settled.fires) == ["run", "skipped"]


def test_queued_runs_wait_for_each_other():
    run = OpenRun(NOON, ["a1", "a2"])

    settled = settle(hourly(overlap="queue", misfire="all", open_runs=[run]), now=NOON + 2 * HOUR + MINUTE)

    assert [(fire.after, fire.after_previous) for fire in settled.fires] == [(["a1", "a2"], False), ((), True)]


def test_a_run_that_replaces_cancels_what_is_open_and_waits_for_its_end():
    runs = [OpenRun(NOON - HOUR, ["a1"]), OpenRun(NOON, ["b1"])]

    settled = settle(hourly(overlap="replace", misfire="all", open_runs=runs), now=NOON + 2 * HOUR + MINUTE)

    assert outcomes(settled.fires) == ["skipped", "run"]
    assert settled.fires[1].cancels == settled.fires[1].after == ["a1", "b1"]


def test_jitter_delays_the_fire_and_not_the_due_time():
    schedule = Schedule("s", timing_of({"cron": "0 * * * *", "jitter_seconds": 1800}), NOON)
    waiting = settle(schedule, now=NOON + HOUR)
    assert not waiting.fires
    assert waiting.fires_at is not None

    settled = settle(schedule, now=waiting.fires_at)

    assert [fire.due_at for fire in settled.fires] == [NOON + HOUR]


def test_one_time_only():
    schedule = Schedule("s", timing_of({"at": "2026-01-01T13:00:00Z"}), NOON)

    settled = settle(schedule, now=NOON + HOUR)

    assert outcomes(settled.fires) == ["run"]
    assert (settled.due_at, settled.fires_at) == (None, None)


@settings(max_examples=100, deadline=None)
@given(
    definition=st.sampled_from(
        [
            {"cron": "*/7 * * * *", "zone": "Europe/Lisbon"},
            {"every_seconds": 90},
            {"cron": "30 2 * * *", "zone": "America/New_York", "jitter_seconds": 7200},
            {"every_seconds": 600, "jitter_seconds": 3000},
        ]
    ),
    looks=st.lists(st.integers(1, 20_000), min_size=1, max_size=12),
    misfire=st.sampled_from(MISFIRES),
    overlap=st.sampled_from(OVERLAPS),
)
def test_every_due_time_has_exactly_one_fate_whenever_beat_looks(
    definition: dict[str, Any], looks: list[int], misfire: str, overlap: str
):
    timing, now = timing_of(definition), NOON
    schedule = Schedule("s", timing, NOON, misfire, overlap=overlap)
    found: list[datetime] = []
    for seconds in looks:
        now += seconds * SECOND
        settled = settle(schedule, now=now)
        found += [fire.due_at for fire in settled.fires]
        assert all(timing.fires_at("s", fire.due_at) <= now for fire in settled.fires)
        schedule = Schedule("s", timing, settled.settled_to, misfire, overlap=overlap)

    assert found == between(timing.rule, NOON, schedule.settled_to, 100_000)
    assert settle(schedule, now=now).fires == ()


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(0 * SECOND, "0 s"), (61 * SECOND, "1 min 1 s"), (timedelta(days=2, minutes=3), "2 d 3 min"), (HOUR, "1 h")],
)
def test_durations_in_words(duration: timedelta, expected: str):
    assert words(duration) == expected
