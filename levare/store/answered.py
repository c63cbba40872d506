"""
What requests with an idempotency key were answered, so that a repeat is answered alike and makes nothing.

`claim` and `keep` are in the transaction that makes what is answered: a request that was refused, or of a process that
was killed, has kept nothing. Two with one key take turns, on every database and from every process: on SQLite as all
who write do, on PostgreSQL by a lock of the key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select

from levare.errors import Fault, IdempotencyMismatch, InFlight
from levare.store.tables_answers import answers
from levare.store.upsert import upsert

KEPT = timedelta(hours=24)


@dataclass(frozen=True)
class Key:
    """A key of a token, and the digest of the request that it stands for."""

    token_id: str
    name: str
    digest: str

    @property
    def place(self) -> Mapping[str, str]:
        return {"of_token": self.token_id, "of_key": self.name}


@dataclass(frozen=True)
class Answered:
    """An answer that was given before."""

    status: int
    body: str
    location: str | None
    created_at: datetime


def claim(connection: Connection, key: Key, *, now: datetime) -> Answered | None:
    """
    What the key was answered before; or None, and it is this transaction's to answer.

    Raise IdempotencyMismatch if that was another request, and InFlight while another process answers it.
    """
    if connection.dialect.name == "postgresql" and not connection.execute(_TRY, key.place).scalar_one():
        raise in_flight(key.name)
    found = connection.execute(_FIND, key.place).one_or_none()
    if found is None or found.created_at <= now - KEPT:
        return None
    if found.digest != key.digest:
        raise _mismatch(key, found.created_at)
    return Answered(found.status, found.body, found.location, found.created_at)


def keep(connection: Connection, key: Key, answer: Answered) -> None:
    """Keep what the claimed key is answered, for what it was answered longer ago."""
    row = {"token_id": key.token_id, "key": key.name, "digest": key.digest, **vars(answer)}
    _KEEP.run(connection, [row])


def in_flight(key: str) -> InFlight:
    fault = Fault("Idempotency-Key", "is that of a request which is still being answered", key, "one at a time")
    return InFlight(
        f"The first request with the key {key!r} has not been answered yet.",
        "Send it again in a second: then it is answered as the first was.",
        [fault],
    )


def _mismatch(key: Key, at: datetime) -> IdempotencyMismatch:
    fault = Fault("Idempotency-Key", "was used for another request", key.name, "one request a key")
    return IdempotencyMismatch(
        f"The key {key.name!r} was used at {at:%Y-%m-%dT%H:%M:%SZ} for another request.",
        "Send a new key with a new request.",
        [fault],
    )


_PLACE = (answers.c.token_id == bindparam("of_token"), answers.c.key == bindparam("of_key"))
_FIND = select(answers).where(*_PLACE)
_KEEP = upsert(answers, replacing=("digest", "status", "body", "location", "created_at"))
_TRY = select(
    func.pg_try_advisory_xact_lock(
        func.hashtextextended(bindparam("of_token") + "/" + bindparam("of_key"), 0)  # of this transaction
    )
)
