"""
Statements that read the same many rows again and again, of which few have changed since.

Every reading compares all that SQL says of every row with what it said before; only what differs is made into typed
rows. So a row is the same object as long as nobody, in whatever process, has written any of its columns.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Select, type_coerce
from sqlalchemy.types import NULLTYPE

Processor = Callable[[Any], Any]


class Seen(NamedTuple):
    """A row as the driver gave it, and as its types make it."""

    raw: tuple[Any, ...]
    row: Any


Rows = Mapping[str, Seen]
"""By the first column, which tells the rows apart."""


class Reading:
    """A statement whose rows are typed only where they are new."""

    def __init__(self, name: str, statement: Select[Any]) -> None:
        columns = list(statement.selected_columns)
        untyped = [type_coerce(column, NULLTYPE).label(column.key) for column in columns]
        self._untyped = statement.with_only_columns(*untyped, maintain_column_froms=True)
        self._types = [column.type for column in columns]
        self._row: Any = namedtuple(name, [str(column.key) for column in columns])  # noqa: PYI024

    def rows(self, connection: Connection, before: Rows) -> dict[str, Seen]:
        """All rows; those that are as they were `before` are the same objects."""
        result: Any = connection.execute(self._untyped)
        processors = self._processors(connection.dialect, result)
        found: dict[str, Seen] = {}
        for raw in result.cursor.fetchall():
            seen = before.get(raw[0])
            found[raw[0]] = seen if seen is not None and seen.raw == raw else self._seen(raw, processors)
        result.close()
        return found

    def _processors(self, dialect: Dialect, result: Any) -> list[Processor]:
        codes = [column[1] for column in result.cursor.description]
        kinds = (kind.dialect_impl(dialect) for kind in self._types)
        return [kind.result_processor(dialect, code) or _as_it_is for kind, code in zip(kinds, codes, strict=True)]

    def _seen(self, raw: tuple[Any, ...], processors: Sequence[Processor]) -> Seen:
        return Seen(raw, self._row(*(process(value) for value, process in zip(raw, processors, strict=True))))


def _as_it_is(value: Any) -> Any:
    return value
