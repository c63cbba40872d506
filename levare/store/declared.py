"""What people declare by name: each change of it is a revision and an entry of the audit, and it may be paused."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, delete, insert, select, update

from levare.decide.belonging import teams_of_work
from levare.decide.plan import PAUSABLE, PAUSED, resolved
from levare.errors import NotFound
from levare.model import Declared, DeclaredKind
from levare.model.access import ADMIN
from levare.model.changes import Change
from levare.store import audit, revisions
from levare.store.audit import Actor
from levare.store.revisions import Cause

Row = Mapping[str, Any]
Document = Mapping[str, Any]
Columns = Callable[[Connection, Sequence[Change], "Made"], Mapping[str, Row]]
"""Name -> what else a row of this kind has to hold for what it is declared to be, besides its definition."""
Forget = Callable[[Connection, Sequence[str], "Made"], None]

AT_ONCE = 500
"""So many names stand in one statement."""
_PAUSE = ("paused_at", "paused_by", "paused_reason")


@dataclass(frozen=True)
class Made:
    """The revision that changes are of, who makes it, when and why."""

    number: int
    actor: Actor
    now: datetime
    reason: str = ""


def _nothing_else(_connection: Connection, _changed: Sequence[Change], _made: "Made") -> Mapping[str, Row]:
    return {}


def _nothing_to_forget(_connection: Connection, _names: Sequence[str], _made: "Made") -> None:
    return


class Kind:
    """
    One kind of it, in a table with `name`, `definition`, `revision`, `owner`, `changed_at`, and perhaps `paused_...`.

    `lists` is the command that lists them, by default the plural of the noun. `whole` is what a look at it selects, the
    table by default. `wakes` is a column that a pause and its end set to now. `columns` says what else a row holds,
    `forget` does what else is to be done when some are removed. `tells` has the audit keep the documents.
    """

    def __init__(
        self,
        key: DeclaredKind,
        table: Table,
        *,
        whole: Select[Any] | None = None,
        wakes: str | None = None,
        lists: str | None = None,
        columns: Columns = _nothing_else,
        forget: Forget = _nothing_to_forget,
        tells: bool = False,
    ) -> None:
        self.key: DeclaredKind = key
        self.noun, self._table, self._wakes = key.replace("_", " "), table, wakes
        self._columns, self._forget, self._tells = columns, forget, tells
        self._lists = lists or f"levare {self.noun}s"
        named, whole = table.c.name == bindparam("of_name"), select(table) if whole is None else whole
        place = table.c.name
        self._by_name = whole.where(named)
        self._list = whole.where(place > bindparam("behind")).order_by(place).limit(bindparam("most"))
        self._insert, self._update, self._delete = insert(table), update(table).where(named), delete(table).where(named)
        is_paused = [table.c.paused_at.is_not(None).label(PAUSED)] if key in PAUSABLE else []
        self._documents = select(table.c.name, table.c.definition, *is_paused).order_by(place)
        some = place.in_(bindparam("names", expanding=True))
        self._some, self._revisions = self._documents.where(some), select(place, table.c.revision).where(some)

    def get(self, connection: Connection, name: str) -> Row | None:
        """None if there is none of this name."""
        row = connection.execute(self._by_name, {"of_name": name}).mappings().one_or_none()
        return dict(row) if row else None

    def one(self, connection: Connection, name: str) -> Row:
        row = self.get(connection, name)
        if row is None:
            raise self.unknown(name)
        return row

    def unknown(self, name: str) -> NotFound:
        return NotFound(f"There is no {self.noun} {name!r}.", f"`{self._lists}` lists them.")

    def find(self, connection: Connection, *, limit: int, after: str = "") -> list[Row]:
        """Those behind `after` by their names."""
        return [dict(row) for row in connection.execute(self._list, {"most": limit, "behind": after}).mappings()]

    def page(self, connection: Connection, limit: int, after: str) -> list[Row]:
        return self.find(connection, limit=limit, after=after)

    def every(self, connection: Connection) -> list[Declared]:
        """All of them as they are declared, by name; what is paused says so."""
        return [Declared(self.key, row.name, _document(row)) for row in connection.execute(self._documents)]

    def documents(self, connection: Connection, names: Iterable[str]) -> dict[str, Document]:
        """Those of these names that there are."""
        return {row.name: _document(row) for row in in_parts(connection, self._some, names)}

    def revision_of(self, connection: Connection, name: str) -> int | None:
        """The revision that declared it so; None if nothing is declared of this name."""
        row = next(in_parts(connection, self._revisions, [name]), None)
        return None if row is None else row.revision

    def declare(self, connection: Connection, name: str, definition: Document, *, actor: Actor, now: datetime) -> None:
        """Make it what the definition says, as a revision; the same again changes nothing."""
        revisions.turn(connection)
        before = self.documents(connection, [name]).get(name)
        if before and not actor.access.has_in_all(ADMIN, teams_of_work(before)):
            raise self.unknown(name)  # somebody else was faster to take the name
        after = resolved(definition, before)
        if before != after:
            self._change(connection, Change(self.key, name, before, after), actor, now)

    def remove(self, connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
        """Forget it and return what it was; what it has done stays. Raise NotFound if there is none."""
        revisions.turn(connection)
        row = self.one(connection, name)
        before = self.documents(connection, [name])[name]
        self._change(connection, Change(self.key, name, before, None), actor, now)
        return row

    def pause(self, connection: Connection, name: str, *, reason: str, actor: Actor, now: datetime) -> Row:
        """Have it start nothing, until `resume`, as a revision. One that is paused stays as it is."""
        self.one(connection, name)
        self._set_paused(connection, name, Cause(reason=reason), actor, now, is_paused=True)
        return self.one(connection, name)

    def resume(self, connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
        """Let it start what comes from now on, as a revision."""
        self.one(connection, name)
        self._set_paused(connection, name, Cause(), actor, now, is_paused=False)
        return self.one(connection, name)

    def write(self, connection: Connection, changed: Sequence[Change], made: Made) -> None:
        """Have the table say what these changes of this kind say, and the audit that they were made."""
        names = [each.name for each in changed]
        known = {row.name: row.revision for row in in_parts(connection, self._revisions, names)}
        gone = [each.name for each in changed if each.after is None]
        if gone:
            self._forget(connection, gone, made)
            connection.execute(self._delete, [{"of_name": name} for name in gone])
        rows = self._rows(connection, [each for each in changed if each.after is not None], made)
        new = {each.name for each in changed if each.before is None}
        self._insert_all(connection, {name: row for name, row in rows.items() if name in new})
        self._update_all(connection, {name: row for name, row in rows.items() if name not in new})
        audit.record_all(
            connection, made.actor, [entry for each in changed for entry in self._told(each, known, made)], now=made.now
        )

    def _set_paused(
        self, connection: Connection, name: str, cause: Cause, actor: Actor, now: datetime, *, is_paused: bool
    ) -> None:
        revisions.turn(connection)
        before = self.documents(connection, [name]).get(name)
        if before is not None and is_paused_in(before) != is_paused:
            after = resolved({**before, PAUSED: is_paused}, before)
            self._change(connection, Change(self.key, name, before, after), actor, now, cause)

    def _change(
        self, connection: Connection, change: Change, actor: Actor, now: datetime, cause: Cause | None = None
    ) -> None:
        cause = cause or Cause()
        number = revisions.record(connection, [change], actor=actor, now=now, cause=cause)
        self.write(connection, [change], Made(number, actor, now, cause.reason))

    def _rows(self, connection: Connection, changed: Sequence[Change], made: Made) -> dict[str, dict[str, Any]]:
        """Name -> the columns that change."""
        anew = [each for each in changed if _plain(each.before) != _plain(each.after)]
        others = self._columns(connection, anew, made) if anew else {}
        by = {"revision": made.number, "owner": made.actor.name, "changed_at": made.now}
        rows = {each.name: {"definition": _plain(each.after), **by, **others.get(each.name, {})} for each in anew}
        for each in changed:
            if is_paused_in(each.before) != is_paused_in(each.after):
                rows.setdefault(each.name, {"revision": made.number}).update(self._activity(each, made))
        return rows

    def _activity(self, change: Change, made: Made) -> Row:
        woken = {self._wakes: made.now} if self._wakes else {}
        is_paused = is_paused_in(change.after)
        by = (made.now, made.actor.name, made.reason) if is_paused else (None, None, None)
        return dict(zip(_PAUSE, by, strict=True)) | woken

    def _told(self, change: Change, known: Mapping[str, int], made: Made) -> Iterator[audit.Entry]:
        """What the audit says of a change."""
        before, after = change.before, change.after
        if before is None or _plain(before) != _plain(after):
            revision = {"before": known.get(change.name), "after": made.number}
            documents = {"before": before, "after": after} if self._tells else {}
            action = "removed" if after is None else "set"
            yield audit.Entry(f"{self.key}.{action}", change.name, {"revision": revision, **documents})
        if after is not None and is_paused_in(before) != is_paused_in(after):
            was, action = ("active", "paused") if is_paused_in(after) else ("paused", "resumed")
            reason = {"reason": made.reason} if is_paused_in(after) else {}
            will = "paused" if is_paused_in(after) else "active"
            yield audit.Entry(f"{self.key}.{action}", change.name, {**reason, "before": was, "after": will})

    def _insert_all(self, connection: Connection, rows: Mapping[str, Row]) -> None:
        for group in _alike(rows):
            connection.execute(self._insert, [{"name": name, **row} for name, row in group])

    def _update_all(self, connection: Connection, rows: Mapping[str, Row]) -> None:
        for group in _alike(rows):
            values = {key: bindparam(f"new_{key}", type_=self._table.c[key].type) for key in group[0][1]}
            told = [{"of_name": name} | {f"new_{key}": value for key, value in row.items()} for name, row in group]
            connection.execute(self._update.values(values), told)


def in_parts(connection: Connection, query: Any, names: Iterable[str]) -> Iterator[Any]:
    """The rows of a query for `names`, however many they are."""
    asked = list(names)
    for place in range(0, len(asked), AT_ONCE):
        yield from connection.execute(query, {"names": asked[place : place + AT_ONCE]})


def is_paused_in(document: Document | None) -> bool:
    return bool(document and document.get(PAUSED))


def _document(row: Any) -> Document:
    return {**row.definition, PAUSED: True} if getattr(row, PAUSED, False) else row.definition


def _plain(document: Document | None) -> Document | None:
    """What is kept as the definition: the pause has columns of its own."""
    return document and {name: value for name, value in document.items() if name != PAUSED}


def _alike(rows: Mapping[str, Row]) -> list[list[tuple[str, Row]]]:
    """The rows in groups that have the same columns, each for one statement."""
    groups: dict[frozenset[str], list[tuple[str, Row]]] = defaultdict(list)
    for name, row in rows.items():
        groups[frozenset(row)].append((name, row))
    return list(groups.values())
