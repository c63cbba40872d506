"""
Who changed what, when, from where: one row for each write, in the transaction of that write.

What replaces something says what was before and what is after. Beat seals the rows: see `levare.store.seal`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from levare.model.access import EVERYTHING, Access
from levare.store.tables import audit


@dataclass(frozen=True)
class Actor:
    """Who asks: the token and its name, what it may, and the address that the request came from."""

    token_id: str
    name: str
    access: Access = EVERYTHING
    source: str = ""


@dataclass(frozen=True)
class Entry:
    """`action` is `noun.past`; nothing secret belongs into `detail`."""

    action: str
    about: str
    detail: Mapping[str, Any]


BEAT = Actor("beat", "beat")
"""Who does what nobody asked for."""


def record(connection: Connection, actor: Actor, action: str, about: str, *, now: datetime, **detail: Any) -> None:
    """Append a row. `action` is `noun.past`; nothing secret belongs into `detail`."""
    record_all(connection, actor, [Entry(action, about, detail)], now=now)


def record_all(connection: Connection, actor: Actor, entries: Sequence[Entry], *, now: datetime) -> None:
    """Append a row for each, in one statement."""
    by = {"at": now, "actor": actor.name, "source": actor.source}
    rows = [{**by, "action": each.action, "object": each.about, "detail": dict(each.detail)} for each in entries]
    if rows:
        connection.execute(_INSERT, rows)


def find(
    connection: Connection,
    *,
    limit: int,
    behind: int | None = None,
    about: str | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
) -> list[Mapping[str, Any]]:
    """Rows, newest first, those before the row `behind` only. An action may be a noun alone, such as `job`."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    for column, wanted in ((audit.c.object, about), (audit.c.actor, actor)):
        query = query.where(column == wanted) if wanted is not None else query
    if action is not None:
        query = query.where((audit.c.action == action) | audit.c.action.startswith(f"{action}.", autoescape=True))
    query = query.where(audit.c.at >= since) if since is not None else query
    query = query.where(audit.c.id < behind) if behind is not None else query
    return [{**row} for row in connection.execute(query).mappings()]


_INSERT = insert(audit)
