"""Tokens: shown once, kept as a SHA-256, valid until they expire or are revoked."""

from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any

from sqlalchemy import Connection, bindparam, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from levare.errors import Conflict, Fault, NotFound, Unauthorized
from levare.store import audit, tables
from levare.store.audit import Actor
from levare.store.types import Utc

Row = Mapping[str, Any]

PREFIX = "lv_"
"""Of every token, so that scanners of secrets find those that lie about."""
_tokens = tables.tokens
_NAMES = ("id", "name", "role", "teams", "created_at", "expires_at", "revoked_at", "used_at")
_SHOWN = [_tokens.c[name] for name in _NAMES]
_by_digest = select(*_SHOWN).where(_tokens.c.digest == bindparam("digest"))
_by_id = select(*_SHOWN).where(_tokens.c.id == bindparam("id"))
_NEW_TOKEN = "Ask an admin for a new token (`levare tokens`)."  # noqa: S105  # a sentence, no secret


def new_secret() -> str:
    return f"{PREFIX}{token_urlsafe(32)}"


def create(
    connection: Connection,
    *,
    token_id: str,
    secret: str,
    name: str,
    role: str,
    expires_at: datetime | None,
    actor: Actor,
    now: datetime,
    teams: Mapping[str, str] | None = None,
) -> Row:
    """Keep the digest of a new token; raise Conflict if the name has ever been used."""
    said = {"role": role, "teams": dict(teams or {})}
    values = {"id": token_id, "name": name, "expires_at": expires_at, "created_at": now, **said}
    try:
        with connection.begin_nested():
            connection.execute(insert(_tokens).values(**values, digest=digest_of(secret)))
    except IntegrityError:
        fault = Fault("name", "is the name of another token, which may be revoked", name, "a name never used before")
        raise Conflict(f"There is a token named {name!r} already.", "Choose another name.", [fault]) from None
    audit.record(connection, actor, "token.created", token_id, now=now, name=name, **said)
    return token(connection, token_id)


def verify(connection: Connection, secret: str, *, now: datetime) -> Row:
    """The token behind a secret; found by its digest, so the time it takes says nothing about the secret."""
    row = connection.execute(_by_digest, {"digest": digest_of(secret)}).mappings().first()
    if row is None:
        raise Unauthorized("This token is not known here.", _NEW_TOKEN)
    return valid(dict(row), now=now)


def valid(row: Row, *, now: datetime) -> Row:
    """The token, unless it was revoked or has expired."""
    if row["revoked_at"]:
        raise Unauthorized(f"Token {row['name']!r} was revoked at {row['revoked_at']:%Y-%m-%dT%H:%M:%SZ}.", _NEW_TOKEN)
    if row["expires_at"] and row["expires_at"] <= now:
        raise Unauthorized(f"Token {row['name']!r} expired at {row['expires_at']:%Y-%m-%dT%H:%M:%SZ}.", _NEW_TOKEN)
    return row


def token(connection: Connection, token_id: str) -> Row:
    row = get(connection, token_id)
    if row is None:
        raise unknown(token_id)
    return row


def unknown(token_id: str) -> NotFound:
    return NotFound(f"There is no token {token_id!r}.", "GET /v1/tokens lists them.")


def get(connection: Connection, token_id: str) -> Row | None:
    """None if there is none of this id."""
    row = connection.execute(_by_id, {"id": token_id}).mappings().first()
    return dict(row) if row else None


def tokens(connection: Connection) -> list[Row]:
    """All tokens, revoked ones too, oldest first."""
    query = select(*_SHOWN).order_by(_tokens.c.created_at, _tokens.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def note_use(connection: Connection, used: Mapping[str, datetime]) -> None:
    """Write down when these tokens, by their ids, were last used; what another process knows better stays."""
    if used:
        connection.execute(_USE, [{"of_token": token_id, "at": at} for token_id, at in used.items()])


def revoke(connection: Connection, token_id: str, *, actor: Actor, now: datetime) -> Row:
    """End a token's life; once is enough. The last valid admin token stays, or nobody could make another."""
    row = token(connection, token_id)
    if row["revoked_at"]:
        return row
    if not connection.execute(_revocation(token_id, now)).rowcount:
        raise Conflict(f"Token {row['name']!r} is the last valid admin token.", "Create another admin token first.")
    change = {"before": "valid", "after": "revoked"}
    audit.record(connection, actor, "token.revoked", token_id, now=now, name=row["name"], **change)
    return token(connection, token_id)


def register_admin(connection: Connection, secret: str, *, token_id: str, now: datetime) -> bool:
    """Make the secret in the token file an admin token; False if this database knows it already, revoked or not."""
    if connection.execute(select(_tokens.c.id).where(_tokens.c.digest == digest_of(secret))).first():
        return False
    is_taken = connection.execute(select(_tokens.c.id).where(_tokens.c.name == "admin")).first()
    name = f"admin-{token_id}" if is_taken else "admin"
    create(
        connection,
        token_id=token_id,
        secret=secret,
        name=name,
        role="admin",
        expires_at=None,
        actor=Actor("", "levare"),
        now=now,
    )
    return True


def _revocation(token_id: str, now: datetime) -> Any:
    other = _tokens.alias()
    is_valid = or_(other.c.expires_at.is_(None), other.c.expires_at > now) & other.c.revoked_at.is_(None)
    remains = exists().where(other.c.id != token_id, other.c.role == "admin", is_valid)
    return (
        update(_tokens)
        .where(_tokens.c.id == token_id, _tokens.c.revoked_at.is_(None), or_(_tokens.c.role != "admin", remains))
        .values(revoked_at=now)
    )


def digest_of(secret: str) -> str:
    """All that is ever kept of a secret."""
    return sha256(secret.encode()).hexdigest()


_USE = (
    update(_tokens)
    .where(
        _tokens.c.id == bindparam("of_token"),
        or_(_tokens.c.used_at.is_(None), _tokens.c.used_at < bindparam("at", type_=Utc)),
    )
    .values(used_at=bindparam("at", type_=Utc))
)
