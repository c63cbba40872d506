"""Sessions: browsers that have shown a token. One is valid until it ends, and no longer than its token."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select

from levare.errors import Unauthorized
from levare.store import audit, tokens
from levare.store.audit import Actor
from levare.store.tables import tokens as tokens_table
from levare.store.tables_access import sessions
from levare.store.tokens import digest_of
from levare.store.types import Utc

Row = Mapping[str, Any]

LASTS = timedelta(hours=12)


def new_cookie() -> str:
    return token_urlsafe(32)


def begin(connection: Connection, cookie: str, *, actor: Actor, now: datetime) -> None:
    """Sign a browser in by a token that is valid, and forget the sessions that are over."""
    connection.execute(_PRUNE, {"now": now})
    row = {"digest": digest_of(cookie), "token_id": actor.token_id, "created_at": now, "expires_at": now + LASTS}
    connection.execute(insert(sessions), row)
    audit.record(connection, actor, "session.begun", actor.token_id, now=now)


def verify(connection: Connection, cookie: str, *, now: datetime) -> Row:
    """The token of a session; raise Unauthorized if the session is over, or the token is no longer valid."""
    row = connection.execute(_BY_DIGEST, {"digest": digest_of(cookie)}).mappings().first()
    if row is None or row["ends_at"] <= now:
        raise Unauthorized("This session is over.", "Sign in again at /login.")
    return tokens.valid(dict(row), now=now)


def end(connection: Connection, cookie: str, *, actor: Actor, now: datetime) -> None:
    """Sign a browser out; once is enough."""
    if connection.execute(_END, {"of_digest": digest_of(cookie)}).rowcount:
        audit.record(connection, actor, "session.ended", actor.token_id, now=now)


_BY_DIGEST = (
    select(tokens_table, sessions.c.expires_at.label("ends_at"))
    .join_from(sessions, tokens_table, tokens_table.c.id == sessions.c.token_id)
    .where(sessions.c.digest == bindparam("digest"))
)
_END = delete(sessions).where(sessions.c.digest == bindparam("of_digest"))
_PRUNE = delete(sessions).where(sessions.c.expires_at <= bindparam("now", type_=Utc))
