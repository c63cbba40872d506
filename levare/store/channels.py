"""Channels as people declare and read them, and as alerts are routed to them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from levare.decide.alerts.telling import Channel
from levare.model.changes import Change
from levare.store.audit import Actor
from levare.store.declared import Kind, Made
from levare.store.tables_alerts import CHANNEL_KINDS, channels

Row = Mapping[str, Any]
Document = Mapping[str, Any]


def put(connection: Connection, name: str, definition: Document, *, actor: Actor, now: datetime) -> Row:
    """Declare a channel, or declare it anew; the same again changes nothing."""
    DECLARED.declare(connection, name, definition, actor=actor, now=now)
    return one(connection, name)


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Forget a channel; what it was to say fails. Raise NotFound if there is none."""
    return DECLARED.remove(connection, name, actor=actor, now=now)


def one(connection: Connection, name: str) -> Row:
    return DECLARED.one(connection, name)


def get(connection: Connection, name: str) -> Row | None:
    return DECLARED.get(connection, name)


def every(connection: Connection) -> list[Row]:
    return [dict(row) for row in connection.execute(_ALL).mappings()]


def routes(connection: Connection) -> list[Channel]:
    """As `levare.decide.alerts.telling` reads them."""
    return [_route(row["name"], row["definition"].get("routes") or {}) for row in every(connection)]


def _kinds(_connection: Connection, changed: Sequence[Change], _made: Made) -> Mapping[str, Row]:
    return {each.name: {"kind": next(kind for kind in CHANNEL_KINDS if kind in (each.after or {}))} for each in changed}


def _route(name: str, given: Document) -> Channel:
    return Channel(name, given.get("at_least", "info"), tuple(given.get("teams", ())))


DECLARED = Kind("channel", channels, columns=_kinds)
_ALL = select(channels).order_by(channels.c.name)
