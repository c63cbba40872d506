"""Schedules as people declare and read them. Beat's side, what becomes of each due instant, is `fires`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from levare.decide.due import ahead
from levare.decide.timing import timing_of
from levare.model.changes import Change
from levare.store.audit import Actor
from levare.store.declared import Kind, Made, in_parts
from levare.store.tables_time import fires, schedules

Row = Mapping[str, Any]
Document = Mapping[str, Any]

KIND = "schedule"


def put(connection: Connection, name: str, definition: Document, *, actor: Actor, now: datetime) -> Row:
    """
    Declare a schedule, or declare it anew; the same again changes nothing.

    Where its times stay as they were, nothing that is owed is lost; new times hold from now on.
    """
    DECLARED.declare(connection, name, definition, actor=actor, now=now)
    return one(connection, name)


def _standings(connection: Connection, changed: Sequence[Change], made: Made) -> Mapping[str, Row]:
    """Where each stands, if its times are new. An instant that was settled once is never settled again."""
    anew = [each for each in changed if each.after is not None and not _keeps_times(each)]
    names = [each.name for each in anew]
    settled: dict[str, datetime] = {}
    for row in chain(in_parts(connection, _SETTLED, names), in_parts(connection, _LAST_FIRES, names)):
        settled[row.name] = max(row.settled_to, settled.get(row.name, row.settled_to))
    return {each.name: _standing(each, max(made.now, settled.get(each.name, made.now))) for each in anew}


def _keeps_times(change: Change) -> bool:
    return (
        change.before is not None and change.after is not None and timing_of(change.before) == timing_of(change.after)
    )


def _standing(change: Change, settled_to: datetime) -> Row:
    due_at, fires_at = ahead(timing_of(change.after or {}), change.name, settled_to)
    return {"settled_to": settled_to, "due_at": due_at, "fires_at": fires_at}


_NAMES = bindparam("names", expanding=True)
_SETTLED = select(schedules.c.name, schedules.c.settled_to).where(schedules.c.name.in_(_NAMES))
_LAST_FIRES = (  # of one that was removed, too, by a clock that may be ahead of ours
    select(fires.c.schedule.label("name"), func.max(func.coalesce(fires.c.until, fires.c.due_at)).label("settled_to"))
    .where(fires.c.schedule.in_(_NAMES))
    .group_by(fires.c.schedule)
)
DECLARED = Kind(KIND, schedules, columns=_standings)
get, one, find, page = DECLARED.get, DECLARED.one, DECLARED.find, DECLARED.page
pause, resume, remove, unknown = DECLARED.pause, DECLARED.resume, DECLARED.remove, DECLARED.unknown
