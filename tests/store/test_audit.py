"""The audit on both databases: what is sealed, and what is found out of whoever changes it in SQL."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, insert, select, update

from levare.store import audit, seal
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.seal import Verdict
from levare.store.tables import audit as rows
from levare.store.tables_failures import audit_head

NOON = datetime(2026, 1, 1, 12, 0, 0, 250, tzinfo=UTC)
ANNA = Actor("token-a", "anna", source="10.0.0.7")
COUNT = 8


def write(database: Database, *names: str, at: datetime = NOON) -> None:
    for name in names:
        with database.writing() as connection:
            audit.record(connection, ANNA, "team.set", name, now=at, before={"weight": 1.0}, after={"weight": 2e-7})


def seal_all(database: Database) -> int:
    with database.writing() as connection:
        return seal.seal(connection, now=NOON)


def verify(database: Database, **anchors: str) -> Verdict:
    with database.reading() as connection:
        return seal.verify(connection, {int(place[1:]): digest for place, digest in anchors.items()})


@pytest.fixture
def sealed(database: Database) -> Database:
    write(database, *(f"team-{number}" for number in range(COUNT)))
    assert seal_all(database) == COUNT
    return database


def test_what_nobody_touched_is_whole(sealed: Database):
    write(sealed, "later")
    verdict = verify(sealed)

    assert (verdict.broken, verdict.sealed, verdict.open) == (None, COUNT, 1)
    assert seal_all(sealed) == 1
    assert seal_all(sealed) == 0
    assert verify(sealed).sealed == COUNT + 1


def changed(connection: Connection, **values: Any) -> None:
    connection.execute(update(rows).where(rows.c.place == 4).values(**values))


def swap(connection: Connection) -> None:
    for place, new in ((4, 100), (5, 4), (100, 5)):
        connection.execute(update(rows).where(rows.c.place == place).values(place=new))


def insert_between(connection: Connection) -> None:
    for place in range(COUNT, 3, -1):
        connection.execute(update(rows).where(rows.c.place == place).values(place=place + 1))
    add(connection, place=4)


def add(connection: Connection, place: int) -> None:
    forged = {"at": NOON, "actor": "eve", "action": "token.created", "object": "x", "source": "", "detail": {}}
    connection.execute(insert(rows).values(**forged, place=place, hash="f" * 64))


TAMPERING: dict[str, tuple[Callable[[Connection], Any], int, str]] = {
    "another actor": (lambda each: changed(each, actor="eve"), 4, "its content or its place was changed"),
    "another time": (lambda each: changed(each, at=NOON + timedelta(microseconds=1)), 4, "was changed"),
    "another detail": (lambda each: changed(each, detail={"after": {"weight": 3}}), 4, "was changed"),
    "another hash": (lambda each: changed(each, hash="0" * 64), 4, "was changed"),
    "a row gone": (lambda each: each.execute(delete(rows).where(rows.c.place == 4)), 4, "row 4 of the chain is gone"),
    "the last row gone": (lambda each: each.execute(delete(rows).where(rows.c.place == COUNT)), COUNT, "are gone"),
    "all rows gone": (lambda each: each.execute(delete(rows)), 1, "row 1 to 8 of the chain are gone"),
    "two rows swapped": (swap, 4, "its content or its place was changed"),
    "a row between": (insert_between, 4, "was changed"),
    "a row behind": (lambda each: add(each, COUNT + 1), COUNT + 1, "was changed"),
}


@pytest.mark.parametrize("what", TAMPERING)
def test_the_first_row_that_is_not_as_it_was_written_is_named(sealed: Database, what: str):
    tamper, place, reason = TAMPERING[what]
    with sealed.writing() as connection:
        tamper(connection)

    broken = verify(sealed).broken

    assert broken is not None
    assert broken.place == place
    assert reason in broken.reason


def test_a_row_that_was_slipped_in_with_an_earlier_time_is_found(sealed: Database):
    write(sealed, "forged", at=NOON - timedelta(hours=1))
    seal_all(sealed)

    broken = verify(sealed).broken

    assert broken is not None
    assert broken.place == COUNT + 1
    assert "but came after one of 2026-01-01 12:00:00 UTC" in broken.reason


def test_a_chain_that_was_made_anew_is_found_by_whoever_has_noted_its_end(sealed: Database):
    noted = verify(sealed).head
    with sealed.writing() as connection:
        changed(connection, actor="eve")
        connection.execute(update(rows).values(place=None, hash=None))
        connection.execute(delete(audit_head))
    seal_all(sealed)

    assert verify(sealed).broken is None
    broken = verify(sealed, p8=noted).broken
    assert broken is not None
    assert broken.reason == "its hash is not the one that was noted: the chain was made anew"


def test_rows_that_many_write_at_once_while_others_seal_are_all_in_one_chain(database: Database):
    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(write, database, *(f"{writer}-{n}" for n in range(15))) for writer in range(4)]
        sealers = [pool.submit(lambda: [seal_all(database) for _ in range(10)]) for _ in range(2)]
        for each in writers:
            each.result()
        for each in sealers:
            each.exception()  # two that make the first seal at once: one of them is refused
    while seal_all(database):
        pass

    verdict = verify(database)

    with database.reading() as connection:
        count = connection.execute(select(func.count()).select_from(rows)).scalar_one()
    assert (verdict.broken, verdict.sealed, verdict.open, count) == (None, 60, 0, 60)


def test_a_row_is_found_by_what_it_is_about_and_by_the_noun_of_its_action(database: Database):
    write(database, "a", "b")
    with database.writing() as connection:
        audit.record(connection, Actor("", "beat"), "teams.other", "a", now=NOON)
    with database.reading() as connection:
        about = audit.find(connection, limit=10, about="a")
        team = audit.find(connection, limit=10, action="team")
        since = audit.find(connection, limit=10, since=NOON + timedelta(seconds=1))

    assert [row["action"] for row in about] == ["teams.other", "team.set"]
    assert [row["object"] for row in team] == ["b", "a"]
    assert since == []
