"""What beat remembers from one reading to the next saves work, and never hides what somebody has written since."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, update

from beat.leader import Leader
from beat.tick import Tick
from levare.decide.health import Exclusion
from levare.model import Placement, Request, Rules
from levare.store import attempts, health, nodes, snapshot
from levare.store.attempts import Outcome
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import wish_cancel
from levare.store.nodes import Owned
from levare.store.snapshot import Memory, Snapshot
from levare.store.tables import attempts as attempts_table
from levare.store.tables import families, jobs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """The same database as another process sees it."""
    opened = Database(database.url)
    yield opened
    opened.dispose()


@pytest.fixture
def running(database: Database, add_job: Callable[..., str], add_node: Callable[..., str]) -> None:
    """Two nodes, and a job on each."""
    for name in ("n1", "n2"):
        add_node(name)
        add_job(f"on-{name}", gpus=1, timeout_seconds=3600)
        with database.writing() as connection:
            placement = Placement(f"on-{name}", name, Request(gpus=1), {f"{name}-0": 80 * 1024})
            attempts.place(connection, [placement], {}, now=NOON)


def read(database: Database, memory: Memory | None = None, *, now: datetime = NOON) -> Snapshot:
    with database.reading() as connection:
        return snapshot.load(connection, now=now, memory=memory)


def _cancel(connection):
    wish_cancel(connection, "on-n1", actor=Actor("tester", "token", "test"), now=NOON)


def _finish(connection):
    attempts.finish(connection, "on-n1-1", Outcome("failed", "It broke.", 1, started_at=NOON, ended_at=NOON))


def _save(connection):
    connection.execute(update(attempts_table).where(attempts_table.c.id == "on-n1-1").values(safe_at=NOON))


def _rank(connection):
    connection.execute(update(jobs).where(jobs.c.id == "on-n1").values(priority=9, progress=0.5))


def _learn(connection):
    family = {"name": "default/default/on-n1", "seconds": [9.0], "fast_failures": 0, "updated_at": NOON}
    connection.execute(insert(families), [family])


def _own(connection):
    nodes.set_ownerships(connection, "n1", {"n1-1": Owned("foreign", "somebody's")}, incarnation="i1")


def _drain(connection):
    nodes.set_state(connection, "n1", "draining")


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("write", [_cancel, _finish, _save, _rank, _learn, _own, _drain])
def test_what_another_process_writes_is_seen_at_the_next_reading(
    database: Database, other: Database, write: Callable[..., object]
):
    memory = Memory()
    before = read(database, memory)
    with other.writing() as connection:
        write(connection)

    after = read(database, memory)

    assert after != before
    assert after == read(other)


@pytest.mark.usefixtures("running")
def test_a_node_on_which_nothing_changes_is_the_same_object_at_the_next_reading(database: Database, other: Database):
    memory = Memory()
    before = {node.name: node for node in read(database, memory).nodes}
    with other.writing() as connection:
        _drain(connection)

    after = {node.name: node for node in read(database, memory).nodes}

    assert after["n2"] is before["n2"]
    assert after["n1"] is not before["n1"]


@pytest.mark.usefixtures("running")
def test_an_exclusion_is_over_in_time_though_nobody_writes(database: Database):
    memory = Memory()
    with database.writing() as connection:
        excluded = Exclusion("n1", "n1-1", NOON + SECOND, "It failed.", ())
        health.exclude(connection, excluded, now=NOON)

    blocked = [
        [card.blocked for card in read(database, memory, now=NOON + seconds * SECOND).nodes[0].devices]
        for seconds in (0, 1)
    ]

    assert blocked == [["", "It failed."], ["", ""]]


@pytest.mark.usefixtures("running")
def test_who_takes_over_decides_on_what_sql_says(database: Database, other: Database):
    first = Leader(database)
    assert first.leads()
    tick = Tick(database, first, Rules())
    tick.run(now=NOON)
    first.release()
    second = Leader(other)
    assert second.leads()
    with other.writing() as connection:
        _finish(connection)
    Tick(other, second, Rules()).run(now=NOON + SECOND)
    second.release()
    assert first.leads()

    assert tick.load(NOON + 2 * SECOND) == read(other, now=NOON + 2 * SECOND)
