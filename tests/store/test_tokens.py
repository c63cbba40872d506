from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select

from levare.errors import Conflict, NotFound, Unauthorized
from levare.store import tables, tokens
from levare.store.audit import Actor
from levare.store.engine import Database

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = Actor("t0", "anna")

Create = Callable[..., Mapping[str, Any]]


@pytest.fixture
def create(database: Database) -> Create:
    def create(name: str, secret: str | None = None, **changes: Any) -> Mapping[str, Any]:
        values = {"token_id": name, "role": "admin", "expires_at": None} | changes
        with database.writing() as connection:
            return tokens.create(connection, secret=secret or f"lv_{name}", name=name, actor=ANNA, now=NOON, **values)

    return create


def verify(database: Database, secret: str, now: datetime = NOON) -> Mapping[str, Any]:
    with database.reading() as connection:
        return tokens.verify(connection, secret, now=now)


def revoke(database: Database, token_id: str) -> Mapping[str, Any]:
    with database.writing() as connection:
        return tokens.revoke(connection, token_id, actor=ANNA, now=NOON)


def test_a_token_opens_what_it_was_made_for(create: Create, database: Database):
    create("laptop", secret="lv_secret")

    assert verify(database, "lv_secret")["name"] == "laptop"


def test_only_the_digest_is_kept(create: Create, database: Database):
    secret = tokens.new_secret()
    create("laptop", secret=secret)

    with database.reading() as connection:
        kept = str(connection.execute(select(tables.tokens)).all()) + str(
            connection.execute(select(tables.audit)).all()
        )

    assert secret not in kept
    assert len(secret) > 40


def test_an_unknown_token_opens_nothing(database: Database):
    with pytest.raises(Unauthorized, match="not known"):
        verify(database, "lv_other")


def test_a_token_opens_nothing_from_the_moment_it_expires(create: Create, database: Database):
    create("short", expires_at=NOON + timedelta(hours=1))

    assert verify(database, "lv_short", NOON + timedelta(minutes=59))
    with pytest.raises(Unauthorized, match="expired at 2026-01-01T13:00:00Z"):
        verify(database, "lv_short", NOON + timedelta(hours=1))


def test_a_revoked_token_opens_nothing(create: Create, database: Database):
    create("other")
    create("laptop")

    assert revoke(database, "laptop")["revoked_at"] == NOON

    with pytest.raises(Unauthorized, match="revoked"):
        verify(database, "lv_laptop")


def test_revoking_twice_is_revoking_once(create: Create, database: Database):
    create("other")
    create("laptop")

    assert revoke(database, "laptop") == revoke(database, "laptop")


def test_the_last_valid_admin_token_cannot_be_revoked(create: Create, database: Database):
    create("expired", expires_at=NOON - timedelta(hours=1))
    create("laptop")

    with pytest.raises(Conflict, match="last valid admin token"):
        revoke(database, "laptop")

    assert verify(database, "lv_laptop")


def test_a_name_is_never_used_again(create: Create, database: Database):
    create("other")
    create("laptop")
    revoke(database, "laptop")

    with pytest.raises(Conflict, match="laptop"):
        create("laptop", token_id="another", secret="lv_another")


def test_a_token_that_does_not_exist_cannot_be_revoked(database: Database):
    with pytest.raises(NotFound, match="nope"):
        revoke(database, "nope")


def test_the_first_admin_token_is_registered_once_and_again_in_a_new_database(database: Database):
    def register(token_id: str, secret: str = "from-the-file") -> bool:
        with database.writing() as connection:
            return tokens.register_admin(connection, secret, token_id=token_id, now=NOON)

    assert (register("a"), register("b")) == (True, False)
    assert verify(database, "from-the-file")["name"] == "admin"


def test_a_new_file_makes_another_admin_token(database: Database):
    for token_id in ("a", "b"):
        with database.writing() as connection:
            assert tokens.register_admin(connection, f"secret-{token_id}", token_id=token_id, now=NOON)

    assert verify(database, "secret-b")["name"] == "admin-b"
