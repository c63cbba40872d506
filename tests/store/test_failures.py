"""What beat makes of failures, on both databases."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from beat.leader import Leader
from beat.tick import Tick
from levare.decide.families import BURST, FIRST_HOLD, Family
from levare.decide.health import REST, Exclusion
from levare.model import Device, Rules
from levare.store import explain, families, fleet, health, nodes, snapshot, tables
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import lane_of
from levare.store.nodes import NodeFacts

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ANNA = Actor("token-a", "anna")
FAMILY = "default/default/train"

Add = Callable[..., str]


@pytest.fixture
def tick(database: Database) -> Tick:
    leader = Leader(database)
    assert leader.leads()
    return Tick(database, leader, rules=Rules(lost_after=timedelta(hours=1)))


@pytest.fixture
def add_ended(database: Database, add_job: Add) -> Add:
    """A job that runs and whose attempt has just ended."""

    def add(job_id: str, outcome: str = "failed", *, node: str = "n1", ran: float = 1, **changes: Any) -> str:
        job = {"state": "running", "attempt": 1, "family": FAMILY} | changes
        devices = job.pop("devices", {})
        add_job(job_id, **job)
        row = {column.name: None for column in tables.attempts.c} | {
            "id": f"{job_id}-{job['attempt']}",
            "job_id": job_id,
            "number": job["attempt"],
            "rank": 0,
            "state": outcome,
            "node": node,
            "queue": f"cpu.{node}",
            "devices": devices,
            "cpus": 1,
            "memory_mib": 0,
            "scratch_mib": 0,
            "resources": {},
            "placed_at": NOON - ran * SECOND,
            "started_at": NOON - ran * SECOND,
            "ended_at": NOON,
            "settled": False,
            "exit_code": 3,
            "reason": "Exited with code 3.",
            **dict.fromkeys(("log_bytes", "metrics_offset", "points", "points_dropped"), 0),
        }
        with database.writing() as connection:
            connection.execute(insert(tables.attempts), [row])
        return job_id

    return add


def read(database: Database, table: Any, key: Any) -> Any:
    with database.reading() as connection:
        return connection.execute(select(table).where(key)).one()


def the_job(database: Database, job_id: str = "j") -> Any:
    return read(database, tables.jobs, tables.jobs.c.id == job_id)


def actions(database: Database) -> list[tuple[str, str, str]]:
    with database.reading() as connection:
        return [(row.actor, row.action, row.object) for row in connection.execute(select(tables.audit))]


def test_a_job_with_a_backoff_is_blocked_until_its_time_and_then_tried_again(
    database: Database, tick: Tick, add_ended: Add, add_node: Add
):
    add_node()
    add_ended("j", retries=2, backoff_seconds=60)

    tick.run(now=NOON)
    job = the_job(database)
    with database.reading() as connection:
        (why,) = explain.load(connection, "j", now=NOON).tell()["reasons"]
    tick.run(now=job.start_after - SECOND)
    assert the_job(database).state == "blocked"
    tick.run(now=job.start_after)

    assert 48 * SECOND <= job.start_after - NOON <= 72 * SECOND
    assert (why.code, why.message) == ("backoff", job.reason)
    assert job.reason.endswith("after it failed with exit code 3 (1 of 2 retries).")
    assert the_job(database).state == "waiting"


def test_a_job_that_learnt_from_its_failure_asks_otherwise_in_another_lane(
    database: Database, tick: Tick, add_ended: Add, add_node: Add
):
    add_node()
    add_ended("j", "out_of_memory", retries=1, memory_mib=1000, memory_growth=2.0)
    before = the_job(database)

    tick.run(now=NOON)

    job = the_job(database)
    assert (job.state, job.memory_mib) == ("waiting", 2000)
    assert job.lane == lane_of(job._mapping) != before.lane
    assert ("beat", "job.memory_grown", "j") in actions(database)


def test_a_job_shuns_the_node_where_it_failed_at_once(database: Database, tick: Tick, add_ended: Add, add_node: Add):
    add_node("n1")
    add_node("n2")
    add_ended("j", retries=1, shunned=["gone"])

    tick.run(now=NOON)

    job = the_job(database)
    assert job.shunned == ["gone", "n1"]
    assert job.lane == lane_of(job._mapping)


def test_a_job_that_did_not_ask_for_anything_else_keeps_its_lane(database: Database, tick: Tick, add_ended: Add):
    add_ended("j", retries=1, ran=100)
    before = the_job(database)

    tick.run(now=NOON)

    job = the_job(database)
    assert (job.state, job.lane, job.start_after) == ("waiting", before.lane, None)


def test_a_success_is_remembered_by_its_family_only_once(database: Database, tick: Tick, add_ended: Add):
    add_ended("j", "succeeded", ran=90)

    tick.run(now=NOON)
    tick.run(now=NOON)
    add_ended("k", "succeeded", ran=30)
    tick.run(now=NOON + SECOND)

    assert read(database, tables.families, tables.families.c.name == FAMILY).seconds == [90.0, 30.0]


def test_a_burst_of_fast_failures_holds_the_family_until_somebody_releases_it(
    database: Database, tick: Tick, add_ended: Add
):
    for number in range(BURST):
        add_ended(f"j{number}")

    tick.run(now=NOON)
    with database.reading() as connection:
        held = snapshot.load(connection, now=NOON).sharing.held_families
        later = families.held(connection, now=NOON + FIRST_HOLD)
    with database.writing() as connection:
        released = families.release(connection, FAMILY, actor=ANNA, now=NOON + SECOND)
        families.release(connection, FAMILY, actor=ANNA, now=NOON + SECOND)

    assert held[FAMILY].startswith(f"5 jobs of {FAMILY} in a row failed within 60 s of their start")
    assert later == {}
    assert (released["held_until"], released["held_reason"], released["fast_failures"]) == (None, None, 0)
    assert actions(database) == [("beat", "family.held", FAMILY), ("anna", "family.released", FAMILY)]


def test_a_family_that_was_released_meanwhile_stays_released(database: Database):
    with database.writing() as connection:
        families.keep(connection, [Family(FAMILY, (), 5, NOON + FIRST_HOLD, "Held.")], now=NOON)
    with database.reading() as connection:
        seen = families.known(connection, [FAMILY])[FAMILY]
    with database.writing() as connection:
        families.release(connection, FAMILY, actor=ANNA, now=NOON + SECOND)
        families.keep(connection, [seen], now=NOON + 2 * SECOND)

    with database.reading() as connection:
        assert families.held(connection, now=NOON + 2 * SECOND) == {}


def test_families_are_listed_by_name_with_what_they_promise(database: Database):
    with database.writing() as connection:
        held = Family("b", (), 5, NOON + FIRST_HOLD, "Held.")
        families.keep(connection, [Family("c"), held, Family("a", (10.0, 20.0))], now=NOON)

    def names(**wanted: Any) -> list[str]:
        asked = {"after": "", "limit": 9, "only_held": False, "now": NOON} | wanted
        with database.reading() as connection:
            return [row["name"] for row in families.find_families(connection, **asked)]

    with database.reading() as connection:
        one = families.family(connection, "a", now=NOON)
    assert (one["runs"], one["typical_seconds"], one["promised_seconds"]) == (2, 15.0, 40.0)
    assert names() == ["a", "b", "c"]
    assert names(after="a", limit=1) == ["b"]
    assert names(only_held=True) == ["b"]
    assert names(only_held=True, now=NOON + FIRST_HOLD) == []


def test_a_node_on_which_different_work_fails_is_excluded_and_taken_back(
    database: Database, tick: Tick, add_ended: Add, add_node: Add
):
    add_node("n1")
    add_node("n2")
    for number in range(3):
        add_ended(f"j{number}", family=f"f{number}")

    tick.run(now=NOON)

    def notes(now: datetime) -> list[str]:
        with database.reading() as connection:
            return [node.note[:39] for node in fleet.load_nodes(connection, now=now)]

    assert notes(NOON) == ["Different jobs failed within 60 s of th", ""]
    assert notes(NOON + REST) == ["", ""]
    assert ("beat", "node.excluded", "n1") in actions(database)
    with database.reading() as connection:
        assert not any(node.note for node in fleet.load_emptied(connection))
    with database.writing() as connection:
        assert health.readmit(connection, "n1", now=NOON + SECOND)
        assert not health.readmit(connection, "n1", now=NOON + SECOND)
    assert notes(NOON + SECOND) == ["", ""]


def test_failures_before_a_node_was_taken_back_do_not_exclude_it_again(
    database: Database, tick: Tick, add_ended: Add, add_node: Add
):
    add_node("n1")
    add_node("n2")
    for number in range(3):
        add_ended(f"j{number}", family=f"f{number}")
    tick.run(now=NOON)
    with database.writing() as connection:
        health.readmit(connection, "n1", now=NOON + SECOND)
    add_ended("j3", family="f3")

    tick.run(now=NOON + 2 * SECOND)

    with database.reading() as connection:
        assert not any(node.note for node in fleet.load_nodes(connection, now=NOON + 2 * SECOND))


def test_a_bad_gpu_stays_excluded_when_its_worker_starts_again(
    database: Database, tick: Tick, add_ended: Add, add_node: Add
):
    add_node("n1")
    for number in range(3):
        add_ended(f"j{number}", family=f"f{number}", devices={"n1-0": 1024})

    tick.run(now=NOON)
    cards = [Device(f"n1-{index}", index, 1024, "H100") for index in range(2)]
    with database.writing() as connection:
        facts = NodeFacts("n1", "boot", 8, 65536, cards, simulated=True, version="2")
        nodes.join(connection, facts, incarnation="i2", now=NOON + SECOND)

    with database.reading() as connection:
        (node,) = fleet.load_nodes(connection, now=NOON + SECOND)
    assert [bool(device.blocked) for device in node.devices] == [True, False]
    assert not node.note
    assert ("beat", "device.excluded", "n1-0") in actions(database)


def test_an_exclusion_in_force_is_not_prolonged(database: Database, add_node: Add):
    add_node("n1")
    with database.writing() as connection:
        first = health.exclude(connection, Exclusion("n1", None, NOON + REST, "First.", ()), now=NOON)
        second = health.exclude(connection, Exclusion("n1", None, NOON + 2 * REST, "Second.", ()), now=NOON)

    assert (first, second) == (True, False)
    assert read(database, tables.nodes, tables.nodes.c.name == "n1").excluded_reason == "First."


def test_preemptions_are_told_apart_from_losses(database: Database, add_ended: Add):
    add_ended("j", "lost", attempt=2, losses=1)
    with database.writing() as connection:
        attempt = connection.execute(select(tables.attempts)).mappings().one()
        earlier = {**attempt, "id": "j-1", "number": 1, "state": "preempted", "settled": True}
        connection.execute(insert(tables.attempts), [earlier])
        connection.execute(update(tables.jobs).values(retry_on=["lost", "exit:3"]))

    with database.reading() as connection:
        (ended,) = snapshot.load(connection, now=NOON).ended

    assert (ended.preemptions, ended.losses, ended.retry_on) == (1, 1, ("lost", "exit:3"))
