"""What beat remembers from one reading to the next saves work, and never hides what somebody has written since."""

import gc
import importlib
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Update, event, insert, update

from beat.leader import Leader
from beat.tick import Tick
from levare import store
from levare.decide.health import Exclusion
from levare.model import LIVE, Move, Parting, Placement, Preemption, Request, Rules
from levare.store import attempts, health, nodes, reading, snapshot, wishes
from levare.store import running as running_rows
from levare.store.attempts import Outcome
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import wish_cancel
from levare.store.messages import Message, mark_sent
from levare.store.nodes import Owned
from levare.store.snapshot import Memory, Snapshot
from levare.store.tables import attempts as attempts_table
from levare.store.tables import devices, families, jobs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


@pytest.fixture
def other(database: Database) -> Iterator[Database]:
    """The same database as another process sees it."""
    opened = Database(database.url)
    yield opened
    opened.dispose()


@pytest.fixture
def running(database: Database, add_job: Callable[..., str], add_node: Callable[..., str]) -> None:
    """Two nodes, a job on each, and one that waits."""
    add_job("next", gpus=1)
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
    wish_cancel(connection, "on-n1", actor=Actor("tester", "token"), now=NOON)


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


def _place(connection):
    attempts.place(connection, [Placement("next", "n2", Request(gpus=1), {"n2-1": 80 * 1024})], {}, now=NOON)


def _settle(connection):
    _finish(connection)
    attempts.move(connection, [Move("on-n1", LIVE, "failed")], now=NOON)


def _preempt(connection):
    wishes.preempt(connection, [Preemption("on-n1-1", "on-n1", "next", "For next.")], now=NOON)


def _part(connection):
    wishes.part(connection, [Parting("on-n1-1", "Its gang has broken.")], now=NOON)


def _send(connection):
    mark_sent(connection, [Message("on-n1-1", "gpu.n1", "n1", "on-n1")], {"n1": "i2"}, now=NOON + SECOND)


def _exclude(connection):
    health.exclude(connection, Exclusion("n1", "n1-1", NOON + HOUR, "It failed.", ()), now=NOON)


def _drain(connection):
    nodes.set_state(connection, "n1", "draining")


WRITES = (
    *(_cancel, _finish, _save, _rank, _learn, _own, _place, _settle, _preempt, _part, _send, _exclude),
    *(_drain,),
)


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("write", WRITES)
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


@contextmanager
def asked_of(database: Database) -> Iterator[list[str]]:
    """The statements that are read with meanwhile."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    with database.reading() as connection:
        engine = connection.engine
    event.listen(engine, "before_cursor_execute", note)
    yield asked
    event.remove(engine, "before_cursor_execute", note)


def rows_read(asked: list[str]) -> int:
    """How many of the statements read whole rows of attempts or GPUs."""
    return sum("min_runtime_seconds" in each or "devices.model AS" in each for each in asked)


@pytest.mark.usefixtures("running")
def test_rows_are_read_only_of_nodes_on_which_something_has_changed(database: Database, other: Database):
    memory, seen = Memory(), []
    for write in (None, None, _save, _exclude):
        if write:
            with other.writing() as connection:
                write(connection)
        with asked_of(database) as asked:
            read(database, memory)
        seen.append(rows_read(asked))

    assert seen == [2, 0, 1, 1]


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("many", [0, 400])
def test_it_makes_no_difference_whether_few_nodes_have_changed_or_many(
    database: Database, other: Database, many: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(reading, "_MANY", many)
    memory = Memory()
    before = {node.name: node for node in read(database, memory).nodes}
    with other.writing() as connection:
        _save(connection)

    after = read(database, memory)

    assert after == read(other)
    assert [node.name for node in after.nodes if node is before[node.name]] == ["n2"]


@pytest.mark.usefixtures("running")
def test_what_is_written_before_a_reading_and_committed_after_it_is_seen_by_the_next(
    database: Database, other: Database
):
    memory = Memory()
    before = read(database, memory)
    with other.writing() as connection:
        _preempt(connection)
        meanwhile = read(database, memory)

    assert meanwhile == before
    assert read(database, memory) == read(other) != before


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("a||b", None), ("a", "b||")),
        (("a", "b,c"), ("a,b", "c")),
        (("a'", "'b"), ("a", "''b")),
        (("NULL", None), (None, "NULL")),
        (("a", None), (None, "a")),
    ],
)
def test_no_text_that_people_write_looks_like_another(
    database: Database, other: Database, first: tuple[str | None, str | None], second: tuple[str | None, str | None]
):
    memory = Memory()
    for note, reason in (first, second):
        with other.writing() as connection:
            connection.execute(update(devices).values(ownership="foreign", note=note, excluded_reason=reason))

        assert read(database, memory) == read(other)


def test_no_statement_of_the_store_changes_what_is_taken_not_to_change():
    """Marks are of what anybody writes of a running attempt and its job; the rest is as it was when it was placed."""
    fixed = {
        table.name: {*names} - {*written}
        for table, names, written in (
            (attempts_table, running_rows._OF_ATTEMPT, running_rows._WRITTEN_OF_ATTEMPT),
            (jobs, running_rows._OF_JOB, running_rows._WRITTEN_OF_JOB),
        )
    }
    for module in pkgutil.iter_modules(store.__path__, "levare.store."):
        importlib.import_module(module.name)
    updates: list[Any] = [each for each in gc.get_objects() if isinstance(each, Update)]
    updates = [each for each in updates if each.table.name in fixed]

    assert len(updates) > 10
    for each in updates:
        names = {column if isinstance(column, str) else column.name for column in each._values or ()}
        assert not names & fixed[each.table.name], str(each)


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
