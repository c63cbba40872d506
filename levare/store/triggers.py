"""Triggers as people declare and read them. Beat's side, what becomes of what happens, is `activations`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, delete, exists, insert, or_, select, update

from levare.decide.declared import ABSENCE, ENDED, METRIC, Trigger, declared
from levare.errors import CanNeverRun, Conflict, QuotaQueued
from levare.model import FINAL
from levare.model.changes import Change
from levare.store import activations
from levare.store.audit import Actor
from levare.store.declared import Kind, Made
from levare.store.ids import new_id
from levare.store.jobs import Intake
from levare.store.tables import jobs
from levare.store.tables_triggers import endings, events, triggers, watched, watches
from levare.store.types import Json, Utc, is_one_of
from levare.store.work import Cause, start

Row = Mapping[str, Any]
Document = Mapping[str, Any]

PROBLEM_AGAIN = timedelta(minutes=1)
"""What a problem has stopped is tried again after this."""


@dataclass(frozen=True)
class Standing:
    """Where beat stands with a trigger: what it has to know at the next look, when that is, and what is wrong."""

    state: Document
    wakes_at: datetime | None
    problem: str | None = None


def put(connection: Connection, name: str, definition: Document, *, intake: Intake) -> Row:
    """
    Declare a trigger, or declare it anew; the same again changes nothing.

    What it looks for, where that is new, counts from now on; what waits already is decided by the new brakes. Raises
    whatever a submit of its work raises, but for what may be otherwise by the time it starts.
    """
    before = DECLARED.get(connection, name)
    if not before or before["definition"] != definition:
        _try(intake, declared(name, definition))
    DECLARED.declare(connection, name, definition, actor=intake.actor, now=intake.now)
    return one(connection, name)


def _standings(_connection: Connection, changed: Sequence[Change], made: Made) -> Mapping[str, Row]:
    return {each.name: _standing(each.before, each.after, made.now) for each in changed if each.after}


def _standing(before: Document | None, after: Document, now: datetime) -> Row:
    is_same = before is not None and before["when"] == after["when"]
    woken = {"kind": next(iter(after["when"])), "wakes_at": now, "problem": None, "problem_at": None}
    return woken if is_same else {**woken, "begun_at": now, "state": {}}


def _forget(connection: Connection, names: Sequence[str], made: Made) -> None:
    for statement in (_UNWATCH, _UNWATCHED):
        connection.execute(statement, [{"of_trigger": name} for name in names])
    activations.hold_pending(connection, names, f"The trigger was removed by {made.actor.name}.", now=made.now)


def _try(intake: Intake, trigger: Trigger) -> None:
    with intake.connection.begin_nested() as trial:
        try:
            start(intake, trigger.work, Cause(trigger=trigger.name), new_id=new_id)
        except (CanNeverRun, QuotaQueued, Conflict):  # the fleet, the queue and needs may be otherwise by then
            return
        finally:
            trial.rollback()


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Forget a trigger; what happened to it and its jobs stay, and what waits is held. Raise NotFound without one."""
    return _shown(DECLARED.remove(connection, name, actor=actor, now=now))


def pause(connection: Connection, name: str, *, reason: str, actor: Actor, now: datetime) -> Row:
    """Hold whatever happens, until `resume`. One that is paused stays as it is."""
    return _shown(DECLARED.pause(connection, name, reason=reason, actor=actor, now=now))


