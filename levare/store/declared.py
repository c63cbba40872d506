"""What people declare by name: each change of it is a revision and an entry of the audit, and it may be paused."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, delete, insert, select, update

from levare.decide.belonging import teams_of_work
from levare.errors import NotFound
from levare.model.access import ADMIN
from levare.store import audit, revisions
from levare.store.audit import Actor
from levare.store.revisions import Change
from levare.store.types import Utc

Row = Mapping[str, Any]
Document = Mapping[str, Any]


_ACTIVITY = {"before": "active", "after": "paused"}


class Kind:
    """
    One kind of it, in a table with `name`, `definition`, `revision`, `owner`, `changed_at` and `paused_...`.

    `lists` is the command that lists them, by default the plural of the noun. `whole` is what a look at it selects, the
    table by default. `wakes` is a column that a pause and its end set to now.
    """

    def __init__(
        self,
        noun: str,
        table: Table,
        *,
        whole: Select[Any] | None = None,
        wakes: str | None = None,
        lists: str | None = None,
    ) -> None:
        self.noun, self._table, self._wakes = noun, table, wakes
        self._lists, self._key = lists or f"levare {noun}s", noun.replace(" ", "_")
        named, whole = table.c.name == bindparam("of_name"), select(table) if whole is None else whole
        place = table.c.name
        self._by_name = whole.where(named)
        self._list = whole.where(place > bindparam("behind")).order_by(place).limit(bindparam("most"))
        self._insert, self._update, self._delete = insert(table), update(table).where(named), delete(table).where(named)
        now = bindparam("at", type_=Utc)
        woken = {wakes: now} if wakes else {}
        paused = {
            "paused_at": bindparam("at", type_=Utc),
            "paused_by": bindparam("by"),
            "paused_reason": bindparam("why"),
        }
        self._pause = self._update.where(table.c.paused_at.is_(None)).values(**paused, **woken)
        active = dict.fromkeys(paused)
        self._resume = self._update.where(table.c.paused_at.is_not(None)).values(**active, **woken)

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

    def declare(
        self, connection: Connection, name: str, definition: Document, others: Row, *, actor: Actor, now: datetime
    ) -> None:
        """Make it what the definition says, as a revision; `others` are columns of this kind alone."""
        before = self.get(connection, name)
        if before and not actor.access.has_in_all(ADMIN, teams_of_work(before["definition"])):
            raise self.unknown(name)  # somebody else was faster to take the name
        change = Change(self._key, name, before and before["definition"], definition)
        number = revisions.record(connection, [change], actor=actor, now=now)
        row = {"definition": definition, "revision": number, "owner": actor.name, "changed_at": now, **others}
        if before:
            connection.execute(self._update.values(row), {"of_name": name})
        else:
            connection.execute(self._insert, {"name": name, **row})
        revision = {"before": before and before["revision"], "after": number}
        audit.record(connection, actor, f"{self._key}.set", name, now=now, revision=revision)

    def remove(self, connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
        """Forget it and return what it was; what it has done stays. Raise NotFound if there is none."""
        row = self.one(connection, name)
        number = revisions.record(connection, [Change(self._key, name, row["definition"], None)], actor=actor, now=now)
        connection.execute(self._delete, {"of_name": name})
        revision = {"before": row["revision"], "after": number}
        audit.record(connection, actor, f"{self._key}.removed", name, now=now, revision=revision)
        return row

    def pause(self, connection: Connection, name: str, *, reason: str, actor: Actor, now: datetime) -> Row:
        """Have it start nothing, until `resume`. One that is paused stays as it is."""
        self.one(connection, name)
        if connection.execute(self._pause, {"of_name": name, "at": now, "by": actor.name, "why": reason}).rowcount:
            audit.record(connection, actor, f"{self._key}.paused", name, now=now, reason=reason, **_ACTIVITY)
        return self.one(connection, name)

    def resume(self, connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
        """Let it start what comes from now on."""
        self.one(connection, name)
        woken = {"at": now} if self._wakes else {}
        if connection.execute(self._resume, {"of_name": name, **woken}).rowcount:
            audit.record(connection, actor, f"{self._key}.resumed", name, now=now, before="paused", after="active")
        return self.one(connection, name)
