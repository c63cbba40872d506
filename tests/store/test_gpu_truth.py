"""What SQL keeps of whose a GPU is, and of the wish to end what was left behind."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from levare.errors import Conflict, NotFound
from levare.model import Placement, Request
from levare.store import attempts, fleet, nodes, reaping, tables
from levare.store.attempts import Outcome
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.nodes import Owned
from levare.store.reaping import Orphan, Reaped

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=1)
ALICE = Actor("t1", "alice", source="here")
LEFT = Orphan(12, 50, "job-1", "alice", "python left.py", (0, 1))
TAKEN = Owned("foreign", "GPU 0 of n1 is bob's.")

AddJob = Callable[..., str]
AddNode = Callable[..., str]


def own(database: Database, uuid: str, owned: Owned, *, incarnation: str = "i1") -> bool:
    with database.writing() as connection:
        return nodes.set_ownerships(connection, "n1", {uuid: owned}, incarnation=incarnation)


def owned(database: Database) -> dict[str, Owned]:
    with database.reading() as connection:
        return nodes.ownerships(connection, "n1")


def write_orphans(database: Database, *found: Orphan, incarnation: str = "i1") -> bool:
    with database.writing() as connection:
        return reaping.set_orphans(connection, "n1", found, incarnation=incarnation)


def wish(database: Database, node: str = "n1", now: datetime = NOON) -> dict[str, Any]:
    with database.writing() as connection:
        return dict(reaping.wish(connection, node, actor=ALICE, now=now))


def audited(database: Database) -> list[tuple[str, str, str, dict[str, Any]]]:
    columns = tables.audit.c
    with database.reading() as connection:
        query = select(columns.actor, columns.action, columns.object, columns.detail).order_by(columns.id)
        return [tuple(row) for row in connection.execute(query)]


def test_a_gpu_is_free_until_something_else_is_written(database: Database, add_node: AddNode):
    add_node()
    assert owned(database) == {"n1-0": Owned(), "n1-1": Owned()}

    assert own(database, "n1-0", TAKEN)

    assert owned(database) == {"n1-0": TAKEN, "n1-1": Owned()}


def test_only_the_nodes_own_incarnation_says_whose_its_gpus_are(database: Database, add_node: AddNode):
    add_node()
    add_node(incarnation="i2")

    assert not own(database, "n1-0", TAKEN, incarnation="i1")
    assert not write_orphans(database, LEFT, incarnation="i1")
    assert not own(database, "no-such-device", TAKEN, incarnation="i2")
    assert owned(database)["n1-0"] == Owned()


def test_whose_a_gpu_is_survives_a_restart_of_the_worker(database: Database, add_node: AddNode):
    add_node()
    own(database, "n1-0", TAKEN)
    write_orphans(database, LEFT)

    add_node(incarnation="i2", gpus=3)

    assert owned(database) == {"n1-0": TAKEN, "n1-1": Owned(), "n1-2": Owned()}
    with database.reading() as connection:
        assert reaping.orphans(connection, "n1") == [LEFT]


def test_a_decision_sees_what_is_taken_and_by_whom(database: Database, add_node: AddNode):
    add_node(gpus=3)
    own(database, "n1-0", TAKEN)
    own(database, "n1-1", Owned("ours"))

    with database.reading() as connection:
        [node] = fleet.load_nodes(connection, now=NOON)

    assert [(card.ownership, card.blocked) for card in node.devices] == [
        ("foreign", "GPU 0 of n1 is bob's."),
        ("ours", ""),
        ("free", ""),
    ]


def test_an_attempt_stands_as_alive_over_or_never_here(database: Database, add_node: AddNode, add_job: AddJob):
    add_node()
    for job in ("a", "b"):
        add_job(job)
        with database.writing() as connection:
            attempts.place(connection, [Placement(job, "n1", Request())], {}, now=NOON)
    with database.writing() as connection:
        attempts.finish(connection, "b-1", Outcome("failed", "It failed."))

    with database.reading() as connection:
        assert reaping.standings(connection, "n1", ["a-1", "b-1", "c-1"]) == {"a-1": True, "b-1": False}
        assert reaping.standings(connection, "n2", ["a-1"]) == {}


def test_a_wish_stands_until_it_is_carried_out_and_all_of_it_is_audited(database: Database, add_node: AddNode):
    add_node()
    write_orphans(database, LEFT)

    assert wish(database)["reap_requested_at"] == NOON
    assert wish(database, now=LATER)["reap_requested_at"] == NOON

    became = [Reaped(LEFT, "ended")]
    worker = Actor("", "worker", source="n1")
    with database.writing() as connection:
        reaping.done(connection, "n1", became, wished=NOON, incarnation="i1", actor=worker, now=LATER)
    with database.reading() as connection:
        assert reaping.wished_at(connection, "n1") is None
        [reaped] = connection.execute(select(tables.nodes.c.reaped)).scalar_one()
    assert reaped["outcome"] == "ended"
    assert audited(database) == [
        ("alice", "node.reap_requested", "n1", {"pids": [12]}),
        (
            "worker",
            "orphan.reaped",
            "n1",
            {"pid": 12, "attempt": "job-1", "command": "python left.py", "outcome": "ended"},
        ),
    ]


def test_a_wish_that_came_meanwhile_is_not_lost(database: Database, add_node: AddNode):
    add_node()
    write_orphans(database, LEFT)
    wish(database, now=LATER)

    with database.writing() as connection:
        reaping.done(connection, "n1", [], wished=None, incarnation="i1", actor=ALICE, now=LATER)

    with database.reading() as connection:
        assert reaping.wished_at(connection, "n1") == LATER


def test_without_orphans_there_is_nothing_to_wish(database: Database, add_node: AddNode):
    add_node()

    assert wish(database)["reap_requested_at"] is None
    assert audited(database) == []


def test_an_unknown_node_and_a_lost_one_hear_no_wish(database: Database, add_node: AddNode):
    with pytest.raises(NotFound, match="nope"):
        wish(database, "nope")
    add_node()
    write_orphans(database, LEFT)
    with database.writing() as connection:
        connection.execute(update(tables.nodes).values(state="lost"))

    with pytest.raises(Conflict, match="n1 is lost"):
        wish(database)
