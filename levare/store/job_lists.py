"""
Lists of jobs, in an order that stays while jobs come.

Each way to ask for a list is one statement, and is built once: to build it costs as much as to run it. Only what is
asked for of each job is read, for a job has sixty columns.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Integer, bindparam, select, tuple_

from levare.store import arrays, views
from levare.store.tables import attempts, jobs
from levare.store.types import Utc
from levare.store.views import Row


@dataclass(frozen=True)
class JobFilter:
    """Which jobs to list; what is empty filters nothing."""

    states: Sequence[str] = ()
    team: str | None = None
    project: str | None = None
    name: str | None = None
    user: str | None = None
    array: str | None = None
    """Only elements of this array. Without it elements are listed only where `states` or `failures` are asked for."""
    failures: Sequence[str] = ()
    """Only jobs whose latest attempt has failed so."""
    seen: Collection[str] | None = None
    """Only jobs of these teams."""

    def values(self) -> dict[str, Any]:
        """What is asked for, by the name of its condition; who may see no team asks for none, and not for all."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        some = {name: value for name, value in said.items() if value is not None and (name == "seen" or value != ())}
        return {name: value if isinstance(value, str) else list(value) for name, value in some.items()}


class Shape(NamedTuple):
    """One way to ask: by which conditions, for which fields (None for all), from where, in which direction."""

    conditions: frozenset[str]
    names: frozenset[str] | None
    is_behind: bool
    newest_first: bool


def find(
    connection: Connection,
    wanted: JobFilter,
    *,
    limit: int,
    after: tuple[datetime, str] | None = None,
    newest_first: bool = True,
    names: Iterable[str] | None = None,
) -> list[Row]:
    """
    Jobs by the time they came and their id, those beyond `after` only; so a later job moves no page.

    With `names` they have these fields and what `trends.with_left` needs. Elements of one array came at one time;
    they are listed by their index.
    """
    values = wanted.values()
    asked = None if names is None else frozenset(names)
    statement = _statement(Shape(frozenset(values), asked, after is not None, newest_first))
    return views.jobs_of(connection, statement, {**values, **_place(after), "most": limit})


def _place(after: tuple[datetime, str] | None) -> Mapping[str, Any]:
    """What lies just before the list, whichever its order is."""
    if after is None:
        return {}
    return {"behind_at": after[0], "behind_id": after[1], "behind_index": (arrays.array_of(after[1]) or ("", -1))[1]}


@lru_cache(maxsize=512)
def _statement(shape: Shape) -> Any:
    conditions = [_CONDITIONS[name] for name in shape.conditions]
    if shape.conditions.isdisjoint(("array", "states", "failures")):
        conditions.append(jobs.c.array_id.is_(None))
    order, behind = _BY_INDEX if "array" in shape.conditions else _BY_TIME
    if shape.is_behind:
        place, limit = tuple_(*order), tuple_(*behind)
        conditions.append(place < limit if shape.newest_first else place > limit)
    by = [column.desc() for column in order] if shape.newest_first else order
    columns = views.job_columns(shape.names)
    return select(*columns).select_from(views.WITH_LATEST).where(*conditions).order_by(*by).limit(_MOST)


def _among(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    return column.in_(bindparam(name, expanding=True))


_CONDITIONS: Mapping[str, ColumnElement[bool]] = {
    **{name: jobs.c[name] == bindparam(name) for name in ("team", "project", "name", "user")},
    "array": jobs.c.array_id == bindparam("array"),
    "states": _among(jobs.c.state, "states"),
    "failures": _among(attempts.c.failure, "failures"),
    "seen": _among(jobs.c.team, "seen"),
}
_MOST = bindparam("most", type_=Integer)
_BY_TIME = (
    (jobs.c.created_at, jobs.c.id),
    (bindparam("behind_at", type_=Utc), bindparam("behind_id", type_=jobs.c.id.type)),
)
_BY_INDEX = (jobs.c.array_index,), (bindparam("behind_index", type_=jobs.c.array_index.type),)
