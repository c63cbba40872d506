from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from levare.decide.use import accrued, by_day, fading
from levare.model import LIVE, Move, Placement, Request
from levare.store import attempts
from levare.store.attempts import Outcome
from levare.store.engine import Database
from levare.store.tables import attempts as attempts_table
from levare.store.tables import use, use_days

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
WEEK = timedelta(days=7)


def run(database: Database, job_id: str, start: datetime, end: datetime | None, **request: Any) -> None:
    """A job that has run, and whose ending has not been settled."""
    asked = Request(**{"cpus": 2, **request})
    devices = {f"n1-{i}": asked.gpu_memory_mib or 81920 for i in range(asked.gpus)}
    with database.writing() as connection:
        [message] = attempts.place(connection, [Placement(job_id, "n1", asked, devices)], {}, now=start)
        assert attempts.finish(connection, message.attempt_id, Outcome("succeeded", "Ended.", 0, ended_at=end))


def settle(database: Database, *job_ids: str, now: datetime, half_life: timedelta = WEEK) -> None:
    with database.writing() as connection:
        attempts.move(connection, [Move(each, LIVE, "succeeded") for each in job_ids], now=now, half_life=half_life)


def rows(database: Database, table: Any) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(select(table).order_by(*table.primary_key.columns)))


def test_a_settled_attempt_is_charged_to_whom_it_was_for(database: Database, add_job, add_node):
    add_node()
    add_job(team="vision", project="p", user="ada")
    run(database, "job", NOON, NOON + 2 * HOUR, gpus=2)

    settle(database, "job", now=NOON + 3 * HOUR)

    [row] = rows(database, use)
    [day] = rows(database, use_days)
    assert (row.team, row.project, row.user, row.as_of) == ("vision", "p", "ada", NOON + 2 * HOUR)
    assert row.use == pytest.approx(accrued(2.1, 2 * HOUR, WEEK))
    assert (day.day, day.gpu_seconds, day.cpu_seconds, day.attempts) == ("2026-01-01", 14400, 14400, 1)


def test_a_part_of_a_gpu_counts_as_its_part_of_the_memory(database: Database, add_job, add_node):
    add_node()
    add_job()
    run(database, "job", NOON, NOON + HOUR, gpus=1, gpu_memory_mib=20480)

    settle(database, "job", now=NOON + HOUR)

    assert rows(database, use_days)[0].gpu_seconds == 900


def test_settling_again_charges_nothing_again(database: Database, add_job, add_node):
    add_node()
    add_job()
    run(database, "job", NOON, NOON + HOUR, gpus=1)
    settle(database, "job", now=NOON + HOUR)
    before = rows(database, use), rows(database, use_days)

    settle(database, "job", now=NOON + 2 * HOUR)

    assert (rows(database, use), rows(database, use_days)) == before


def test_many_who_settle_the_same_at_once_charge_it_once(database: Database, add_job, add_node):
    add_node()
    jobs = [add_job(f"j{i}", user=f"u{i % 2}") for i in range(6)]
    for i, job in enumerate(jobs):
        run(database, job, NOON, NOON + (i + 1) * HOUR, gpus=1)

    odd, even = (1, 3, 5), (2, 4, 6)
    with ThreadPoolExecutor(6) as pool:
        shifted = [jobs[i:] + jobs[:i] for i in range(6)]
        list(pool.map(lambda order: [settle(database, each, now=NOON + 9 * HOUR) for each in order], shifted))

    found = rows(database, use_days)
    assert sum(row.attempts for row in found) == 6
    assert sum(row.gpu_seconds for row in found) == sum(range(1, 7)) * 3600
    expected = [sum(accrued(1.1, i * HOUR, WEEK) * fading((6 - i) * HOUR, WEEK) for i in each) for each in (odd, even)]
    faded = [row.use * fading(NOON + 6 * HOUR - row.as_of, WEEK) for row in rows(database, use)]
    assert faded == pytest.approx(expected)


def test_the_order_in_which_attempts_are_settled_changes_nothing(database: Database, add_job, add_node):
    add_node()
    add_job("early")
    add_job("late")
    run(database, "late", NOON, NOON + 50 * HOUR, gpus=1)
    run(database, "early", NOON, NOON + 10 * HOUR, gpus=1)

    settle(database, "late", now=NOON + 60 * HOUR)
    settle(database, "early", now=NOON + 61 * HOUR)

    [row] = rows(database, use)
    expected = accrued(1.1, 10 * HOUR, WEEK) * fading(40 * HOUR, WEEK) + accrued(1.1, 50 * HOUR, WEEK)
    assert row.as_of == NOON + 50 * HOUR
    assert row.use == pytest.approx(expected)


def test_an_end_that_a_wrong_clock_tells_is_not_believed(database: Database, add_job, add_node):
    add_node()
    for job, end in (("ahead", NOON + 9999 * HOUR), ("behind", NOON - HOUR), ("unknown", None)):
        add_job(job, user=job)
        run(database, job, NOON, end, gpus=1)

    settle(database, "ahead", "behind", "unknown", now=NOON + HOUR)

    assert {row.user: row.gpu_seconds for row in rows(database, use_days)} == {
        "ahead": 3600,
        "behind": 0,
        "unknown": 3600,
    }


def test_all_attempts_of_a_gang_are_charged(database: Database, add_job, add_node):
    add_node()
    add_job()
    run(database, "job", NOON, NOON + HOUR, gpus=1)
    with database.writing() as connection:
        first = connection.execute(select(attempts_table)).mappings().one()
        connection.execute(attempts_table.insert(), [{**first, "id": "job-1.1", "rank": 1}])

    settle(database, "job", now=NOON + HOUR)

    assert (rows(database, use_days)[0].gpu_seconds, rows(database, use_days)[0].attempts) == (7200, 2)


def test_what_still_runs_is_not_charged(database: Database, add_job, add_node):
    add_node()
    add_job()
    run(database, "job", NOON, NOON + HOUR, gpus=1)
    with database.writing() as connection:
        connection.execute(update(attempts_table).values(state="running"))

    settle(database, "job", now=NOON + HOUR)

    assert rows(database, use) == []


@given(start=st.integers(0, 10**7), seconds=st.integers(0, 10**6), offset=st.integers(-12, 12))
def test_the_days_of_a_span_are_all_of_it_in_order(start: int, seconds: int, offset: int):
    begins = (NOON + timedelta(seconds=start)).astimezone(timezone(timedelta(hours=offset)))

    days = list(by_day(begins, begins + timedelta(seconds=seconds)))

    assert sum(part for _, part in days) == pytest.approx(seconds)
    assert [day for day, _ in days] == sorted({day for day, _ in days})
    assert all(0 < part <= 86400 for _, part in days)
