"""A job on several nodes: it starts together, ends together, and is one job."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from beat.leader import Leader
from beat.tick import Tick
from levare.model import Decision, Placement, Preemption, Request, Rules
from levare.store import attempts, job_lists, snapshot, views, wishes
from levare.store.attempts import Claimed, Outcome
from levare.store.engine import Database
from levare.store.job_lists import JobFilter
from levare.store.tables import attempts as attempts_table
from levare.store.tables import jobs as jobs_table
from levare.store.tables import nodes as nodes_table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REQUEST = Request(nodes=3)
IDS = ["job-1", "job-1.1", "job-1.2"]


@pytest.fixture(autouse=True)
def no_decision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is placed but by the tests."""
    monkeypatch.setattr("beat.tick.place", lambda *_, **__: Decision())


@pytest.fixture
def gang(database: Database, add_job, add_node) -> list[str]:
    """A gang that was placed on three nodes."""
    for name in ("n0", "n1", "n2"):
        add_node(name)
    add_job(nodes=3)
    return place(database)


def place(database: Database) -> list[str]:
    parts = [Placement("job", f"n{rank}", REQUEST, rank=rank) for rank in range(3)]
    with database.writing() as connection:
        return [message.attempt_id for message in attempts.place(connection, parts, {}, now=NOON)]


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def tick(database: Database, woken: list[str]) -> Tick:
    leader = Leader(database)
    assert leader.leads()
    return Tick(database, leader, Rules(), wake=woken.extend)


def claim(database: Database, rank: int, number: int = 1) -> Claimed:
    attempt_id = f"job-{number}" + (f".{rank}" if rank else "")
    with database.writing() as connection:
        claimed = attempts.claim(connection, attempt_id, node=f"n{rank}", incarnation="i1", at=NOON)
    assert claimed is not None
    return claimed


def start(database: Database, *ranks: int, after: int = 0) -> None:
    for rank in ranks:
        claim(database, rank)
        with database.writing() as connection:
            assert attempts.started(connection, IDS[rank], at=NOON + timedelta(seconds=after))


def finish(database: Database, rank: int, state: str, exit_code: int | None = None, *, after: int = 1) -> None:
    ended_at = NOON + timedelta(seconds=after)
    with database.writing() as connection:
        assert attempts.finish(connection, IDS[rank], Outcome(state, f"{rank} {state}.", exit_code, ended_at=ended_at))


def job(database: Database) -> Any:
    with database.reading() as connection:
        return connection.execute(select(jobs_table)).one()


def states(database: Database) -> list[str]:
    with database.reading() as connection:
        query = select(attempts_table.c.state).order_by(attempts_table.c.number, attempts_table.c.rank)
        return list(connection.execute(query).scalars())


def test_a_gang_is_placed_as_one_attempt_on_each_of_its_nodes(database: Database, gang: list[str]):
    assert gang == IDS
    assert (job(database).state, job(database).attempt, states(database)) == ("placed", 1, ["placed"] * 3)
    with database.reading() as connection:
        seen = snapshot.load(connection, now=NOON)
    assert [[held.job_id for held in node.held] for node in seen.nodes] == [["job"]] * 3
    assert place(database) == []


@pytest.mark.usefixtures("gang")
def test_every_part_knows_its_rank_and_the_same_place_to_meet(database: Database):
    gangs = [claim(database, rank).gang for rank in range(3)]

    assert [gang and gang.rank for gang in gangs] == [0, 1, 2]
    assert {gang and (gang.nodes, gang.address) for gang in gangs} == {(("n0", "n1", "n2"), "127.0.0.1")}
    ports = {gang.port for gang in gangs if gang}
    assert len(ports) == 1
    assert 20_000 <= ports.pop() < 30_000


@pytest.mark.usefixtures("gang")
@pytest.mark.parametrize(
    ("change", "address"), [({"address": "10.0.0.7"}, "10.0.0.7"), ({"boot_id": "another machine"}, "n0")]
)
def test_rank_0_is_met_at_the_address_of_its_node_or_at_its_name(
    database: Database, change: dict[str, str], address: str
):
    with database.writing() as connection:
        connection.execute(update(nodes_table).where(nodes_table.c.name == "n0").values(**change))

    gang = claim(database, 1).gang

    assert gang is not None
    assert gang.address == address


@pytest.mark.usefixtures("gang")
def test_a_gang_is_starting_with_its_first_part_and_runs_with_its_last(database: Database):
    claim(database, 1)
    assert job(database).state == "starting"
    start(database, 1, 0, after=1)
    assert job(database).state == "starting"
    start(database, 2, after=2)

    assert (job(database).state, job(database).started_at) == ("running", NOON + timedelta(seconds=2))


@pytest.mark.usefixtures("gang")
def test_parts_that_start_at_the_same_time_do_not_overlook_each_other(database: Database):
    for rank in range(3):
        claim(database, rank)

    def begin(rank: int) -> bool:
        with database.writing() as connection:
            return attempts.started(connection, IDS[rank], at=NOON)

    with ThreadPoolExecutor(3) as pool:
        assert all(pool.map(begin, range(3)))

    assert job(database).state == "running"


