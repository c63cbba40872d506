"""
Arrays: one row until an element starts, then a row for that element.

`array_next` elements are open: they are jobs of their own, called `ARRAY_INDEX`. An element opens in the
transaction that places it, so an array of a million waits as cheaply as one job.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    bindparam,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from levare.decide import arrays as decide
from levare.model import (
    CANCELLED,
    FAILED,
    FINAL,
    LIVE,
    RUNNING,
    WAITING,
    ArrayState,
    Elements,
    Move,
    Placement,
    Reason,
)
from levare.store.tables import attempts, jobs, needs
from levare.store.types import Utc, is_one_of

ALIVE = (WAITING, *LIVE)
"""An open element in one of these states counts against the cap of its array."""
_MOST_NAMED = 20


def element_id(array_id: str, index: int) -> str:
    return f"{array_id}_{index}"


def array_of(job_id: str) -> tuple[str, int] | None:
    """The array and the index in the id of an element; None for any other id."""
    array_id, _, index = job_id.rpartition("_")
    return (array_id, int(index)) if array_id and index.isdecimal() else None


def stored(elements: Elements | None) -> dict[str, Any]:
    """The columns that say what an array is made of; a grid as pairs, for PostgreSQL keeps no order of names."""
    if elements is None:
        return {"array": None, "array_size": None, "array_cap": None}
    apart = {"grid": [list(pair) for pair in elements.grid], "list": [dict(row) for row in elements.rows]}
    made_of = {name: value for name, value in apart.items() if value}
    return {"array": made_of, "array_size": elements.size, "array_cap": elements.cap}


def elements_of(row: Any) -> Elements:
    return Elements(row["array_size"], row["array_cap"], row["array"].get("grid", ()), row["array"].get("list", ()))


def may_start(table: FromClause) -> ColumnElement[bool]:
    """Whether a waiting row is a job, or an array with elements to open and room under its cap."""
    element = jobs.alias()
    alive = (
        select(func.count())
        .where(element.c.array_id == table.c.id, is_one_of(element.c.state, ALIVE))
        .scalar_subquery()
        .correlate(table)
    )
    has_room = or_(table.c.array_cap.is_(None), alive < table.c.array_cap)
    return or_(table.c.array_size.is_(None), and_(table.c.array_next < table.c.array_size, has_room))


def startable(connection: Connection, rows: Iterable[Any]) -> dict[str, int]:
    """Of the arrays among these rows, how many elements may start now."""
    found = [row for row in rows if row.array_size is not None]
    capped = [row.id for row in found if row.array_cap is not None]
    alive = dict(connection.execute(_ALIVE, {"arrays": capped}).all()) if capped else {}
    return {row.id: _startable(row, alive.get(row.id, 0)) for row in found}


def why_capped(row: Any) -> list[Reason]:
    """Why an array of which nothing may start waits."""
    if row.array_next == row.array_size:
        return [Reason("array-open", "will-wait", "All its elements have begun.", 0, row.array_size)]
    sentence = f"{row.array_cap} of its elements have begun and not ended, which is its cap."
    return [Reason("array-cap", "will-wait", sentence, row.array_cap + 1, row.array_cap)]


def open_elements(connection: Connection, placements: Sequence[Placement], *, now: datetime) -> list[Placement]:
    """
    Make jobs of the elements that are to start; return the placements with the elements' ids for their arrays'.

    What is placed of an array that has been cancelled or used up meanwhile falls away.
    """
    chosen = sorted({placement.job_id for placement in placements})
    rows = [dict(row) for row in connection.execute(_ARRAYS, {"chosen": chosen}).mappings()] if chosen else []
    if not rows:
        return list(placements)
    wanted = _ordinals(placements, {row["id"] for row in rows})
    first = {row["id"]: _open(connection, row, wanted[row["id"]], now) for row in rows}
    return list(_renamed(placements, first))


def _ordinals(placements: Iterable[Placement], arrays: set[str]) -> dict[str, int]:
    """How many elements of each array are placed; a gang is one, whatever the number of its nodes."""
    counts: dict[str, int] = defaultdict(int)
    for placement in placements:
        counts[placement.job_id] += placement.job_id in arrays and placement.rank == 0
    return counts


def _open(connection: Connection, row: dict[str, Any], count: int, now: datetime) -> int | None:
    """The index of the first element that was opened."""
    opened = connection.execute(_OPEN, {"array_row": row["id"], "more": count, "at": now}).scalar_one_or_none()
    if opened is None:
        return None
    first = opened - count
    connection.execute(_INSERT, [_element(row, index) for index in range(first, opened)])
    return first


def _element(row: dict[str, Any], index: int) -> dict[str, Any]:
    """A job that is the array's in all but what its parameters make different; it keeps its place in the queue."""
    given = decide.parameters(elements_of(row), index)
    return {
        **row,
        "id": element_id(row["id"], index),
        "command": decide.command(row["command"], index, given),
        "env": row["env"] | decide.environment(index, row["array_size"], given),
        "parameters": given,
        "array_id": row["id"],
        "array_index": index,
        "array_next": 0,
        **stored(None),
        "started_at": None,
        "cost": None,
        "energy_joules": None,
    }


def _renamed(placements: Iterable[Placement], first: Mapping[str, int | None]) -> Iterable[Placement]:
    seen: dict[tuple[str, int], int] = defaultdict(int)
    for placement in placements:
        if placement.job_id not in first:
            yield placement
            continue
        begun, key = first[placement.job_id], (placement.job_id, placement.rank)
        if begun is not None:
            yield replace(placement, job_id=element_id(placement.job_id, begun + seen[key]))
            seen[key] += 1


