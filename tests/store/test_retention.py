"""What is forgotten by its age, and what never is."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select

from beat.forgetting import Forgetting
from beat.leader import Leader
from levare.store import retention
from levare.store.engine import Database
from levare.store.tables_answers import answers
from levare.store.tables_time import fires
from levare.store.tables_triggers import activations, events

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
EVENT = {"digest": "", "source": "s", "id": "i", "type": "t", "event": {}, "sender": "x", "settled": True}
ACTIVATION = {"trigger": "t", "event": {}, "size": 2, "outcome": "run", "reason": "."}
FIRE = {"schedule": "s", "outcome": "run", "epoch": 1}


def add(database: Database, table: Table, *rows: dict[str, Any]) -> None:
    with database.writing() as connection:
        connection.execute(insert(table), list(rows))


def count(database: Database, table: Table) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def forget(database: Database, table: str) -> bool:
    with database.writing() as connection:
        return retention.forget(connection, table, now=NOW)


def test_events_are_kept_for_a_month_and_until_they_are_settled(database: Database):
    old, new = NOW - timedelta(days=31), NOW - timedelta(days=29)
    add(
        database,
        events,
        EVENT | {"digest": "a", "received_at": old},
        EVENT | {"digest": "b", "received_at": new},
        EVENT | {"digest": "c", "received_at": old, "settled": False},
    )

    assert not forget(database, "events")
    with database.reading() as connection:
        assert set(connection.execute(select(events.c.digest)).scalars()) == {"b", "c"}


def test_activations_are_kept_for_three_months_and_while_they_wait(database: Database):
    old, new = NOW - timedelta(days=91), NOW - timedelta(days=89)
    add(
        database,
        activations,
        ACTIVATION | {"key": "a", "at": old, "decided_at": old},
        ACTIVATION | {"key": "b", "at": old, "decided_at": new},
        ACTIVATION | {"key": "c", "at": old, "decided_at": None, "outcome": "pending"},
    )

    forget(database, "activations")

    with database.reading() as connection:
        assert set(connection.execute(select(activations.c.key)).scalars()) == {"b", "c"}


def test_of_a_schedule_the_last_fire_is_kept_however_old_it_is(database: Database):
    old = [NOW - timedelta(days=days) for days in (900, 800, 700)]
    add(database, fires, *(FIRE | {"due_at": at, "decided_at": at} for at in old))
    add(database, fires, FIRE | {"schedule": "other", "due_at": old[0], "decided_at": old[0]})

    forget(database, "fires")

    with database.reading() as connection:
        assert {tuple(row) for row in connection.execute(select(fires.c.schedule, fires.c.due_at))} == {
            ("s", old[2]),
            ("other", old[0]),
        }


def test_answers_to_requests_with_a_key_are_kept_for_a_day(database: Database):
    ages = {"old": NOW - timedelta(hours=25), "new": NOW - timedelta(hours=23)}
    add(
        database, answers, *({"token_id": "t", "digest": "d", "key": key, "created_at": at} for key, at in ages.items())
    )

    forget(database, "answers")

    with database.reading() as connection:
        assert connection.execute(select(answers.c.key)).scalars().all() == ["new"]


def test_much_that_is_old_is_forgotten_in_batches_with_time_between(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(retention, "BATCH", 10)
    old = NOW - timedelta(days=31)
    add(database, events, *(EVENT | {"digest": str(n), "received_at": old} for n in range(35)))
    leader = Leader(database)
    assert leader.leads()
    forgetting = Forgetting(database, leader)

    counts = []
    for second in range(120):
        forgetting.run(now=NOW + timedelta(seconds=second))
        counts.append(count(database, events))

    assert counts[0] == counts[59] == 35
    assert {before - after for before, after in pairwise(counts)} == {0, 5, 10}
    assert counts[-1] == 0


def test_forgetting_rests_when_nothing_is_old(database: Database, monkeypatch: pytest.MonkeyPatch):
    leader = Leader(database)
    assert leader.leads()
    forgetting, asked = Forgetting(database, leader), []
    monkeypatch.setattr(retention, "forget", lambda _, table, **__: asked.append(table) is not None)

    for second in range(3600):
        forgetting.run(now=NOW + timedelta(seconds=second))

    assert sorted(asked) == sorted(retention.FORGOTTEN * 2)
