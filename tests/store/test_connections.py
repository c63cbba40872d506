"""What the engine does for every statement: connections that are kept, and JSON that is read."""

import json

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from levare.store import engine
from levare.store.engine import Database

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture
def postgresql(make_database_url):
    database = Database(make_database_url("postgresql"))
    yield database
    database.dispose()


def test_a_connection_that_was_lost_while_it_rested_is_replaced(postgresql: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "_RESTED_SECONDS", 0.0)
    with postgresql.reading() as connection:
        lost = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with psycopg.connect(postgresql.url.replace("+psycopg", "", 1), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", (lost,))

    with postgresql.reading() as connection:
        assert connection.execute(text("SELECT pg_backend_pid()")).scalar_one() != lost
    with postgresql.writing() as connection:
        assert connection.execute(text("SELECT 1")).scalar_one() == 1


@given(value=JSON)
def test_json_is_read_as_it_was_written(value: object):
    written = json.dumps(value)

    assert engine._from_json(written) == engine._from_json(written.encode()) == value


@pytest.mark.parametrize("empty", ["{}", "[]", b"{}", b"[]"])
def test_what_is_empty_is_new_each_time(empty: str | bytes):
    assert engine._from_json(empty) is not engine._from_json(empty)
