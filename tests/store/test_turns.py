"""What beat owes to a job beyond the order of the queue: room that others made for it, and a time it was promised."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select

from beat.leader import Leader
from beat.tick import Tick
from levare.model import Rules
from levare.store import attempts, explain, promises
from levare.store.attempts import Outcome
from levare.store.engine import Database
from levare.store.tables import jobs, use

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
AddJob = Callable[..., str]


@pytest.fixture
def tick(database: Database, add_node: Callable[..., str]) -> Tick:
    """Of a node with two GPUs and a user `heavy` who has used so much that any other comes first."""
    add_node(gpus=2)
    much = {"team": "default", "project": "default", "user": "heavy", "use": 1e6, "as_of": NOON}
    with database.writing() as connection:
        connection.execute(insert(use), [much])
    leader = Leader(database)
    assert leader.leads()
    return Tick(database, leader, Rules())


def states(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        return {row.id: row.state for row in connection.execute(select(jobs.c.id, jobs.c.state))}


def test_room_that_was_made_for_a_job_goes_to_it_whoever_comes_first_by_then(
    database: Database, tick: Tick, add_job: AddJob
):
    add_job("victim", user="heavy", gpus=2, priority=1, min_runtime_seconds=0)
    tick.run(now=NOON)
    add_job("urgent", user="heavy", gpus=2, priority=9)
    tick.run(now=NOON + SECOND)
    add_job("other", gpus=2, priority=5, user="newcomer")

    for seconds in (2, 3):
        tick.run(now=NOON + seconds * SECOND)

    assert states(database) == {"victim": "waiting", "urgent": "placed", "other": "waiting"}


def test_a_job_that_was_promised_a_time_keeps_its_place(database: Database, tick: Tick, add_job: AddJob):
    add_job("running", user="heavy", gpus=2, timeout_seconds=3600)
    tick.run(now=NOON)
    add_job("promised", user="heavy", gpus=2)
    tick.run(now=NOON + SECOND)
    add_job("other", gpus=2, user="newcomer")
    with database.writing() as connection:
        attempts.finish(connection, "running-1", Outcome("succeeded", "Done.", 0, ended_at=NOON + 2 * SECOND))

    for seconds in (3, 4):
        tick.run(now=NOON + seconds * SECOND)

    assert states(database) == {"running": "succeeded", "promised": "placed", "other": "waiting"}


def test_why_gives_the_time_that_was_promised_and_who_else_was_promised_one(
    database: Database, tick: Tick, add_job: AddJob
):
    add_job("running", user="heavy", gpus=2, timeout_seconds=3600)
    tick.run(now=NOON)
    add_job("promised", user="heavy", gpus=2, timeout_seconds=60)
    tick.run(now=NOON + SECOND)
    add_job("other", gpus=2, user="newcomer")

    tick.run(now=NOON + 2 * SECOND)

    ours, theirs = (told(database, job) for job in ("promised", "other"))
    assert (ours["jobs_ahead"], ours["estimate"].latest) == (0, NOON + HOUR)
    assert [(each.job, each.reason) for each in theirs["ahead"]] == [
        ("promised", "It was promised to start by 2026-01-01 13:00 UTC.")
    ]


def told(database: Database, job: str) -> dict[str, Any]:
    with database.reading() as connection:
        case = explain.load(connection, job, now=NOON + 3 * SECOND)
    return case.tell()


def test_a_promise_is_forgotten_with_its_start_and_outlives_its_leader(database: Database, tick: Tick, add_job: AddJob):
    add_job("running", user="heavy", gpus=2, timeout_seconds=3600)
    tick.run(now=NOON)
    add_job("promised", user="heavy", gpus=2)
    tick.run(now=NOON + SECOND)
    with database.reading() as connection:
        assert promises.load(connection) == {"promised": NOON + HOUR}

    add_job("other", gpus=2, user="newcomer")
    with database.writing() as connection:
        attempts.finish(connection, "running-1", Outcome("succeeded", "Done.", 0, ended_at=NOON + 2 * SECOND))
    tick._leader.release()
    successor = Leader(database)
    assert successor.leads()
    Tick(database, successor, Rules()).run(now=NOON + 3 * SECOND)

    assert states(database)["promised"] == "placed"
    with database.reading() as connection:
        assert "promised" not in promises.load(connection)
