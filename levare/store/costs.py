"""What attempts have cost and consumed, written when they are settled: to each attempt, its job, and its array."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Float, bindparam, func, or_, select, update

from levare.decide.cost import cost, share
from levare.model import Node, Placement
from levare.store.tables import attempts, jobs


def terms(placement: Placement, node: Node | None) -> dict[str, Any]:
    """The columns that say at what price an attempt has started, whatever becomes of the price."""
    if node is None or node.price is None:
        return {"price": None, "node_share": None}
    return {"price": node.price, "node_share": share(node, placement.devices, placement.request)}


def charge(connection: Connection, settled: Sequence[Any], *, now: datetime) -> None:
    """
    Write down what these attempts have cost; those of a node without a price cost nothing that is known.

    They are rows with id, job_id, price, node_share, energy_joules, placed_at and ended_at that this transaction, and
    no other, has settled, so each is added to its job exactly once.
    """
    known = sorted((row for row in settled if _is_known(row)), key=lambda row: row.id)
    bills = [(row, _bill(row, now)) for row in known]
    if bills:
        connection.execute(_TO_ATTEMPT, [{"of_attempt": row.id, "bill": bill} for row, bill in bills])
        connection.execute(_TO_JOB, [_added(row, bill) for row, bill in bills])


def _is_known(row: Any) -> bool:
    return row.price is not None or row.energy_joules is not None


def _bill(row: Any, now: datetime) -> float | None:
    """A node's clock may be wrong, so an end is believed only between its start and now."""
    if row.price is None:
        return None
    return cost(row.price, row.node_share, min(row.ended_at or now, now) - row.placed_at)


def _added(row: Any, bill: float | None) -> dict[str, Any]:
    return {"of_job": row.job_id, "bill": bill, "joules": row.energy_joules}


def _sum(before: Any, more: Any) -> Any:
    """What is not known adds nothing, and leaves unknown what was."""
    return func.coalesce(before + more, before, more)


_BILL, _JOULES = bindparam("bill", type_=Float), bindparam("joules", type_=Float)
_ELEMENT = jobs.alias("element")
_ARRAY = select(_ELEMENT.c.array_id).where(_ELEMENT.c.id == bindparam("of_job")).scalar_subquery()
_TO_ATTEMPT = update(attempts).where(attempts.c.id == bindparam("of_attempt")).values(cost=_BILL)
_TO_JOB = (
    update(jobs)
    .where(or_(jobs.c.id == bindparam("of_job"), jobs.c.id == _ARRAY))
    .values(cost=_sum(jobs.c.cost, _BILL), energy_joules=_sum(jobs.c.energy_joules, _JOULES))
)
