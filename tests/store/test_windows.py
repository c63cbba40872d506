from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from levare.errors import InvalidRequest, NotFound
from levare.model import Window
from levare.store import windows
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.tables import audit
from levare.store.windows import Wish

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADA = Actor("t1", "ada")


def keep(database: Database, name: str = "w", *, now: datetime = NOON, **wish: Any) -> windows.Row:
    asked = Wish(**{"nodes": ["n1"], "starts": NOON + HOUR, "ends": NOON + 2 * HOUR, **wish})
    with database.writing() as connection:
        return windows.put(connection, name, asked, actor=ADA, now=now)


def kept(database: Database, now: datetime = NOON) -> dict[str, list[Window]]:
    with database.reading() as connection:
        return {node: list(found) for node, found in windows.by_node(connection, now=now).items()}


def test_a_window_is_on_each_of_its_nodes_until_it_is_over(database: Database, add_node):
    add_node("n1")
    add_node("n2")
    keep(database, "upgrade", nodes=["n2", "n1"], reason="A new driver.")
    keep(database, "ours", starts=NOON, team="vision", user="ada")

    ends = NOON + 2 * HOUR
    upgrade, ours = ("upgrade", NOON + HOUR, ends), ("ours", NOON, ends)
    assert kept(database) == {
        "n1": [
            Window(ours[0], "n1", *ours[1:], "vision", "ada"),
            Window(upgrade[0], "n1", *upgrade[1:]),
        ],
        "n2": [Window(upgrade[0], "n2", *upgrade[1:])],
    }
    assert kept(database, ends) == {}


def test_the_same_window_again_changes_nothing_and_another_replaces_it(database: Database, add_node):
    add_node("n1")
    first = keep(database)
    again = keep(database, now=NOON + timedelta(minutes=1))
    changed = keep(database, ends=NOON + 3 * HOUR)

    assert first == again
    assert changed == {**first} | {
        "ends": NOON + 3 * HOUR,
        "definition": first["definition"] | {"ends": "2026-01-01T15:00:00Z"},
        "revision": first["revision"] + 1,
    }
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(audit)).scalar_one() == 2


@pytest.mark.parametrize(
    ("wish", "field", "told"),
    [
        ({"nodes": ["n1", "n9"]}, "nodes", "n9 is no node"),
        ({"ends": NOON + HOUR}, "ends", "before it starts"),
        ({"starts": NOON - 2 * HOUR, "ends": NOON - HOUR}, "ends", "over already"),
        ({"ends": NOON + 367 * DAY}, "ends", "more than a year"),
        ({"user": "ada"}, "user", "no team"),
    ],
)
def test_a_window_that_makes_no_sense_is_refused(
    database: Database, add_node, wish: dict[str, Any], field: str, told: str
):
    add_node("n1")

    with pytest.raises(InvalidRequest, match=told) as refused:
        keep(database, **wish)
    assert [fault.field for fault in refused.value.faults] == [field]
    assert kept(database) == {}


def test_a_window_that_is_removed_gives_its_nodes_back(database: Database, add_node):
    add_node("n1")
    keep(database)

    with database.writing() as connection:
        windows.remove(connection, "w", actor=ADA, now=NOON)
    assert kept(database) == {}
    with database.writing() as connection, pytest.raises(NotFound):
        windows.remove(connection, "w", actor=ADA, now=NOON)
