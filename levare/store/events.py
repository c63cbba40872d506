"""Events as they came, each once, and whether beat has shown them to the triggers."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, literal, select, tuple_, update
from sqlalchemy.exc import IntegrityError

from levare.decide.events import Event, digest_of
from levare.store import audit
from levare.store.audit import Actor
from levare.store.tables_triggers import events
from levare.store.types import Utc

Row = Mapping[str, Any]

MOST_AT_ONCE = 200
"""So many are shown to the triggers in one transaction."""


def receive(connection: Connection, event: Event, *, actor: Actor, now: datetime) -> tuple[Row, bool]:
    """Record an event and return its row, and True if it is new: its source and id say which it is."""
    digest = digest_of(event)
    known = _known(connection, digest)
    if known:
        return known, False
    named = {name: event.get(name) for name in ("source", "id", "type", "subject")}
    row = {**named, "digest": digest, "event": dict(event), "received_at": now, "sender": actor.name, "settled": False}
    try:
        with connection.begin_nested():
            connection.execute(insert(events), row)
    except IntegrityError:  # the same came at the same instant, and was faster
        return _known(connection, digest) or row, False
    detail = {name: named[name] for name in ("source", "type", "subject")}
    audit.record(connection, actor, "event.received", str(event.get("id")), now=now, **detail)
    return _known(connection, digest) or row, True


def find(
    connection: Connection,
    *,
    limit: int,
    type: str | None = None,  # noqa: A002  # as CloudEvents call it
    source: str | None = None,
    after: tuple[datetime, int] | None = None,
) -> Sequence[Row]:
    """Events, newest first, those beyond `after` only."""
    place = (events.c.received_at, events.c.number)
    query = select(events).order_by(*(column.desc() for column in place)).limit(limit)
    for column, wanted in ((events.c.type, type), (events.c.source, source)):
        query = query.where(column == wanted) if wanted is not None else query
    if after:
        query = query.where(tuple_(*place) < tuple_(literal(after[0], Utc), literal(after[1])))
    return [dict(row) for row in connection.execute(query).mappings()]


def between(connection: Connection, since: datetime, until: datetime, *, limit: int) -> Sequence[Row]:
    """What came in this time, oldest first, at most so many, the newest of them."""
    found = connection.execute(_BETWEEN, {"since": since, "until": until, "most": limit}).mappings()
    return [dict(row) for row in found][::-1]


def unsettled(connection: Connection) -> Sequence[Row]:
    """What the triggers have not seen yet, in the order it came."""
    return [dict(row) for row in connection.execute(_UNSETTLED, {"most": MOST_AT_ONCE}).mappings()]


def settle(connection: Connection, numbers: Sequence[int]) -> None:
    """The triggers have seen these."""
    if numbers:
        connection.execute(_SETTLE, {"numbers": list(numbers)})


def _known(connection: Connection, digest: str) -> Row | None:
    row = connection.execute(_BY_DIGEST, {"of_digest": digest}).mappings().one_or_none()
    return dict(row) if row else None


_BY_DIGEST = select(events).where(events.c.digest == bindparam("of_digest"))
_UNSETTLED = select(events).where(~events.c.settled).order_by(events.c.number).limit(bindparam("most"))
_SETTLE = (
    update(events)
    .where(events.c.number.in_(bindparam("numbers", expanding=True)), ~events.c.settled)
    .values(settled=True)
)
_BETWEEN = (
    select(events)
    .where(events.c.received_at >= bindparam("since", type_=Utc), events.c.received_at < bindparam("until", type_=Utc))
    .order_by(events.c.received_at.desc(), events.c.number.desc())
    .limit(bindparam("most"))
)
