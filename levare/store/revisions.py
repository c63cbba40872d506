"""
Revisions: what is declared changes only with a row that says what it was, what it is, who did it and when.

They come one after the other: each changes the one row of `declared_head` first, so whoever has read that row in the
same transaction (`turn`) decides on what is in force.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, insert, select, tuple_, update

from levare.decide.plan import NOTHING, counts, digest_after
from levare.errors import NotFound
from levare.model import Declared
from levare.model.changes import Change
from levare.store.audit import Actor
from levare.store.tables_declared import APPLY, EDIT, ROLLBACK, changes, head, revisions
from levare.store.types import is_one_of
from levare.store.upsert import upsert

__all__ = ["Change"]

Row = Mapping[str, Any]
_AT_ONCE = 500


@dataclass(frozen=True)
class Cause:
    """Why a revision is made: how, for which reason, by which plan (its digest), from which commit of a checkout."""

    origin: str = EDIT
    reason: str = ""
    plan: str | None = None
    commit: str | None = None
    dirty: bool | None = None


_BY_HAND = Cause()


@dataclass(frozen=True)
class Head:
    """The revision that is in force, the digest of all that is declared by it, and who holds the lock."""

    revision: int
    digest: str
    lock_id: str | None = None
    lock_owner: str | None = None
    lock_reason: str | None = None
    locked_at: datetime | None = None
    locked_until: datetime | None = None

    def is_locked(self, now: datetime) -> bool:
        return self.locked_until is not None and self.locked_until > now


def read(connection: Connection) -> Head:
    return _head(connection.execute(_READ).mappings().one_or_none())


def turn(connection: Connection) -> Head:
    """The head, which nobody else changes before this transaction ends."""
    found = connection.execute(_TURN).mappings().one_or_none()
    if found is None:
        _FIRST.run(connection, [{"id": 1, "revision": 0, "digest": NOTHING}])
        found = connection.execute(_TURN).mappings().one()
    return _head(found)


def record(
    connection: Connection, changed: Sequence[Change], *, actor: Actor, now: datetime, cause: Cause = _BY_HAND
) -> int:
    """Make a revision of these changes, in the transaction that makes them, and return its number."""
    before = turn(connection)
    number, digest = before.revision + 1, digest_after(before.digest, changed)
    connection.execute(_MOVE, {"to": number, "new_digest": digest})
    made = {"number": number, "at": now, "by": actor.name, "source": actor.source, "digest": digest}
    connection.execute(_REVISION, made | asdict(cause) | counts(changed))
    if changed:
        connection.execute(_CHANGE, [{"revision": number, **vars(change)} for change in changed])
    return number


def of_object(connection: Connection, kind: str, name: str, *, limit: int = 50) -> list[Row]:
    """The revisions of one object, newest first."""
    found = connection.execute(_OF_OBJECT, {"of_kind": kind, "of_name": name, "most": limit})
    return [dict(row) for row in found.mappings()]


def find(connection: Connection, *, limit: int, behind: int | None = None) -> list[Row]:
    """Revisions, newest first, those before the revision `behind` only."""
    query = _NEWEST if behind is None else _BEHIND
    return [dict(row) for row in connection.execute(query, {"most": limit, "behind": behind}).mappings()]


def one(connection: Connection, number: int) -> Row:
    row = connection.execute(_ONE, {"of_number": number}).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no revision {number}.", "`levare history` lists them.")
    return dict(row)


def by_plan(connection: Connection, digest: str) -> Row | None:
    """The last revision that this plan has made."""
    row = connection.execute(_BY_PLAN, {"of_plan": digest}).mappings().first()
    return dict(row) if row else None


def last_applied(connection: Connection) -> Row | None:
    """The last revision that a plan has made."""
    row = connection.execute(_APPLIED).mappings().first()
    return dict(row) if row else None


def changes_of(connection: Connection, number: int) -> list[Change]:
    """What a revision changed."""
    return [Change(*row) for row in connection.execute(_CHANGES, {"of_number": number})]


def state_at(connection: Connection, number: int) -> list[Declared]:
    """All that was declared when a revision was the last."""
    found = connection.execute(_STATE, {"of_number": number})
    return [Declared(row.kind, row.name, row.after) for row in found if row.after is not None]


def last_of(connection: Connection, objects: Sequence[tuple[str, str]], *, since: int = 0) -> dict[Any, Row]:
    """The last revision of each of these objects, of those after `since`: (kind, name) -> revision."""
    found: dict[Any, Row] = {}
    for place in range(0, len(objects), _AT_ONCE):
        asked = {"objects": list(objects[place : place + _AT_ONCE]), "since": since}
        for row in connection.execute(_LAST_OF, asked).mappings():
            found[row["kind"], row["name"]] = dict(row)
    return found


def after(connection: Connection, number: int, *, limit: int) -> list[Row]:
    """What came after a revision, the first first, each with the objects that it changed."""
    found = connection.execute(_AFTER, {"of_number": number, "most": limit}).mappings()
    return [
        {**row, "objects": [(each.kind, each.name) for each in changes_of(connection, row["number"])]} for row in found
    ]


def _head(row: Any) -> Head:
    return Head(**{name: row[name] for name in Head.__dataclass_fields__}) if row else Head(0, NOTHING)


# The statements are built once: building one costs more than running it.

_READ = select(head)
_TURN = select(head).with_for_update()
_FIRST = upsert(head)
_MOVE = update(head).values(revision=bindparam("to"), digest=bindparam("new_digest"))
_REVISION = insert(revisions)
_CHANGE = insert(changes)
_OF_NUMBER = bindparam("of_number")
_OF_OBJECT = (
    select(revisions, changes.c.before, changes.c.after)
    .join(changes, changes.c.revision == revisions.c.number)
    .where(changes.c.kind == bindparam("of_kind"), changes.c.name == bindparam("of_name"))
    .order_by(revisions.c.number.desc())
    .limit(bindparam("most"))
)
_NEWEST = select(revisions).order_by(revisions.c.number.desc()).limit(bindparam("most"))
_BEHIND = _NEWEST.where(revisions.c.number < bindparam("behind"))
_ONE = select(revisions).where(revisions.c.number == _OF_NUMBER)
_LAST = select(revisions).order_by(revisions.c.number.desc()).limit(1)
_BY_PLAN = _LAST.where(revisions.c.plan == bindparam("of_plan"))
_APPLIED = _LAST.where(is_one_of(revisions.c.origin, (APPLY, ROLLBACK)))
_AFTER = select(revisions).where(revisions.c.number > _OF_NUMBER).order_by(revisions.c.number).limit(bindparam("most"))
_CHANGES = (
    select(changes.c.kind, changes.c.name, changes.c.before, changes.c.after)
    .where(changes.c.revision == _OF_NUMBER)
    .order_by(changes.c.kind, changes.c.name)
)


def _last(*where: Any) -> Any:
    """Of each object the number of its last change."""
    columns = changes.c.kind, changes.c.name, func.max(changes.c.revision).label("last")
    return select(*columns).where(*where).group_by(changes.c.kind, changes.c.name).subquery()


_LATEST = _last(changes.c.revision <= _OF_NUMBER)
_STATE = select(changes.c.kind, changes.c.name, changes.c.after).join(
    _LATEST,
    and_(changes.c.kind == _LATEST.c.kind, changes.c.name == _LATEST.c.name, changes.c.revision == _LATEST.c.last),
)
_TOUCHED = _last(
    tuple_(changes.c.kind, changes.c.name).in_(bindparam("objects", expanding=True)),
    changes.c.revision > bindparam("since"),
)
_LAST_OF = select(revisions, _TOUCHED.c.kind, _TOUCHED.c.name).join(_TOUCHED, revisions.c.number == _TOUCHED.c.last)
