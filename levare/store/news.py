"""
News: every change of a state of a job, a node or an alert, and every event that came, in the order of the commits.

A place is `(mark, number)`. On PostgreSQL numbers are given before the commit, so what a transaction that still runs
may yet put in between is waited for: whoever follows misses nothing and meets nothing twice.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, Text, bindparam, cast, func, select, tuple_

from levare.store.tables_news import news

Row = Mapping[str, Any]


@dataclass(frozen=True, order=True)
class Place:
    """Between two news; its text is `MARK-NUMBER`."""

    mark: int = 0
    number: int = 0

    def __str__(self) -> str:
        return f"{self.mark}-{self.number}"

    @classmethod
    def at(cls, text: str) -> "Place":
        mark, _, number = text.partition("-")
        return cls(int(mark), int(number))


def place_of(row: Row) -> Place:
    return Place(row["mark"], row["number"])


def end(connection: Connection) -> Place:
    """Behind all that is committed."""
    row = connection.execute(_LAST[connection.dialect.name]).mappings().first()
    return place_of(dict(row)) if row else Place()


def begin(connection: Connection) -> Place | None:
    """The oldest that is kept; None where there is none."""
    row = connection.execute(_FIRST).mappings().first()
    return place_of(dict(row)) if row else None


def after(connection: Connection, place: Place, *, limit: int) -> Sequence[Row]:
    """The next news behind a place."""
    values = {"mark": place.mark, "number": place.number, "most": limit}
    return [dict(row) for row in connection.execute(_AFTER[connection.dialect.name], values).mappings()]


def has_more(connection: Connection, place: Place, many: int) -> bool:
    """Whether more than so many lie behind a place."""
    values = {"mark": place.mark, "number": place.number, "most": 1, "skipped": many}
    return connection.execute(_BEYOND[connection.dialect.name], values).first() is not None


def _settled(query: Any) -> Mapping[str, Any]:
    """By dialect; on PostgreSQL only what no transaction that still runs can come before."""
    return {"sqlite": query, "postgresql": query.where(news.c.mark < _OLDEST)}


_PLACE = (news.c.mark, news.c.number)
_OLDEST = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
_FIRST = select(*_PLACE).order_by(*_PLACE).limit(1)
_LAST = _settled(select(*_PLACE).order_by(*(column.desc() for column in _PLACE)).limit(1))
_NEXT = (
    select(news)
    .where(tuple_(*_PLACE) > tuple_(bindparam("mark", type_=BigInteger), bindparam("number", type_=BigInteger)))
    .order_by(*_PLACE)
    .limit(bindparam("most"))
)
_AFTER, _BEYOND = _settled(_NEXT), _settled(_NEXT.offset(bindparam("skipped")))
