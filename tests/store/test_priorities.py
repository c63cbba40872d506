"""The priority of a job that waits may be changed, with its lane; of one that has begun it may not."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from levare.errors import Conflict, NotFound
from levare.store import priorities
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.tables import audit, jobs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADA = Actor("t", "ada")


def put(database: Database, job_id: str, priority: int) -> int:
    with database.writing() as connection:
        return priorities.put(connection, job_id, priority, actor=ADA, now=NOON)["priority"]


def lane_of(database: Database, job_id: str) -> str:
    with database.reading() as connection:
        return connection.execute(select(jobs.c.lane).where(jobs.c.id == job_id)).scalar_one()


@pytest.mark.parametrize("state", ["waiting", "blocked"])
def test_a_job_that_has_not_begun_takes_another_priority_and_another_lane(database: Database, add_job, state: str):
    add_job("a", state=state)
    before = lane_of(database, "a")

    assert put(database, "a", 8) == 8

    assert lane_of(database, "a") != before
    with database.reading() as connection:
        [row] = connection.execute(select(audit).where(audit.c.action == "job.priority_set")).mappings()
    assert (row["actor"], row["object"], row["detail"]) == ("ada", "a", {"before": "5", "after": "8"})


def test_the_same_priority_again_changes_nothing(database: Database, add_job):
    add_job("a")

    assert put(database, "a", 5) == 5

    with database.reading() as connection:
        assert connection.execute(select(audit).where(audit.c.action == "job.priority_set")).all() == []


@pytest.mark.parametrize("state", ["placed", "running", "succeeded"])
def test_a_job_that_has_begun_keeps_its_priority(database: Database, add_job, state: str):
    add_job("a", state=state)

    with pytest.raises(Conflict, match=f"is {state}"):
        put(database, "a", 8)


def test_one_that_is_being_cancelled_keeps_it_too(database: Database, add_job):
    add_job("a")
    with database.writing() as connection:
        connection.execute(update(jobs).values(cancel_requested_at=NOON))

    with pytest.raises(Conflict, match="is being cancelled"):
        put(database, "a", 8)


def test_what_there_is_not_has_no_priority(database: Database):
    with pytest.raises(NotFound, match="'a'"):
        put(database, "a", 8)