def to_follow(connection: Connection) -> list[ArrayState]:
    """The arrays whose state has to follow their elements."""
    rows = connection.execute(_TO_FOLLOW).all()
    counts = counts_of(connection, [row.id for row in rows])
    return [
        ArrayState(
            row.id,
            row.state,
            row.array_size,
            counts[row.id],
            _unsuccessful(connection, row.id, FAILED if counts[row.id].get(FAILED) else CANCELLED),
            row.cancel_requested_at is not None,
        )
        for row in rows
    ]


def counts_of(connection: Connection, array_ids: Sequence[str]) -> Mapping[str, dict[str, int]]:
    """How many open elements of each array are in which state."""
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    if array_ids:
        for row in connection.execute(_COUNTS, {"arrays": array_ids}):
            counts[row.array_id][row.state] = row.number
    return counts


def wish_cancel(connection: Connection, array_id: str, *, by: str, now: datetime) -> None:
    """Record that all open elements are to be cancelled; of the array itself that must have been recorded before."""
    connection.execute(_CANCEL, {"array_row": array_id, "by": by, "at": now})


def nodes_of(connection: Connection, array_id: str) -> list[str]:
    """Where elements of an array run."""
    return list(connection.execute(_NODES, {"array_row": array_id}).scalars())


def is_awaited(connection: Connection, moves: Iterable[Move]) -> bool:
    """Whether the end of one of these jobs lets another move at once: one that needs it, or its array."""
    ended = [move.job_id for move in moves if move.state in FINAL]
    return bool(ended) and bool(connection.execute(_IS_AWAITED, {"ended": ended}).scalar_one())


def _startable(row: Any, alive: int) -> int:
    left = row.array_size - row.array_next
    return left if row.array_cap is None else max(min(left, row.array_cap - alive), 0)


def _unsuccessful(connection: Connection, array_id: str, state: str) -> list[int]:
    return list(connection.execute(_UNSUCCESSFUL, {"array_row": array_id, "fate": state}).scalars())


def _to_follow() -> Any:
    element = jobs.alias("element")
    is_busy = exists().where(element.c.array_id == jobs.c.id, is_one_of(element.c.state, ALIVE))
    no_more = or_(
        jobs.c.array_next == jobs.c.array_size,
        and_(jobs.c.array_next > 0, jobs.c.cancel_requested_at.is_not(None)),
    )
    has_to = or_(and_(jobs.c.state == WAITING, no_more), and_(jobs.c.state == RUNNING, ~is_busy))
    is_open = or_(jobs.c.state == WAITING, jobs.c.state == RUNNING)
    columns = (jobs.c.id, jobs.c.state, jobs.c.array_size, jobs.c.cancel_requested_at)
    return select(*columns).where(jobs.c.array_size.is_not(None), is_open, has_to).order_by(jobs.c.id)


# The statements are built once: building one costs more than running it.

_ROW = bindparam("array_row")
_IN_ARRAYS = jobs.c.array_id.in_(bindparam("arrays", expanding=True))
_ARRAYS = select(jobs).where(jobs.c.id.in_(bindparam("chosen", expanding=True)), jobs.c.array_size.is_not(None))
_OPEN = (
    update(jobs)
    .where(jobs.c.id == _ROW, jobs.c.state == WAITING, jobs.c.cancel_requested_at.is_(None))
    .where(jobs.c.array_next + bindparam("more") <= jobs.c.array_size)
    .values(
        array_next=jobs.c.array_next + bindparam("more"),
        started_at=func.coalesce(jobs.c.started_at, bindparam("at", type_=Utc)),
    )
    .returning(jobs.c.array_next)
)
_INSERT = insert(jobs)
_ALIVE = (
    select(jobs.c.array_id, func.count()).where(_IN_ARRAYS, is_one_of(jobs.c.state, ALIVE)).group_by(jobs.c.array_id)
)
_COUNTS = (
    select(jobs.c.array_id, jobs.c.state, func.count().label("number"))
    .where(_IN_ARRAYS)
    .group_by(jobs.c.array_id, jobs.c.state)
)
_TO_FOLLOW = _to_follow()
_UNSUCCESSFUL = (
    select(jobs.c.array_index)
    .where(jobs.c.array_id == _ROW, jobs.c.state == bindparam("fate"))
    .order_by(jobs.c.array_index)
    .limit(_MOST_NAMED)
)
_CANCEL = (
    update(jobs)
    .where(jobs.c.array_id == _ROW, is_one_of(jobs.c.state, ALIVE), jobs.c.cancel_requested_at.is_(None))
    .values(cancel_requested_at=bindparam("at", type_=Utc), cancelled_by=bindparam("by"))
)
_NODES = (
    select(attempts.c.node)
    .distinct()
    .join(jobs, and_(jobs.c.id == attempts.c.job_id, jobs.c.attempt == attempts.c.number))
    .where(jobs.c.array_id == _ROW, is_one_of(jobs.c.state, LIVE))
)
_ENDED = bindparam("ended", expanding=True)
_IS_AWAITED = select(
    or_(
        exists().where(needs.c.needed_id.in_(_ENDED)),
        exists().where(jobs.c.id.in_(_ENDED), jobs.c.array_id.is_not(None)),
        literal(value=False),
    )
)
