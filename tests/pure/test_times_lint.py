"""What is said of a rule that a person may not have meant."""

from datetime import UTC, datetime, timedelta

import pytest

from levare.decide.times import (
    Calendar,
    Cron,
    Finding,
    Interval,
    Lint,
    Once,
    Rule,
    Window,
    lint,
    weekdays,
    zone_named,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NIGHT = Calendar(windows=(Window.parse("22:00-06:00"),))


def of(when: str | Interval | Once, zone: str = "UTC", **bounds) -> list[Finding]:
    return lint(Rule(Cron.parse(when) if isinstance(when, str) else when, zone_named(zone), **bounds), now=NOW)


def found(*arguments, **bounds) -> list[Lint]:
    return [each.lint for each in of(*arguments, **bounds)]


@pytest.mark.parametrize(
    "text", ["0 3 * * *", "*/15 * * * *", "0 */6 * * MON-FRI", "@hourly", "0 0 L * *", "0 12 1-31 * *"]
)
def test_nothing_is_said_of_a_plain_rule(text: str):
    assert found(text) == []


def test_a_day_that_no_month_has_is_never_due():
    (finding,) = of("0 0 30 2 *")

    assert finding.lint == Lint.NEVER
    assert "'0 0 30 2 *' has such a day" in finding.message


@pytest.mark.parametrize(
    ("arguments", "bounds", "why"),
    [
        (("0 12 * * *",), {"calendar": NIGHT}, "calendar refuses all"),
        (("0 12 * * *",), {"end": NOW - DAY}, "it ended at 2026-11-21 12:00 UTC"),
        (("0 0 1 1 *",), {"end": NOW + DAY}, "after its end"),
        ((Once(NOW),), {}, "has passed"),
    ],
)
def test_what_is_never_due_says_why(arguments, bounds, why: str):
    (finding,) = of(*arguments, **bounds)

    assert finding.lint == Lint.NEVER
    assert why in finding.message


def test_an_end_before_the_start_is_said_alone():
    assert found("*/45 * * * *", start=NOW + DAY, end=NOW) == [Lint.ENDS_BEFORE_START]


def test_a_calendar_that_leaves_little_is_said_with_numbers():
    (finding,) = of("0 12 * * *", calendar=Calendar(weekdays("SUN")))

    assert finding.lint == Lint.CALENDAR
    assert "it leaves 104 of 731" in finding.message
    assert found("0 12 * * *", calendar=Calendar(weekdays("MON-FRI"))) == []
    assert found("* * * * *", calendar=NIGHT) == [Lint.CALENDAR]


def test_more_often_than_once_a_minute_is_said():
    assert found(Interval(timedelta(seconds=59), NOW)) == [Lint.TOO_OFTEN]
    assert found(Interval(timedelta(seconds=60), NOW)) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*/45 * * * *", "the hour evenly: after 0, 45 it begins again with 0"),
        ("0 */5 * * *", "the day evenly: after ..., 5, 10, 15, 20 it begins again with 0"),
        ("0 0 */2 * *", "the month evenly: after ..., 25, 27, 29, 31 it begins again with 1"),
        ("5/25 * * * *", "the hour evenly: after 5, 30, 55 it begins again with 5"),
    ],
)
def test_a_step_that_does_not_divide_evenly_is_said(text: str, words: str):
    (finding,) = of(text)

    assert finding.lint == Lint.UNEVEN_STEP
    assert words in finding.message


def test_a_step_within_a_part_of_the_day_is_not_said():
    assert found("0 9-17/3 * * *") == []


def test_both_days_given_means_either():
    (finding,) = of("0 12 1 * mon")

    assert finding.lint == Lint.EITHER_DAY
    assert "day 1 of the month and also on day MON" in finding.message
    assert found("0 12 */10 * MON") == [Lint.UNEVEN_STEP]


@pytest.mark.parametrize(
    ("text", "months"),
    [("0 0 31 * *", "FEB APR JUN SEP NOV."), ("0 0 15,30 * *", "FEB."), ("0 0 29 2 *", "FEB in most years.")],
)
def test_a_day_that_short_months_lack_is_said(text: str, months: str):
    (finding,) = of(text)

    assert finding.lint == Lint.SHORT_MONTHS
    assert months in finding.message


def test_a_day_that_every_month_named_has_is_not_said():
    assert found("0 0 31 JAN,MAR *") == []


def test_a_time_that_clocks_jump_over_is_said_with_the_dates():
    (finding,) = of("30 2 * * *", "America/New_York")

    assert finding.lint == Lint.SKIPPED
    assert "02:00 to 03:00 on 2027-03-14, and once more" in finding.message
    assert "is due at the jump, at 03:00" in finding.message
    assert finding.at == (datetime(2027, 3, 14, 7, tzinfo=UTC), datetime(2028, 3, 12, 7, tzinfo=UTC))


def test_a_time_that_clocks_show_twice_is_said_with_what_becomes_of_it():
    (fixed,) = of("30 1 * * *", "America/New_York")
    (wild,) = of("*/30 1 * * *", "America/New_York")

    assert fixed.lint == wild.lint == Lint.DOUBLED
    assert "is due the first time only" in fixed.message
    assert "is due both times" in wild.message


def test_changes_outside_of_the_rule_are_not_said():
    assert found("30 2 * * *", "America/New_York", end=NOW + DAY) == []
    assert found("30 2 * JUN *", "America/New_York") == []
    assert found("*/10 * * * *", "America/New_York") == []
