"""Rules of alerts as people declare and read them: the defaults, and what was declared instead of or besides them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from levare.decide.alerts.defaults import DEFAULTS
from levare.decide.alerts.rules import Rule, declared
from levare.errors import NotFound
from levare.model.changes import Change
from levare.store.audit import Actor
from levare.store.declared import Kind, Made
from levare.store.tables_alerts import alert_rules

Row = Mapping[str, Any]
Document = Mapping[str, Any]
_UNDECLARED = ("revision", "owner", "changed_at", "paused_at", "paused_by", "paused_reason")


def put(connection: Connection, name: str, definition: Document, *, actor: Actor, now: datetime) -> Row:
    """Declare a rule, or declare it anew; the same again changes nothing."""
    DECLARED.declare(connection, name, definition, actor=actor, now=now)
    return one(connection, name)


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Forget what was declared; a default is then in force again. Raise NotFound where nothing was declared."""
    row = one(connection, name)
    if row["is_default"]:
        raise NotFound(f"Rule {name!r} is a default: nobody has declared it.", f"`levare alerts pause {name}` ends it.")
    DECLARED.remove(connection, name, actor=actor, now=now)
    return row


def pause(connection: Connection, name: str, *, reason: str, actor: Actor, now: datetime) -> Row:
    """Let nothing start by it, and end what is open, until `resume`. One that is paused stays as it is."""
    row = one(connection, name)
    if row["is_default"]:
        put(connection, name, row["definition"], actor=actor, now=now)
    DECLARED.pause(connection, name, reason=reason, actor=actor, now=now)
    return one(connection, name)


def resume(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    row = one(connection, name)
    if not row["is_default"]:
        DECLARED.resume(connection, name, actor=actor, now=now)
    return one(connection, name)


def one(connection: Connection, name: str) -> Row:
    row = DECLARED.get(connection, name)
    if row is not None:
        return _shown(row)
    if name not in DEFAULTS:
        raise DECLARED.unknown(name)
    return _default(name)


def every(connection: Connection) -> list[Row]:
    """All by name: there are few."""
    rows = {name: _default(name) for name in DEFAULTS}
    rows |= {row["name"]: _shown(dict(row)) for row in connection.execute(_ALL).mappings()}
    return [rows[name] for name in sorted(rows)]


def in_force(connection: Connection) -> list[Rule]:
    """Those that are not paused, as decisions read them."""
    rows = [row for row in every(connection) if row["paused_at"] is None]
    return [declared(row["name"], row["definition"], at=row["changed_at"]) for row in rows]


def _kinds(_connection: Connection, changed: Sequence[Change], _made: Made) -> Mapping[str, Row]:
    return {each.name: {"kind": next(iter(each.after["when"]))} for each in changed if each.after}


def _shown(row: Row) -> Row:
    return {**row, "is_default": False, "severity": row["definition"].get("severity", "warning")}


def _default(name: str) -> Row:
    definition = DEFAULTS[name]
    kind = next(iter(definition["when"]))
    plain = {"name": name, "kind": kind, "definition": definition, "severity": definition["severity"]}
    return {**plain, "is_default": True, **dict.fromkeys(_UNDECLARED)}


DECLARED = Kind("alert_rule", alert_rules, lists="levare alerts rules", columns=_kinds)
unknown = DECLARED.unknown
_ALL = select(alert_rules).order_by(alert_rules.c.name)
