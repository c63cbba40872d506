"""Revisions: what is declared changes only with a row that says what it was, what it is, who did it and when."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select

from levare.store.audit import Actor
from levare.store.tables_time import changes, revisions

Row = Mapping[str, Any]
Document = Mapping[str, Any]


@dataclass(frozen=True)
class Change:
    """Of one object: None before it existed, None after it was removed."""

    kind: str
    name: str
    before: Document | None
    after: Document | None


def record(connection: Connection, changed: Sequence[Change], *, actor: Actor, now: datetime, reason: str = "") -> int:
    """Make a revision of these changes, in the transaction that makes them, and return its number."""
    made = {"at": now, "by": actor.name, "source": actor.source, "reason": reason}
    number: int = connection.execute(_REVISION, made).scalar_one()
    connection.execute(_CHANGE, [{"revision": number, **vars(change)} for change in changed])
    return number


def of_object(connection: Connection, kind: str, name: str, *, limit: int = 50) -> list[Row]:
    """The revisions of one object, newest first."""
    found = connection.execute(_OF_OBJECT, {"of_kind": kind, "of_name": name, "most": limit})
    return [dict(row) for row in found.mappings()]


_REVISION = insert(revisions).returning(revisions.c.number)
_CHANGE = insert(changes)
_OF_OBJECT = (
    select(revisions, changes.c.before, changes.c.after)
    .join(changes, changes.c.revision == revisions.c.number)
    .where(changes.c.kind == bindparam("of_kind"), changes.c.name == bindparam("of_name"))
    .order_by(revisions.c.number.desc())
    .limit(bindparam("most"))
)
