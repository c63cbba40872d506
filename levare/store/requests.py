"""What the next attempt of a job asks for, where it learnt from the last one."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, bindparam, select, update

from levare.model import LIVE, Move
from levare.store.jobs import lane_of
from levare.store.tables import jobs
from levare.store.types import is_one_of


def amend(connection: Connection, moves: Iterable[Move]) -> None:
    """Change memory, nodes to stay away from and the earliest start of each job that is still where it was seen."""
    changes = {move.job_id: change for move in moves if (change := _changes(move))}
    rows = connection.execute(_ROWS, {"ids": list(changes)}).mappings().all() if changes else []
    if rows:
        connection.execute(_AMEND, [_values({**row, **changes[row["id"]]}) for row in rows])


def _changes(move: Move) -> dict[str, Any]:
    changes = {"start_after": move.not_before, "memory_mib": move.memory_mib, "shunned": move.shunned}
    return {name: value for name, value in changes.items() if value is not None}


def _values(row: dict[str, Any]) -> dict[str, Any]:
    """A job that asks for something else is in another lane."""
    row |= {"shunned": list(row["shunned"])}
    new = row | {"lane": lane_of(row)}
    return {"job": row["id"], **{f"new_{name}": new[name] for name in _AMENDED}}


_AMENDED = ("start_after", "memory_mib", "shunned", "lane")
_ROWS = select(jobs).where(jobs.c.id.in_(bindparam("ids", expanding=True)))
_AMEND = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), is_one_of(jobs.c.state, LIVE))
    .values({name: bindparam(f"new_{name}", type_=jobs.c[name].type) for name in _AMENDED})
)
