"""Schedules as people declare and read them. Beat's side, what becomes of each due instant, is `fires`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from levare.decide.due import ahead
from levare.decide.timing import timing_of
from levare.store.audit import Actor
from levare.store.declared import Kind
from levare.store.tables_time import fires, schedules

Row = Mapping[str, Any]
Document = Mapping[str, Any]

KIND = "schedule"
_KIND = Kind(KIND, schedules)
get, one, find, page, unknown = _KIND.get, _KIND.one, _KIND.find, _KIND.page, _KIND.unknown
pause, resume, remove = _KIND.pause, _KIND.resume, _KIND.remove


def put(connection: Connection, name: str, definition: Document, *, actor: Actor, now: datetime) -> Row:
    """
    Declare a schedule, or declare it anew; the same again changes nothing.

    Where its times stay as they were, nothing that is owed is lost; new times hold from now on.
    """
    before = get(connection, name)
    if before and before["definition"] == definition:
        return before
    standing = _standing(name, definition, before, max(now, _last_fire(connection, name) or now))
    _KIND.declare(connection, name, definition, standing, actor=actor, now=now)
    return one(connection, name)


def _last_fire(connection: Connection, name: str) -> datetime | None:
    """The last instant that has a row, also of a schedule that was removed, by a clock that may be ahead of ours."""
    return connection.execute(_LAST_FIRE, {"of_name": name}).scalar()


def _standing(name: str, definition: Document, before: Row | None, now: datetime) -> Row:
    """Where it stands, if its times are new. An instant that was settled once is never settled again."""
    timing = timing_of(definition)
    if before and timing == timing_of(before["definition"]):
        return {}
    settled_to = max(now, before["settled_to"]) if before else now
    due_at, fires_at = ahead(timing, name, settled_to)
    return {"settled_to": settled_to, "due_at": due_at, "fires_at": fires_at}


_LAST_FIRE = select(func.max(func.coalesce(fires.c.until, fires.c.due_at))).where(
    fires.c.schedule == bindparam("of_name")
)
