"""When schedules are due. The rule for clocks that change is checked against an oracle that walks every minute."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from levare.decide.times import (
    ALWAYS,
    Calendar,
    Cron,
    Interval,
    Once,
    Rule,
    Window,
    between,
    count,
    fires_at,
    latest,
    next_after,
    previous,
    weekdays,
    zone_named,
)
from levare.errors import InvalidSchedule
from tests.pure.cron_campaign import campaign, expressions
from tests.pure.cron_oracle import minute_of

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
modest = settings(max_examples=20, deadline=None)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def rule(text: str, zone: str = "UTC", **bounds) -> Rule:
    return Rule(Cron.parse(text), zone_named(zone), **bounds)


def shown(text: str, zone: str, begin: str, end: str, **bounds) -> list[str]:
    """What clocks show when something is due between two instants of UTC."""
    found = between(rule(text, zone, **bounds), utc(begin), utc(end), 1000)
    return [f"{each.astimezone(zone_named(zone)):%d %H:%M %z}" for each in found]


def test_due_times_are_those_of_the_oracle():
    zones = ["America/New_York", "Pacific/Apia", "Australia/Lord_Howe", "Antarctica/Casey"]

    tally = campaign(expressions(200)[::16], zones, minute_of(utc("2011-09-01")), minute_of(utc("2012-05-01")))

    assert tally.differences == 0, tally.first
    assert tally.comparisons > 2_000


def test_a_fixed_time_that_clocks_jump_over_is_due_once_at_the_jump():
    assert shown("0,30 2 * * *", "America/New_York", "2026-03-07T12:00", "2026-03-09T12:00") == [
        "08 03:00 -0400",
        "09 02:00 -0400",
        "09 02:30 -0400",
    ]


def test_what_is_due_at_the_jump_anyhow_is_not_due_twice():
    assert shown("30 2,3 * * *", "Europe/Lisbon", "2026-03-28T12:00", "2026-03-29T12:00") == [
        "29 02:30 +0100",
        "29 03:30 +0100",
    ]
    assert shown("0 1,2 * * *", "Europe/Lisbon", "2026-03-28T12:00", "2026-03-29T12:00") == ["29 02:00 +0100"]


def test_backward_too_a_jump_is_due_once():
    backward = Cron.parse("0 1,2 * * *").before(utc("2026-03-29T12:00"), zone_named("Europe/Lisbon"))

    assert [*islice(backward, 3)] == [utc("2026-03-29T01:00"), utc("2026-03-28T02:00"), utc("2026-03-28T01:00")]


def test_a_fixed_time_that_clocks_show_twice_is_due_the_first_time():
    assert shown("30 1 * * *", "America/New_York", "2026-10-31T12:00", "2026-11-02T12:00") == [
        "01 01:30 -0400",
        "02 01:30 -0500",
    ]


def test_asked_within_the_hour_that_comes_again_a_fixed_time_is_behind():
    again = utc("2026-11-01T06:15")  # 01:15 for the second time

    assert next_after(rule("30 1 * * *", "America/New_York"), again) == utc("2026-11-02T06:30")
    assert previous(rule("30 1 * * *", "America/New_York"), again) == utc("2026-11-01T05:30")


def test_a_wild_expression_follows_the_clocks():
    hourly = between(rule("0 * * * *", "America/New_York"), utc("2026-11-01T00:00"), utc("2026-11-02T00:00"), 100)

    assert [late - early for early, late in pairwise(hourly)] == [HOUR] * 23
    assert shown("*/30 2 * * *", "America/New_York", "2026-03-08T00:00", "2026-03-09T00:00") == []
    assert len(shown("*/30 1 * * *", "America/New_York", "2026-11-01T00:00", "2026-11-02T00:00")) == 4


def test_of_a_day_that_a_country_skipped_nothing_is_made_up():
    assert shown("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00", "2011-12-31T12:00") == [
        "29 09:00 -1000",
        "31 09:00 +1400",
    ]


def test_clocks_that_are_put_back_by_a_day_show_a_fixed_time_twice_and_it_is_due_twice():
    assert shown("0 12 30 9 *", "Pacific/Kwajalein", "1969-09-29T00:00", "1969-10-02T00:00") == [
        "30 12:00 +1100",
        "30 12:00 -1200",
    ]


def test_a_jump_of_odd_seconds_is_found_to_the_second():
    monrovia = rule("30 0 7 1 *", "Africa/Monrovia")  # until 1972 it was 44 minutes and 30 seconds behind

    assert next_after(monrovia, utc("1972-01-01")) == utc("1972-01-07T00:44:30")
    assert previous(monrovia, utc("1972-02-01")) == utc("1972-01-07T00:44:30")


@pytest.mark.parametrize(
    ("text", "dates"),
    [
        ("0 0 13 * FRI", ["01-02", "01-09", "01-13", "01-16", "01-23", "01-30"]),
        ("0 0 */10 * FRI", []),
        ("0 0 L * *", ["01-31"]),
        ("0 0 LW * *", ["01-30"]),
        ("0 0 * * 5L", ["01-30"]),
        ("0 0 * * FRIL", ["01-30"]),
        ("0 0 * JAN MON#2", ["01-12"]),
        ("0 0 * * FRI-SUN", [f"01-{day:02}" for day in range(1, 32) if day % 7 in (2, 3, 4)]),
        ("0 0 5-5/10 * *", ["01-05"]),
        ("@weekly", ["01-04", "01-11", "01-18", "01-25"]),
        ("@MONTHLY", ["01-01"]),
    ],
)
def test_the_days_of_january_2026_on_which_it_is_due(text: str, dates: list[str]):
    found = between(rule(text), utc("2025-12-31T23:59"), utc("2026-01-31T23:59"), 100)

    assert [f"{each:%m-%d}" for each in found] == dates


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("61 * * * *", ["minute", "'61'", "0 to 59"]),
        ("* 24 * * *", ["hour", "'24'", "0 to 23"]),
        ("0 0 0 * *", ["day of month", "'0'", "1 to 31"]),
        ("0 0 15W * *", ["day of month", "'15W'", "LW"]),
        ("0 0 L/2 * *", ["day of month", "'L'"]),
        ("0 0 * FOO *", ["month", "'FOO'", "JAN to DEC"]),
        ("0 0 * * 8", ["day of week", "'8'", "0 to 7"]),
        ("0 0 * * L", ["day of week", "'L'", "5L"]),
        ("0 0 * * MON#6", ["day of week", "'MON#6'", "1 to 5"]),
        ("0 0 ? * *", ["day of month", "'?'", "* for any"]),
        ("0 0 * * SAT-TUE", ["day of week", "'SAT-TUE'", "SAT-7,0-TUE"]),
        ("*/90 * * * *", ["minute", "'*/90'", "1 to 59", "interval"]),
        ("*/0 * * * *", ["minute", "'*/0'", "1 to 59"]),
        ("1,,2 * * * *", ["minute", "''"]),
        ("\u0663 * * * *", ["minute", "'\u0663'"]),
        ("* * * *", ["4 fields and not 5"]),
        ("0 0 * * * *", ["6 fields and not 5", "interval"]),
        ("@reboot", ["@reboot", "one machine", "@hourly"]),
        ("@dayly", ["@dayly", "@daily"]),
    ],
)
def test_an_expression_that_is_wrong_says_where_and_what_is_allowed(text: str, words: list[str]):
    with pytest.raises(InvalidSchedule) as refused:
        Cron.parse(text)

    assert all(word in str(refused.value) for word in words), refused.value
    assert refused.value.faults[0].limit
    assert refused.value.next_step


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Lisbon", "Europe/Lisbon"),
        ("New York", "America/New_York"),
        ("Europe/Berlim", "Europe/Berlin"),
        ("../../etc/passwd", "UTC"),
        ("localtime", "UTC"),
        ("", "UTC"),
    ],
)
def test_a_zone_that_does_not_exist_is_refused_with_the_nearest(name: str, near: str):
    with pytest.raises(InvalidSchedule, match=near):
        zone_named(name)


def test_an_interval_counts_elapsed_time_from_its_anchor():
    every = Rule(Interval(timedelta(hours=25), utc("2026-03-07T00:00")), zone_named("America/New_York"))

    assert next_after(every, utc("2020-01-01")) == utc("2026-03-07T00:00")
    assert next_after(every, utc("2026-03-08T01:00")) == utc("2026-03-09T02:00")
    assert previous(every, utc("2026-03-08T01:00")) == utc("2026-03-07T00:00")
    assert previous(every, utc("2026-03-07T00:00")) is None


def test_an_interval_below_a_second_and_times_without_a_zone_are_refused():
    with pytest.raises(InvalidSchedule, match=r"Every 0\.5 s is too often. Give 1 s"):
        Interval(timedelta(seconds=0.5), utc("2026-01-01"))
    naive = utc("2026-01-01").replace(tzinfo=None)
    for make in (lambda: Once(naive), lambda: Interval(HOUR, naive), lambda: rule("@daily", start=naive)):
        with pytest.raises(InvalidSchedule, match="has no time zone"):
            make()


def test_once_is_due_once():
    once = Rule(Once(utc("2026-05-01T12:00")), zone_named("UTC"))

    assert between(once, utc("2026-01-01"), utc("2027-01-01"), 10) == [utc("2026-05-01T12:00")]
    assert next_after(once, utc("2026-05-01T12:00")) is None
    assert previous(once, utc("2026-05-01T12:00")) is None


def test_the_start_is_within_a_rule_and_its_end_is_not():
    bounded = rule("0 * * * *", start=utc("2026-01-01T05:00"), end=utc("2026-01-01T07:00"))

    assert between(bounded, utc("2025-01-01"), utc("2027-01-01"), 10) == [
        utc("2026-01-01T05:00"),
        utc("2026-01-01T06:00"),
    ]
    assert previous(bounded, utc("2027-01-01")) == utc("2026-01-01T06:00")
    assert previous(bounded, utc("2026-01-01T05:00")) is None


def test_a_window_over_midnight_counts_each_part_on_its_own_day():
    nights = Calendar(days=weekdays("MON"), windows=(Window.parse("22:00-06:00"),))

    assert shown("0 */2 * * *", "UTC", "2026-01-03T00:00", "2026-01-07T00:00", calendar=nights) == [
        "05 00:00 +0000",
        "05 02:00 +0000",
        "05 04:00 +0000",
        "05 22:00 +0000",
    ]


def test_what_is_excluded_or_a_holiday_is_not_due():
    calendar = Calendar(excluded=frozenset({date(2026, 1, 2)}), holidays=frozenset({date(2026, 1, 3)}))

    assert shown("0 1 * * *", "Asia/Tokyo", "2025-12-31T18:00", "2026-01-03T18:00", calendar=calendar) == [
        "04 01:00 +0900"
    ]


def test_a_window_is_open_again_in_the_hour_that_comes_again():
    calendar = Calendar(windows=(Window.parse("01:00-01:30"),))

    times = shown("*/15 * * * *", "America/New_York", "2026-11-01T04:30", "2026-11-01T10:00", calendar=calendar)

    assert times == ["01 01:00 -0400", "01 01:15 -0400", "01 01:00 -0500", "01 01:15 -0500"]


def test_windows_may_overlap():
    overlapping = Calendar(windows=(Window.parse("22:00-06:00"), Window.parse("01:30-02:30")))

    assert previous(rule("0 * * * *", calendar=overlapping), utc("2026-01-01T12:00")) == utc("2026-01-01T05:00")
    assert next_after(rule("0 * * * *", calendar=overlapping), utc("2026-01-01T02:10")) == utc("2026-01-01T03:00")


def test_a_window_that_clocks_jump_out_of_was_open_until_the_jump():
    early = rule("*/30 * * * *", "America/New_York", calendar=Calendar(windows=(Window.parse("01:00-02:30"),)))

    assert previous(early, utc("2026-03-08T07:15")) == utc("2026-03-08T06:30")
    assert previous(early, utc("2026-03-08T12:00")) == utc("2026-03-08T06:30")


@pytest.mark.parametrize("text", ["22-6", "25:00-26:00", "06:00-06:00", "24:00-06:00", ""])
def test_a_window_that_is_none_is_refused(text: str):
    with pytest.raises(InvalidSchedule, match="HH:MM-HH:MM"):
        Window.parse(text)


def test_a_calendar_needs_a_day():
    with pytest.raises(InvalidSchedule, match="never open"):
        Calendar(days=frozenset())
    with pytest.raises(InvalidSchedule, match="weeks of the month"):
        weekdays("MON#2")


def test_a_calendar_that_refuses_everything_leaves_nothing_due():
    never = rule("0 12 * * *", calendar=Calendar(windows=(Window.parse("00:00-06:00"),)))

    assert next_after(never, utc("2026-01-01")) is None
    assert previous(never, utc("2026-01-01")) is None


def test_the_latest_of_many_years_is_found_without_counting_them():
    every_minute, now = rule("* * * * *", "Europe/Berlin"), utc("2026-11-22T12:00")

    assert latest(every_minute, utc("1980-01-01"), now) == now
    assert count(every_minute, utc("1980-01-01"), now, 100) == 100
    saturdays = Rule(Interval(timedelta(seconds=1), utc("1980-01-01")), UTC_ZONE, calendar=Calendar(weekdays("SAT")))
    assert latest(saturdays, utc("1980-01-01"), now) == utc("2026-11-21T23:59:59")


UTC_ZONE = zone_named("UTC")
zones = st.sampled_from(["UTC", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "America/Havana"])
instants = st.integers(0, 15 * 366 * 86400 * 2).map(lambda halves: utc("2015-01-01") + halves * timedelta(seconds=0.5))
crons = st.sampled_from([Cron.parse(text) for text in expressions(200)])
intervals = st.builds(Interval, st.timedeltas(timedelta(seconds=1), timedelta(days=9)), instants)
windows = st.sampled_from(["22:00-06:00", "01:30-02:30", "09:00-24:00"]).map(Window.parse)
calendars = st.just(ALWAYS) | st.builds(
    Calendar,
    st.frozensets(st.integers(1, 7), min_size=1),
    st.lists(windows, max_size=2).map(tuple),
    st.frozensets(st.dates(date(2015, 1, 1), date(2030, 1, 1)), max_size=5),
)
rules = st.builds(
    Rule,
    crons | crons | intervals | st.builds(Once, instants),
    zones.map(zone_named),
    st.none() | instants,
    st.none() | instants,
    calendars,
)


@modest
@given(rules, instants, st.timedeltas(timedelta(), timedelta(days=60)))
def test_between_is_what_next_finds_and_latest_and_count_agree(found, after, span):
    dues = between(found, after, after + span, 30)

    assert all(early < late for early, late in pairwise([after, *dues]))
    assert [next_after(found, each) for each in [after, *dues][: len(dues)]] == dues
    assert count(found, after, after + span, 30) == len(dues)
    assert latest(found, after, dues[-1] if dues else after + span) == (dues[-1] if dues else None)


@modest
@given(rules, instants)
def test_backward_is_forward(found, instant):
    due = next_after(found, instant)

    if due:
        assert previous(found, due + timedelta.resolution) == due
        before = previous(found, due)
        assert before is None or (before <= instant and next_after(found, before) == due)


@modest
@given(rules, instants)
def test_what_is_due_is_within_the_bounds_and_the_calendar(found, instant):
    due = next_after(found, instant)

    if due:
        assert due > instant
        assert due.tzinfo is UTC
        assert found.start is None or due >= found.start
        assert found.end is None or due < found.end
        assert found.calendar.admits(due.astimezone(found.zone).replace(tzinfo=None))


@modest
@given(st.text("ab-"), instants, st.timedeltas(timedelta(), DAY))
def test_jitter_is_the_same_each_time_and_less_than_its_limit(name, due, jitter):
    at = fires_at(name, due, jitter)

    assert at == fires_at(name, due.astimezone(zone_named("Asia/Kolkata")), jitter)
    assert timedelta() <= at - due < max(jitter, timedelta.resolution)


def test_jitter_spreads_schedules_and_instants():
    due = utc("2026-01-01")
    names = [fires_at(f"schedule-{number}", due, HOUR) - due for number in range(100)]
    days = [fires_at("nightly", due + number * DAY, HOUR) - due - number * DAY for number in range(100)]

    for offsets in (names, days):
        assert len({offset // (HOUR / 4) for offset in offsets}) == 4
        assert len(set(offsets)) == 100
