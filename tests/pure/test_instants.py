"""Why an instant is due, or is not."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.instants import look
from levare.decide.timing import timing_of

BERLIN = {"zone": "Europe/Berlin"}
AUTUMN = datetime(2026, 10, 25, tzinfo=UTC)
"""On this day clocks of Berlin are put back at 01:00 UTC, from 03:00 to 02:00."""


def parts(definition: dict[str, Any], at: datetime) -> list[str]:
    return [each.part for each in look(timing_of(definition), at).excluded]


def test_the_due_time_of_the_minute_is_meant():
    at = datetime(2026, 1, 1, 3, 0, 40, tzinfo=UTC)

    instant = look(timing_of({"cron": "0 3 * * *"}), at)

    due_at, day = at.replace(second=0), timedelta(days=1)
    assert (instant.due_at, instant.before, instant.after) == (due_at, due_at - day, due_at + day)
    assert instant.excluded == ()


def test_a_wrong_time_is_told_by_the_fields_that_it_misses():
    [excluded] = look(timing_of({"cron": "0 3 * 1 *", **BERLIN}), datetime(2026, 2, 1, 3, 15, tzinfo=UTC)).excluded

    assert excluded.message == (
        "Clocks of Europe/Berlin show Sun 2026-02-01 04:15: '0 3 * 1 *' does not have that minute and hour and month."
    )


def test_a_wrong_day_is_told_as_such():
    [excluded] = look(timing_of({"cron": "0 3 1 * *"}), datetime(2026, 2, 2, 3, tzinfo=UTC)).excluded

    assert excluded.message.endswith("'0 3 1 * *' does not have that day.")


def test_a_time_that_clocks_show_again_is_told_by_the_change():
    nightly = {"cron": "30 2 * * *", **BERLIN}

    assert parts(nightly, AUTUMN + timedelta(minutes=30)) == []
    assert parts(nightly, AUTUMN + timedelta(minutes=90)) == ["zone"]


def test_all_that_excludes_a_time_is_told():
    definition = {
        "every_seconds": 7,
        "starts": "2026-03-01T00:00:00Z",
        "calendar": {"days": "MON", "windows": ["01:00-02:00"]},
    }

    told = parts(definition, datetime(2026, 2, 22, 12, tzinfo=UTC))

    assert told == ["every_seconds", "starts", "calendar.days", "calendar.windows"]


crons = st.sampled_from(["0 3 * * *", "*/20 * * * *", "30 2 * * FRI-SAT", "0 0 L * *", "15 1,2,3 * * SUN"])
calendars = st.sampled_from([{}, {"days": "SAT,SUN"}, {"windows": ["22:00-04:00"]}, {"except": ["2026-10-25"]}])


@settings(max_examples=40, deadline=None)
@given(crons, calendars, st.integers(0, 4 * 24 * 60))
def test_what_is_not_due_always_says_why(cron: str, calendar: dict[str, Any], minutes: int):
    at = AUTUMN - timedelta(days=2) + timedelta(minutes=minutes)

    instant = look(timing_of({"cron": cron, "calendar": calendar, **BERLIN}), at)

    assert (instant.due_at is None) == bool(instant.excluded)
    assert all(each.message.endswith(".") for each in instant.excluded)
    assert instant.due_at in (None, at)
