"""Schedules as people declare and read them. Beat's side, what becomes of each due instant, is `fires`."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from levare.decide.due import ahead
from levare.decide.timing import timing_of
from levare.errors import NotFound
from levare.store import audit, revisions
from levare.store.audit import Actor
from levare.store.revisions import Change
from levare.store.tables_time import fires, schedules
from levare.store.types import Utc

Row = Mapping[str, Any]
Document = Mapping[str, Any]

KIND = "schedule"


def put(connection: Connection, name: str, definition: Document, *, actor: Actor, now: datetime) -> Row:
    """
    Declare a schedule, or declare it anew; the same again changes nothing.

    Where its times stay as they were, nothing that is owed is lost; new times hold from now on.
    """
    before = get(connection, name)
    if before and before["definition"] == definition:
        return before
    change = Change(KIND, name, before and before["definition"], definition)
    row = {
        "definition": definition,
        "revision": revisions.record(connection, [change], actor=actor, now=now),
        "owner": actor.name,
        "changed_at": now,
        **_standing(name, definition, before, max(now, _last_fire(connection, name) or now)),
    }
    if before:
        connection.execute(update(schedules).where(schedules.c.name == name).values(row))
    else:
        connection.execute(insert(schedules), row | {"name": name})
    audit.record(connection, actor, "schedule.set", name, now=now, revision=row["revision"])
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


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Forget a schedule; its fires and its jobs stay. Raise NotFound if there is none."""
    row = one(connection, name)
    revisions.record(connection, [Change(KIND, name, row["definition"], None)], actor=actor, now=now)
    connection.execute(_REMOVE, {"of_name": name})
    audit.record(connection, actor, "schedule.removed", name, now=now)
    return row


def pause(connection: Connection, name: str, *, reason: str, actor: Actor, now: datetime) -> Row:
    """Skip whatever becomes due, until `resume`. One that is paused stays as it is."""
    row = one(connection, name)
    if connection.execute(_PAUSE, {"of_name": name, "at": now, "by": actor.name, "why": reason}).rowcount:
        audit.record(connection, actor, "schedule.paused", name, now=now, reason=reason)
        row = one(connection, name)
    return row


def resume(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Let it run again what becomes due from now on."""
    row = one(connection, name)
    if connection.execute(_RESUME, {"of_name": name}).rowcount:
        audit.record(connection, actor, "schedule.resumed", name, now=now)
        row = one(connection, name)
    return row


def one(connection: Connection, name: str) -> Row:
    row = get(connection, name)
    if row is None:
        raise unknown(name)
    return row


def unknown(name: str) -> NotFound:
    return NotFound(f"There is no schedule {name!r}.", "`levare schedules` lists them.")


def find(connection: Connection, *, limit: int, after: str = "") -> list[Row]:
    """Schedules by name, those behind `after` only."""
    return [dict(row) for row in connection.execute(_LIST, {"most": limit, "behind": after}).mappings()]


def get(connection: Connection, name: str) -> Row | None:
    """None if there is none of this name."""
    row = connection.execute(_BY_NAME, {"of_name": name}).mappings().one_or_none()
    return dict(row) if row else None


_OF_NAME = schedules.c.name == bindparam("of_name")
_BY_NAME = select(schedules).where(_OF_NAME)
_LIST = (
    select(schedules).where(schedules.c.name > bindparam("behind")).order_by(schedules.c.name).limit(bindparam("most"))
)
_LAST_FIRE = select(func.max(func.coalesce(fires.c.until, fires.c.due_at))).where(
    fires.c.schedule == bindparam("of_name")
)
_REMOVE = delete(schedules).where(_OF_NAME)
_PAUSE = (
    update(schedules)
    .where(_OF_NAME, schedules.c.paused_at.is_(None))
    .values(paused_at=bindparam("at", type_=Utc), paused_by=bindparam("by"), paused_reason=bindparam("why"))
)
_RESUME = (
    update(schedules)
    .where(_OF_NAME, schedules.c.paused_at.is_not(None))
    .values(paused_at=None, paused_by=None, paused_reason=None)
)
