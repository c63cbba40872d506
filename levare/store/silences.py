"""Silences: for a time nobody is told of what fits them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from levare.decide.alerts.telling import Silence
from levare.errors import NotFound
from levare.store import audit
from levare.store.audit import Actor
from levare.store.tables_alerts import silences
from levare.store.types import Utc

Row = Mapping[str, Any]
_SAID = ("rule", "job", "team", "node")


def add(connection: Connection, said: Row, *, ends_at: datetime, reason: str, actor: Actor, now: datetime) -> Row:
    """`said` has some of `rule`, `job`, `team` and `node`."""
    plain = {name: said.get(name) for name in _SAID}
    made = {**plain, "reason": reason, "created_by": actor.name, "created_at": now, "ends_at": ends_at}
    number = connection.execute(insert(silences).returning(silences.c.number), made).scalar_one()
    audit.record(connection, actor, "silence.set", str(number), now=now, reason=reason)
    return one(connection, number)


def remove(connection: Connection, number: int, *, actor: Actor, now: datetime) -> Row:
    """End it now; one that has ended stays as it is."""
    row = one(connection, number)
    if connection.execute(_END, {"of_number": number, "at": now}).rowcount:
        audit.record(connection, actor, "silence.removed", str(number), now=now)
    return {**row, "ends_at": min(row["ends_at"], now)}


def one(connection: Connection, number: int) -> Row:
    row = get(connection, number)
    if row is None:
        raise unknown(number)
    return row


def unknown(number: object) -> NotFound:
    return NotFound(f"There is no silence {number}.", "`levare alerts silences` lists them.")


def get(connection: Connection, number: int) -> Row | None:
    """None if there is none of this number."""
    row = connection.execute(select(silences).where(silences.c.number == number)).mappings().one_or_none()
    return dict(row) if row else None


def find(connection: Connection, *, now: datetime) -> Sequence[Row]:
    """Those that have not ended, by their end."""
    return [dict(row) for row in connection.execute(_IN_FORCE, {"at": now}).mappings()]


def in_force(connection: Connection, *, now: datetime) -> list[Silence]:
    names = ("number", "ends_at", *_SAID)
    return [Silence(**{name: row[name] for name in names}) for row in find(connection, now=now)]


_AT = bindparam("at", type_=Utc)
_IN_FORCE = select(silences).where(silences.c.ends_at > _AT).order_by(silences.c.ends_at, silences.c.number)
_END = update(silences).where(silences.c.number == bindparam("of_number"), silences.c.ends_at > _AT).values(ends_at=_AT)