def resume(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Let what happens from now on start runs again."""
    return _shown(DECLARED.resume(connection, name, actor=actor, now=now))


def one(connection: Connection, name: str) -> Row:
    return _shown(DECLARED.one(connection, name))


def find(connection: Connection, *, limit: int, after: str = "") -> list[Row]:
    """Triggers by name, those behind `after` only."""
    return [_shown(row) for row in DECLARED.find(connection, limit=limit, after=after)]


def page(connection: Connection, limit: int, after: str) -> list[Row]:
    return find(connection, limit=limit, after=after)


def is_anything(connection: Connection, *, now: datetime) -> bool:
    """Whether beat has anything to look at."""
    return bool(connection.execute(_ANYTHING, {"now": now}).scalar_one())


def every(connection: Connection) -> list[Any]:
    """All triggers, as beat looks at them."""
    return list(connection.execute(_ALL))


def locked(connection: Connection, name: str) -> Any | None:
    """
    The trigger, which nobody changes before this transaction ends: who records something meanwhile wakes beat anew.
    """
    return connection.execute(_LOCKED, {"of_name": name}).one_or_none()


def wake(connection: Connection, name: str, at: datetime) -> None:
    """Have beat look at it by then."""
    connection.execute(_WAKE, {"of_name": name, "by": at})


def stand(connection: Connection, name: str, standing: Standing, *, now: datetime) -> None:
    """Write where beat stands with it."""
    values = {
        "of_name": name,
        "new_state": standing.state,
        "next_at": standing.wakes_at,
        "what": standing.problem,
        "at": now if standing.problem else None,
    }
    connection.execute(_STAND, values)


def mark(connection: Connection, name: str, problem: str, *, now: datetime) -> None:
    """Write down why it cannot do what it should; beat tries again in a minute."""
    connection.execute(_MARK, {"of_name": name, "what": problem, "at": now, "again": now + PROBLEM_AGAIN})


def note_endings(connection: Connection, job_ids: list[str]) -> None:
    """Of these jobs, note those that are over now, if any trigger is about such; elements of arrays are not."""
    if job_ids:
        connection.execute(_NOTE, {"ids": job_ids})


def _shown(row: Row) -> Row:
    """What is wrong with its files is a problem of its own, which only who watches them knows."""
    found = dict(row)
    watch_problem, scanned_at = found.pop("watch_problem"), found.pop("scanned_at")
    if watch_problem and not found["problem"]:
        found |= {"problem": watch_problem, "problem_at": scanned_at}
    return found


_OF_NAME = triggers.c.name == bindparam("of_name")
_WHOLE = select(triggers, watches.c.problem.label("watch_problem"), watches.c.scanned_at).select_from(
    triggers.outerjoin(watches, watches.c.trigger == triggers.c.name)
)
_UNWATCH, _UNWATCHED = (delete(each).where(each.c.trigger == bindparam("of_trigger")) for each in (watches, watched))
KIND = "trigger"
DECLARED = Kind(KIND, triggers, whole=_WHOLE, wakes="wakes_at", columns=_standings, forget=_forget)
get, unknown = DECLARED.get, DECLARED.unknown
_ALL = select(triggers).order_by(triggers.c.name)
_LOCKED = select(triggers).where(_OF_NAME).with_for_update()
_ANYTHING = select(
    or_(
        exists().where(~events.c.settled),
        exists().select_from(endings),
        exists().where(triggers.c.wakes_at <= bindparam("now", type_=Utc)),
    )
)
_WAKE = (
    update(triggers)
    .where(_OF_NAME, or_(triggers.c.wakes_at.is_(None), triggers.c.wakes_at > bindparam("by", type_=Utc)))
    .values(wakes_at=bindparam("by", type_=Utc))
)
_STAND = (
    update(triggers)
    .where(_OF_NAME)
    .values(
        state=bindparam("new_state", type_=Json),
        wakes_at=bindparam("next_at", type_=Utc),
        problem=bindparam("what"),
        problem_at=bindparam("at", type_=Utc),
    )
)
_MARK = (
    update(triggers)
    .where(_OF_NAME)
    .values(problem=bindparam("what"), problem_at=bindparam("at", type_=Utc), wakes_at=bindparam("again", type_=Utc))
)
_ABOUT_RUNS = is_one_of(triggers.c.kind, (ENDED, METRIC, ABSENCE))
_NOTE = insert(endings).from_select(
    ["job_id"],
    select(jobs.c.id).where(
        jobs.c.id.in_(bindparam("ids", expanding=True)),
        is_one_of(jobs.c.state, FINAL),
        jobs.c.array_id.is_(None),
        exists().where(_ABOUT_RUNS),
        ~exists().where(endings.c.job_id == jobs.c.id).correlate(jobs),
    ),
)
