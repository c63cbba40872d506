"""Receipts: what is kept of a decision, and what it says of two jobs."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from beat.leader import Leader
from beat.tick import Tick
from levare.errors import NotFound
from levare.model import Rules
from levare.store import decisions, snapshot
from levare.store.engine import Database
from levare.store.tables import decisions as decisions_table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def tick(database: Database) -> Tick:
    leader = Leader(database)
    assert leader.leads()
    return Tick(database, leader, Rules())


def starts_of(database: Database, job_id: str) -> list[decisions.Row]:
    with database.reading() as connection:
        return decisions.of_job(connection, job_id)


def test_a_start_is_kept_with_the_turns_before_it(database: Database, tick: Tick, add_job, add_node):
    add_node(gpus=2)
    add_job("big", gpus=2, priority=9)
    add_job("huge", gpus=4, priority=8)
    add_job("small", priority=1)

    tick.run(now=NOON)

    (start,) = starts_of(database, "small")
    assert start["node"] == "n1"
    assert start["detail"]["turn"] == 3
    assert [(turn["job_id"], turn["outcome"]) for turn in start["detail"]["before"]] == [
        ("big", "started"),
        ("huge", "no-room"),
    ]
    assert starts_of(database, "huge") == []


def test_two_starts_of_one_decision_have_one_digest_and_others_have_not(
    database: Database, tick: Tick, add_job, add_node
):
    add_node()
    add_job("a")
    add_job("b")
    tick.run(now=NOON)
    add_job("c")
    tick.run(now=NOON + timedelta(seconds=1))

    first, second, third = (starts_of(database, job)[0]["digest"] for job in ("a", "b", "c"))

    assert first == second != third


def test_the_last_starts_of_a_team_come_newest_first_and_name_their_jobs(
    database: Database, tick: Tick, add_job, add_node
):
    add_node()
    for seconds, (job, team) in enumerate((("a", "vision"), ("b", "nlp"), ("c", "vision"))):
        add_job(job, team=team, name=f"of-{job}")
        tick.run(now=NOON + timedelta(seconds=seconds))

    with database.reading() as connection:
        found = decisions.of_team(connection, "vision", limit=10)
        newest = decisions.of_team(connection, "vision", limit=1)

    assert [(row["job_id"], row["name"]) for row in found] == [("c", "of-c"), ("a", "of-a")]
    assert newest == found[:1]


def test_of_a_job_that_did_start_before_it_is_not_said_why_it_did_not(
    database: Database, tick: Tick, add_job, add_node
):
    add_node()
    add_job("early")
    tick.run(now=NOON)
    add_job("first", priority=9)
    add_job("second")
    tick.run(now=NOON + timedelta(seconds=1))

    with database.reading() as connection:
        assert decisions.compared(connection, "second", "early") == (
            "early did start before second, at 2026-01-01 12:00:00 UTC."
        )
        assert decisions.compared(connection, "second", "first") == (
            "first had its turn before second, and both started with the same decision."
        )


def test_two_jobs_are_compared_in_a_sentence(database: Database, tick: Tick, add_job, add_node):
    add_node(gpus=2)
    add_job("huge", gpus=4, priority=9)
    add_job("small", priority=5)
    add_job("later", priority=1)
    tick.run(now=NOON)

    with database.reading() as connection:
        assert decisions.compared(connection, "small", "huge") == (
            "huge had its turn before small and did not start: no-room."
        )
        assert "later had no turn before small, which came with priority 5" in decisions.compared(
            connection, "small", "later"
        )
        with pytest.raises(NotFound, match="No start of job 'huge'"):
            decisions.compared(connection, "huge", "small")


def test_what_is_older_than_a_month_is_forgotten(database: Database, tick: Tick, add_job, add_node):
    add_node()
    add_job("old")
    tick.run(now=NOON)

    for now, left in ((NOON + decisions.KEPT, 1), (NOON + decisions.KEPT + timedelta(seconds=1), 0)):
        with database.writing() as connection:
            decisions.prune(connection, now=now)
            assert connection.execute(select(func.count()).select_from(decisions_table)).scalar_one() == left


def test_the_digest_is_of_the_facts_in_whatever_order(database: Database, add_job, add_node):
    add_node("n1")
    add_node("n2")
    add_job("a")
    add_job("b", priority=1)
    with database.reading() as connection:
        seen = snapshot.load(connection, now=NOON)

    digest = decisions.digest_of(seen.waiting, seen.nodes, seen.sharing)

    assert digest == decisions.digest_of(seen.waiting[::-1], seen.nodes[::-1], seen.sharing)
    assert digest != decisions.digest_of(seen.waiting[1:], seen.nodes, seen.sharing)
