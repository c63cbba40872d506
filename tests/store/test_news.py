"""News: every change of a state is told once, in the order of the commits, to whoever follows."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.dialects import sqlite

from levare.model import Placement, Request
from levare.store import attempts, jobs, news, nodes
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission
from levare.store.news import Place
from levare.store.tables_news import news as table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = Actor("t", "anna")
ROW = {"at": NOON, "kind": "node", "team": None, "before": None, "after": "ready"}


def told(database: Database, place: Place = Place()) -> list[tuple[Any, ...]]:  # noqa: B008  # it is frozen
    with database.reading() as connection:
        rows = news.after(connection, place, limit=100)
    return [(row["kind"], row["name"], row["team"], row["before"], row["after"]) for row in rows]


def test_every_change_of_a_state_is_news(database: Database, add_node: Callable[..., str]):
    add_node("n1")
    with database.writing() as connection:
        jobs.submit(connection, Submission(command=["true"], team="vision"), job_id="j1", actor=ANNA, now=NOON)
    with database.writing() as connection:
        attempts.place(connection, [Placement("j1", "n1", Request())], {}, now=NOON)
        nodes.set_state(connection, "n1", "draining")

    assert told(database) == [
        ("node", "n1", None, None, "ready"),
        ("job", "j1", "vision", None, "waiting"),
        ("job", "j1", "vision", "waiting", "placed"),
        ("node", "n1", None, "ready", "draining"),
    ]


def test_what_was_undone_is_no_news(database: Database):
    with database.writing() as connection, connection.begin_nested() as trial:
        jobs.submit(connection, Submission(command=["true"]), job_id="j1", actor=ANNA, now=NOON)
        trial.rollback()

    assert told(database) == []


def test_whoever_goes_on_behind_a_place_misses_nothing_and_meets_nothing_twice(
    database: Database, add_node: Callable[..., str]
):
    for name in ("a", "b", "c"):
        add_node(name)
    with database.reading() as connection:
        first = news.place_of(news.after(connection, Place(), limit=1)[0])

    assert [name for _, name, *_ in told(database, Place.at(str(first)))] == ["b", "c"]


def test_news_wait_for_a_transaction_that_began_before_them(database: Database):
    if database.is_sqlite:
        return  # there they come one after the other
    with database.writing() as early:
        early.execute(insert(table), {**ROW, "name": "early", "mark": early.exec_driver_sql(XID).scalar_one()})
        with database.writing() as late:
            late.execute(insert(table), {**ROW, "name": "late", "mark": late.exec_driver_sql(XID).scalar_one()})

        assert told(database) == [], "for what has begun before may still come before it"

    assert [name for _, name, *_ in told(database)] == ["early", "late"]


XID = "SELECT pg_current_xact_id()::text::bigint"


def test_a_look_for_what_is_new_reads_nothing_that_is_old(make_database_url: Callable[[str], str]):
    database = Database(make_database_url("sqlite"))
    query = news._AFTER["sqlite"].compile(dialect=sqlite.dialect())

    with database.reading() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", (7, 10, 0)).all()

    database.dispose()
    assert [row.detail for row in plan] == ["SEARCH news USING INTEGER PRIMARY KEY (rowid>?)"]