@pytest.mark.usefixtures("gang")
def test_a_gang_has_succeeded_when_its_last_part_has(database: Database, tick: Tick):
    start(database, 0, 1, 2)
    finish(database, 0, "succeeded", 0)
    finish(database, 2, "succeeded", 0)
    tick.run(now=NOON)
    assert (job(database).state, states(database)) == ("running", ["succeeded", "running", "succeeded"])

    finish(database, 1, "succeeded", 0)
    tick.run(now=NOON)

    assert (job(database).state, job(database).exit_code) == ("succeeded", 0)


@pytest.mark.usefixtures("gang")
def test_the_first_part_that_fails_ends_the_others_and_decides(database: Database, tick: Tick, woken: list[str]):
    start(database, 0, 1)
    finish(database, 1, "failed", 3)
    tick.run(now=NOON)

    assert woken == ["n0", "n2"]
    assert states(database) == ["running", "failed", "cancelled"]
    with database.reading() as connection:
        assert wishes.end_wishes(connection, "n0") == [wishes.EndWish("job-1", "peer")]
    tick.run(now=NOON)
    assert woken == ["n0", "n2"]
    finish(database, 0, "cancelled", 143, after=0)
    tick.run(now=NOON)

    assert (job(database).state, job(database).exit_code, job(database).reason) == ("failed", 3, "1 failed.")
    with database.reading() as connection:
        first, _, third = views.job_attempts(connection, "job")
    told = "Another part of the gang ended: rank 1 on n1 failed with exit code 3."
    assert (first["reason"], third["reason"]) == (told, told)


@pytest.mark.usefixtures("gang")
def test_a_gang_is_tried_again_as_a_whole(database: Database, tick: Tick):
    with database.writing() as connection:
        connection.execute(update(jobs_table).values(retries=1))
    start(database, 0, 1, 2)
    finish(database, 2, "failed", 1)
    tick.run(now=NOON)
    finish(database, 0, "cancelled", 143)
    tick.run(now=NOON)
    assert job(database).state == "running"
    finish(database, 1, "cancelled", 143)
    tick.run(now=NOON)

    assert (job(database).state, job(database).attempt) == ("waiting", 1)
    assert place(database) == ["job-2", "job-2.1", "job-2.2"]


@pytest.mark.usefixtures("gang")
def test_a_part_that_is_lost_costs_the_gang_no_retry(database: Database, tick: Tick):
    start(database, 0, 1, 2)
    with database.writing() as connection:
        attempts.lose(connection, ["job-1.2"], reason="Its node is silent.", now=NOON)
    tick.run(now=NOON)
    finish(database, 0, "cancelled", 143)
    finish(database, 1, "cancelled", 143)
    tick.run(now=NOON)

    assert (job(database).state, job(database).losses) == ("waiting", 1)


@pytest.mark.usefixtures("gang")
def test_a_part_whose_node_is_silent_holds_the_gang_until_it_is_back(database: Database):
    start(database, 0, 1, 2)
    finish(database, 0, "failed", 3)
    finish(database, 1, "succeeded", 0)
    leader = Leader(database)
    assert leader.leads()

    Tick(database, leader, Rules(lost_after=timedelta())).run(now=NOON)

    assert (job(database).state, states(database)) == ("running", ["failed", "succeeded", "running"])
    finish(database, 2, "cancelled", 143)
    Tick(database, leader, Rules(lost_after=timedelta())).run(now=NOON)
    assert (job(database).state, job(database).exit_code) == ("failed", 3)


@pytest.mark.usefixtures("gang")
def test_a_gang_makes_room_as_a_whole(database: Database, tick: Tick):
    start(database, 0, 1)
    with database.writing() as connection:
        told = wishes.preempt(connection, [Preemption("job-1.1", "job", "urgent", "Makes room.")], now=NOON)
    assert told == ["n0", "n1", "n2"]
    assert states(database) == ["running", "running", "preempted"]

    finish(database, 1, "failed", 1)
    tick.run(now=NOON)
    assert states(database) == ["running", "preempted", "preempted"]
    with database.reading() as connection:
        assert wishes.end_wishes(connection, "n0") == [wishes.EndWish("job-1", "preempted")]
    finish(database, 0, "cancelled", 143)
    tick.run(now=NOON)

    assert (job(database).state, job(database).reason) == ("waiting", "Makes room.")


@pytest.mark.usefixtures("gang")
def test_a_cancelled_gang_is_cancelled_on_all_of_its_nodes(database: Database, tick: Tick):
    start(database, 0, 1)
    with database.writing() as connection:
        connection.execute(update(jobs_table).values(cancel_requested_at=NOON))
        assert attempts.live_nodes(connection, "job") == ["n0", "n1", "n2"]
    tick.run(now=NOON)
    assert states(database) == ["running", "running", "cancelled"]
    with database.reading() as connection:
        assert [wish.kind for name in ("n0", "n1") for wish in wishes.end_wishes(connection, name)] == ["cancelled"] * 2

    finish(database, 0, "cancelled", 143)
    finish(database, 1, "cancelled", 143)
    tick.run(now=NOON)

    assert job(database).state == "cancelled"


@pytest.mark.usefixtures("gang")
def test_a_gang_is_one_job_in_every_list(database: Database):
    with database.reading() as connection:
        (listed,) = job_lists.find(connection, JobFilter(), limit=10)
        parts = views.job_attempts(connection, "job")
        second = views.attempt(connection, "job", 1, rank=1)

    assert listed["node"] == "n0"
    assert [part["node"] for part in parts] == ["n0", "n1", "n2"]
    assert second is not None
    assert second["id"] == "job-1.1"
