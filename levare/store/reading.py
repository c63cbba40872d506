"""
Statements that read the same many rows again and again, of which few have changed since.

Every reading asks SQL for the marks of all groups: all that can change in the rows of a group, as one text that SQL
writes. Only the rows of groups whose marks are not as they were are read, from the same view, and only rows that
differ are typed. So the rows of a node are the same objects as long as nobody, in whatever process, has written any
of them; no clock, counter or message says so, but what is written itself.
"""

from collections import namedtuple
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Dialect, Text, bindparam, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NULLTYPE

Processor = Callable[[Any], Any]
_MANY = 400
"""Where the marks of more groups have changed all rows are read."""


class Group(NamedTuple):
    """Rows as the driver gave them, and as their types make them."""

    raw: Sequence[tuple[Any, ...]]
    rows: Sequence[Any]
    mark: str = ""


Groups = Mapping[str, Group]
"""By the first column, which the rows of a group have in common."""
_NOTHING = Group((), ())


class Reading:
    """
    A statement, ordered by its first column, whose rows are typed only where they are new.

    `marks` are the columns that tell which row it is and all that may change of it. Without any all rows are read.
    """

    def __init__(self, name: str, statement: Any, *, marks: Sequence[Any] = ()) -> None:
        columns = list(statement.selected_columns)
        untyped = [type_coerce(column, NULLTYPE).label(column.key) for column in columns]
        self._untyped = statement.with_only_columns(*untyped, maintain_column_froms=True)
        self._some = self._untyped.where(columns[0].in_(bindparam("groups", expanding=True)))
        marking = (columns[0], _Mark(*marks))
        self._marks = statement.with_only_columns(*marking, maintain_column_froms=True).group_by(columns[0])
        self._is_marked = bool(marks)
        self._types = [column.type for column in columns]
        self._row: Any = namedtuple(name, [str(column.key) for column in columns])  # noqa: PYI024

    def groups(
        self, connection: Connection, before: Groups, given: Mapping[str, Any] | None = None
    ) -> dict[str, Group]:
        """All rows; groups, and rows of groups, that are as they were `before` are the same objects."""
        if not self._is_marked:
            return self._read(connection, before, self._untyped, given)
        marks: dict[str, str] = dict(_fetched(connection.execute(self._marks, given)))
        fresh = [name for name, mark in marks.items() if before.get(name, _NOTHING).mark != mark]
        read = self._read_some(connection, before, fresh, given)
        return {name: read[name]._replace(mark=mark) if name in read else before[name] for name, mark in marks.items()}

    def _read_some(
        self, connection: Connection, before: Groups, names: Collection[str], given: Mapping[str, Any] | None
    ) -> dict[str, Group]:
        if not names:
            return {}
        if len(names) > _MANY:
            return self._read(connection, before, self._untyped, given)
        return self._read(connection, before, self._some, {**(given or {}), "groups": names})

    def _read(
        self, connection: Connection, before: Groups, statement: Any, given: Mapping[str, Any] | None
    ) -> dict[str, Group]:
        result: Any = connection.execute(statement, given)
        processors = self._processors(connection.dialect, result)
        found: dict[str, Group] = {}
        for name, rows in groupby(_fetched(result), key=_FIRST):
            raw, known = list(rows), before.get(name, _NOTHING)
            found[name] = known if known.raw == raw else self._typed(raw, known, processors)
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


def _fetched(result: Any) -> list[tuple[Any, ...]]:
    """As the driver gives them."""
    rows = result.cursor.fetchall()
    result.close()
    return rows


def _as_it_is(value: Any) -> Any:
    return value


class _Mark(FunctionElement[str]):
    """The texts of these columns of all rows of a group as one; rows that differ in one have another."""

    type = Text()
    inherit_cache = True


@compiles(_Mark, "sqlite")
def _in_sqlite(mark: Any, compiler: Any, **more: Any) -> str:
    """Free text is quoted, and nothing else can look like a bar; NULL is nothing, which no other text is."""
    kinds = "|".join("%Q" if isinstance(column.type, Text) else "%s" for column in mark.clauses)
    return f"group_concat(printf('{kinds}', {compiler.process(mark.clauses, **more)}))"


@compiles(_Mark, "postgresql")
def _in_postgresql(mark: Any, compiler: Any, **more: Any) -> str:
    first = compiler.process(next(iter(mark.clauses)), **more)
    return f"string_agg(ROW({compiler.process(mark.clauses, **more)})::text, ',' ORDER BY {first})"
