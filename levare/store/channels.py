"""Channels as people declare and read them, and as alerts are routed to them."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from levare.decide.alerts.telling import Channel
from levare.store.audit import Actor
from levare.store.declared import Kind
from levare.store.tables_alerts import channels

Row = Mapping[str, Any]
Document = Mapping[str, Any]


def put(connection: Connection, name: str, definition: Document, *, kind: str, actor: Actor, now: datetime) -> Row:
    """Declare a channel, or declare it anew; the same again changes nothing."""
    before = _KIND.get(connection, name)
    if not before or before["definition"] != definition:
        _KIND.declare(connection, name, definition, {"kind": kind}, actor=actor, now=now)
    return one(connection, name)


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Forget a channel; what it was to say fails. Raise NotFound if there is none."""
    return _KIND.remove(connection, name, actor=actor, now=now)


def one(connection: Connection, name: str) -> Row:
    return _KIND.one(connection, name)


def get(connection: Connection, name: str) -> Row | None:
    return _KIND.get(connection, name)


def every(connection: Connection) -> list[Row]:
    return [dict(row) for row in connection.execute(_ALL).mappings()]


def routes(connection: Connection) -> list[Channel]:
    """As `levare.decide.alerts.telling` reads them."""
    return [_route(row["name"], row["definition"].get("routes") or {}) for row in every(connection)]


def _route(name: str, given: Document) -> Channel:
    return Channel(name, given.get("at_least", "info"), tuple(given.get("teams", ())))


_KIND = Kind("channel", channels)
_ALL = select(channels).order_by(channels.c.name)
