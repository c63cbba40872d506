"""What attempts have cost, in SQL."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from beat.leader import Leader
from beat.tick import Tick
from levare.model import Rules
from levare.store import attempts, explain, tables, views
from levare.store.attempts import Outcome
from levare.store.engine import Database

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
AddJob = Callable[..., str]


@pytest.fixture
def tick(database: Database, add_node: Callable[..., str]) -> Tick:
    """Of a node with two GPUs for 8 an hour."""
    add_node(gpus=2, price=8.0)
    leader = Leader(database)
    assert leader.leads()
    return Tick(database, leader, Rules())


def finish(database: Database, attempt: str, ended_at: datetime, outcome: str = "succeeded") -> None:
    with database.writing() as connection:
        attempts.finish(connection, attempt, Outcome(outcome, "Done.", 0, ended_at=ended_at))


def read(database: Database, job: str) -> Mapping[str, Any]:
    with database.reading() as connection:
        return views.job(connection, job)


def attempts_of(database: Database, job: str) -> list[tuple[float | None, float | None, float | None]]:
    with database.reading() as connection:
        return [(row["price"], row["node_share"], row["cost"]) for row in views.job_attempts(connection, job)]


def test_an_attempt_costs_the_price_at_its_start_for_its_part_of_the_node(
    database: Database, tick: Tick, add_job: AddJob
):
    add_job(gpus=1)
    tick.run(now=NOON)
    assert (read(database, "job")["cost"], attempts_of(database, "job")) == (None, [(8.0, 0.5, None)])

    with database.writing() as connection:
        connection.execute(update(tables.nodes).values(price=1000.0))
    finish(database, "job-1", NOON + 2 * HOUR)
    for hours in (3, 4):
        tick.run(now=NOON + hours * HOUR)

    assert (read(database, "job")["cost"], attempts_of(database, "job")) == (8.0, [(8.0, 0.5, 8.0)])


def test_a_retried_job_costs_all_its_attempts(database: Database, tick: Tick, add_job: AddJob):
    add_job(gpus=2, retries=1)
    tick.run(now=NOON)
    finish(database, "job-1", NOON + HOUR, "failed")
    for hours in (1, 1):
        tick.run(now=NOON + hours * HOUR)
    finish(database, "job-2", NOON + 2 * HOUR)
    tick.run(now=NOON + 3 * HOUR)

    assert (read(database, "job")["state"], read(database, "job")["cost"]) == ("succeeded", 16.0)


def test_an_array_costs_what_its_elements_cost(database: Database, tick: Tick, add_job: AddJob):
    add_job(gpus=1, array={}, array_size=2)
    tick.run(now=NOON)
    finish(database, "job_0-1", NOON + HOUR)
    finish(database, "job_1-1", NOON + 2 * HOUR)
    tick.run(now=NOON + 3 * HOUR)

    assert [read(database, job)["cost"] for job in ("job_0", "job_1", "job")] == [4.0, 8.0, 12.0]


def test_without_a_price_nothing_is_known_to_cost(
    database: Database, tick: Tick, add_job: AddJob, add_node: Callable[..., str]
):
    add_node(gpus=2)
    add_job(gpus=1)
    tick.run(now=NOON)
    finish(database, "job-1", NOON + HOUR)
    tick.run(now=NOON + HOUR)

    assert (read(database, "job")["cost"], attempts_of(database, "job")) == (None, [(None, None, None)])


def test_an_end_that_lies_in_the_future_costs_only_until_now(database: Database, tick: Tick, add_job: AddJob):
    add_job(gpus=2)
    tick.run(now=NOON)
    finish(database, "job-1", NOON + 100 * HOUR)
    tick.run(now=NOON + HOUR)

    assert read(database, "job")["cost"] == 8.0


def test_energy_adds_up_over_attempts_with_and_without_a_price(
    database: Database, tick: Tick, add_job: AddJob, add_node: Callable[..., str]
):
    add_node(gpus=2)
    add_job(gpus=2, retries=2)
    for number, joules in enumerate((100.0, None, 50.0), 1):
        tick.run(now=NOON + number * HOUR)
        outcome = Outcome("failed", "Failed.", 1, ended_at=NOON + (number + 1) * HOUR, energy_joules=joules)
        with database.writing() as connection:
            attempts.finish(connection, f"job-{number}", outcome)
        tick.run(now=NOON + (number + 1) * HOUR)

    found = read(database, "job")

    assert (found["state"], found["energy_joules"], found["cost"]) == ("failed", 150.0, None)


@pytest.mark.usefixtures("tick")
def test_why_tells_the_expected_cost_in_the_currency_of_the_fleet(database: Database, add_job: AddJob):
    add_job(gpus=1, timeout_seconds=7200)

    with database.reading() as connection:
        case = explain.load(connection, "job", now=NOON, rules=Rules(currency="EUR"))
        assert connection.execute(select(tables.nodes.c.price)).scalar_one() == 8.0

    assert case.tell()["cost"] == {"typical": 8.0, "most": 8.0, "currency": "EUR"}
