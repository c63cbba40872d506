"""
The seal of the audit: beat gives each row its place in a chain and its hash, a second after it was written.

A write records its row in its own transaction and waits for nobody: were the hash made there, every write of the whole
fleet would wait for the one before it to be committed. The price: what is changed within that second is not found out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from levare.decide.chain import START, Break, Entry, Walk, link
from levare.store.tables import audit
from levare.store.tables_failures import audit_head
from levare.store.types import Utc

AT_ONCE = 500
OVERDUE = timedelta(minutes=1)
"""A row that is not sealed after so long says that nobody seals."""
_CHUNK = 2000


@dataclass(frozen=True)
class Verdict:
    """What a look at the whole chain has found; `head` is what to note elsewhere, as an anchor."""

    sealed: int
    open: int
    open_since: datetime | None
    head: str
    broken: Break | None


def is_due(connection: Connection) -> bool:
    """Whether there is anything to seal; cheap."""
    return connection.execute(_ANY_OPEN).first() is not None


def seal(connection: Connection, *, now: datetime) -> int:
    """Seal the next rows; return how many. None if another beat has sealed meanwhile, which is an answer."""
    sealed, previous = _head(connection)
    rows = [_entry(row) for row in connection.execute(_OPEN, {"most": AT_ONCE})]
    if not rows:
        return 0
    seals: list[dict[str, Any]] = []
    for place, entry in enumerate(rows, sealed + 1):
        previous = link(previous, entry, place)
        seals.append({"row": entry.row, "new_place": place, "new_hash": previous})
    if not _move_head(connection, sealed, sealed + len(rows), previous, now):
        return 0
    connection.execute(_SEAL, seals)
    return len(rows)


def verify(connection: Connection, anchors: Mapping[int, str]) -> Verdict:
    """Walk along the whole chain. An anchor is a place and the hash that somebody has noted of it."""
    sealed, head = _head(connection)
    walk = Walk(anchors)
    for chunk in _chunks(connection):
        if not walk.along(chunk):
            break
    else:
        walk.ends_at(sealed, head)
    left = connection.execute(_LEFT).one()
    return Verdict(sealed, left.open, left.since, head, walk.broken)


def _chunks(connection: Connection) -> Iterator[list[Entry]]:
    place = -1
    while rows := connection.execute(_SEALED, {"behind": place, "most": _CHUNK}).all():
        yield [_entry(row) for row in rows]
        place = rows[-1].place


def _entry(row: Any) -> Entry:
    return Entry(
        *(row.id, row.at, row.actor, row.action, row.object, row.source, row.detail, row.place or 0, row.hash or "")
    )


def _head(connection: Connection) -> tuple[int, str]:
    row = connection.execute(_HEAD).one_or_none()
    return (row.sealed, row.hash) if row else (0, START)


def _move_head(connection: Connection, before: int, after: int, hash_: str, now: datetime) -> bool:
    if before == 0 and connection.execute(_HEAD).one_or_none() is None:
        connection.execute(insert(audit_head), {"id": 1, "sealed": after, "hash": hash_, "sealed_at": now})
        return True
    asked = {"before": before, "after": after, "new_hash": hash_, "now": now}
    return bool(connection.execute(_MOVE_HEAD, asked).rowcount)


_A, _H = audit.c, audit_head.c
_ANY_OPEN = select(_A.id).where(_A.hash.is_(None)).limit(1)
_OPEN = select(audit).where(_A.hash.is_(None)).order_by(_A.id).limit(bindparam("most"))
_SEALED = (
    select(audit)
    .where(_A.hash.is_not(None), _A.place > bindparam("behind"))
    .order_by(_A.place)
    .limit(bindparam("most"))
)
_LEFT = select(func.count().label("open"), func.min(_A.at, type_=Utc).label("since")).where(_A.hash.is_(None))
_HEAD = select(_H.sealed, _H.hash).where(_H.id == 1)
_MOVE_HEAD = (
    update(audit_head)
    .where(_H.id == 1, _H.sealed == bindparam("before"))
    .values(sealed=bindparam("after"), hash=bindparam("new_hash"), sealed_at=bindparam("now", type_=Utc))
)
_SEAL = (
    update(audit)
    .where(_A.id == bindparam("row"), _A.hash.is_(None))
    .values(place=bindparam("new_place"), hash=bindparam("new_hash"))
)
