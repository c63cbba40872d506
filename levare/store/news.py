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


def _next(is_behind: Any, *order: Any) -> Any:
    return select(news).where(is_behind).order_by(*order).limit(bindparam("most"))


_PLACE = (news.c.mark, news.c.number)
_OLDEST = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), Text), BigInteger)
_IS_SETTLED = news.c.mark < _OLDEST
"""On PostgreSQL: no transaction that still runs can come before it."""
_FIRST = select(*_PLACE).order_by(*_PLACE).limit(1)
_NEWEST = select(*_PLACE).order_by(*(column.desc() for column in _PLACE)).limit(1)
_LAST = {"sqlite": _NEWEST, "postgresql": _NEWEST.where(_IS_SETTLED)}
_MARK, _NUMBER = bindparam("mark", type_=BigInteger), bindparam("number", type_=BigInteger)
_AFTER = {
    # its mark is 0 throughout; by both, SQLite would seek in the index by the mark alone, and read all that is kept
    "sqlite": _next(news.c.number > _NUMBER, news.c.number),
    "postgresql": _next(tuple_(*_PLACE) > tuple_(_MARK, _NUMBER), *_PLACE).where(_IS_SETTLED),
}
_BEYOND = {dialect: query.offset(bindparam("skipped")) for dialect, query in _AFTER.items()}
