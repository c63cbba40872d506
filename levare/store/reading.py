"""
Statements that read the same many rows again and again, of which few have changed since.

Every reading compares all that SQL says of every row with what it said before; only what differs is made into typed
rows. So the rows of a node are the same objects as long as nobody, in whatever process, has written any of them.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, type_coerce
from sqlalchemy.types import NULLTYPE

Processor = Callable[[Any], Any]


class Group(NamedTuple):
    """Rows as the driver gave them, and as their types make them."""

    raw: Sequence[tuple[Any, ...]]
    rows: Sequence[Any]


Groups = Mapping[str, Group]
"""By the first column, which the rows of a group have in common."""
_NOTHING = Group((), ())


class Reading:
    """A statement, ordered by its first column, whose rows are typed only where they are new."""

    def __init__(self, name: str, statement: Any) -> None:
        columns = list(statement.selected_columns)
        untyped = [type_coerce(column, NULLTYPE).label(column.key) for column in columns]
        self._untyped = statement.with_only_columns(*untyped, maintain_column_froms=True)
        self._types = [column.type for column in columns]
        self._row: Any = namedtuple(name, [str(column.key) for column in columns])  # noqa: PYI024

    def groups(
        self, connection: Connection, before: Groups, given: Mapping[str, Any] | None = None
    ) -> dict[str, Group]:
        """All rows; groups, and rows of groups, that are as they were `before` are the same objects."""
        result: Any = connection.execute(self._untyped, given)
        processors = self._processors(connection.dialect, result)
        found: dict[str, Group] = {}
        for name, rows in groupby(result.cursor.fetchall(), key=_FIRST):
            raw, known = list(rows), before.get(name, _NOTHING)
            found[name] = known if known.raw == raw else self._typed(raw, known, processors)
        result.close()
        return found

    def _processors(self, dialect: Dialect, result: Any) -> list[Processor]:
        codes = [column[1] for column in result.cursor.description]
        kinds = (kind.dialect_impl(dialect) for kind in self._types)
        return [kind.result_processor(dialect, code) or _as_it_is for kind, code in zip(kinds, codes, strict=True)]

    def _typed(self, raw: Sequence[tuple[Any, ...]], known: Group, processors: Sequence[Processor]) -> Group:
        rows = [
            known.rows[known.raw.index(each)]
            if each in known.raw
            else self._row(*(process(value) for value, process in zip(each, processors, strict=True)))
            for each in raw
        ]
        return Group(raw, rows)


_FIRST = itemgetter(0)


def _as_it_is(value: Any) -> Any:
    return value
