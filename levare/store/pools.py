"""Pools as people declare and read them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from levare.model.changes import Change
from levare.store import pool_workers
from levare.store.audit import Actor
from levare.store.declared import Kind, Made
from levare.store.tables import nodes
from levare.store.tables_pools import pool_workers as workers
from levare.store.tables_pools import pools

Row = Mapping[str, Any]
Document = Mapping[str, Any]

_UNDECIDED = "Beat has not looked at it yet."


def put(connection: Connection, name: str, definition: Document, *, actor: Actor, now: datetime) -> Row:
    """Declare a pool, or declare it anew; the same again changes nothing. A new price holds for its workers at once."""
    DECLARED.declare(connection, name, definition, actor=actor, now=now)
    return one(connection, name)


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Forget a pool; its workers drain and end. Raise NotFound if there is none."""
    row = one(connection, name)
    DECLARED.remove(connection, name, actor=actor, now=now)
    return row


def one(connection: Connection, name: str) -> Row:
    """The pool with its workers."""
    return _with_workers(connection, [DECLARED.one(connection, name)])[0]


def every(connection: Connection) -> list[Row]:
    """By name, each with its workers; those of pools that were removed stand under a pool without a definition."""
    declared = [dict(row) for row in connection.execute(_ALL).mappings()]
    return _with_workers(connection, declared)


def _with_workers(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    found = pool_workers.by_pool(connection)
    return [{**row, "workers": found.get(row["name"], [])} for row in rows]


def _columns(connection: Connection, changed: Sequence[Change], _made: Made) -> Mapping[str, Row]:
    """A new one has no workers yet; the price of those that there are holds at once."""
    for each in changed:
        if each.before and each.after and each.before.get("price") != each.after.get("price"):
            _set_price(connection, each.name, each.after.get("price"))
    return {each.name: {"wanted": 0, "why": _UNDECIDED} for each in changed if each.before is None}


def _set_price(connection: Connection, name: str, price: float | None) -> None:
    for row in connection.execute(_OF_POOL, {"of_pool": name}).all():
        connection.execute(_SET_SHARE, {"of_name": row.name, "new": {**row.share, "price": price}})
        connection.execute(_SET_PRICE, {"of_name": row.name, "new": price})


DECLARED = Kind("pool", pools, columns=_columns)
_ALL = select(pools).order_by(pools.c.name)
_OF_POOL = select(workers.c.name, workers.c.share).where(workers.c.pool == bindparam("of_pool"))
_SET_SHARE = update(workers).where(workers.c.name == bindparam("of_name")).values(share=bindparam("new"))
_SET_PRICE = update(nodes).where(nodes.c.name == bindparam("of_name")).values(price=bindparam("new"))
