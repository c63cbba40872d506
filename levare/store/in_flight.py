"""Work in flight that a plan touches: what it is, and what becomes of it when the plan is applied."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select

from levare.decide.effect import CANCEL, InFlight, Touched
from levare.decide.plan import REQUEUE
from levare.model import BLOCKED, LIVE, WAITING, Node
from levare.model.changes import Change
from levare.store import jobs, wishes
from levare.store.audit import Actor
from levare.store.declared import in_parts
from levare.store.tables import attempts
from levare.store.tables import jobs as jobs_table
from levare.store.tables_pools import pool_workers
from levare.store.types import is_one_of


def load(connection: Connection, changed: Iterable[Change], nodes: Sequence[Node]) -> list[InFlight]:
    """The jobs that schedules and triggers among these have submitted, and what runs on nodes of windows and pools."""
    changed = list(changed)
    gone = [each.name for each in changed if each.kind == "pool" and each.after is None]
    pools = {row.name: row.pool for row in in_parts(connection, _WORKERS, gone)}
    ends = {held.job_id: held.usual_end for node in nodes for held in node.held}
    found: dict[str, InFlight] = {}
    for row in _rows(connection, changed, pools):
        found.setdefault(row.id, _in_flight(row, ends, pools))
    return list(found.values())


def carry_out(connection: Connection, found: Iterable[Touched], reason: str, *, actor: Actor, now: datetime) -> None:
    """Cancel and requeue what is to be; what is kept, or is to finish, is left alone."""
    for each in found:
        if each.fate == CANCEL:
            jobs.wish_cancel(connection, each.job, actor=actor, now=now)
        elif each.fate == REQUEUE and each.attempt:
            wishes.requeue(connection, each.attempt, each.job, f"{reason}: {each.because}.", actor=actor, now=now)


def _rows(connection: Connection, changed: Sequence[Change], pools: Mapping[str, str]) -> Iterator[Any]:
    for kind, query in _OF_KIND.items():
        yield from in_parts(connection, query, [each.name for each in changed if each.kind == kind and each.before])
    windows = [each.after for each in changed if each.kind == "window" and each.after]
    yield from in_parts(connection, _ON_NODES, {*pools, *(node for window in windows for node in window["nodes"])})


def _in_flight(row: Any, ends: Mapping[str, Any], pools: Mapping[str, str]) -> InFlight:
    plain = {name: getattr(row, name) for name in ("name", "team", "user", "state", "schedule", "trigger")}
    return InFlight(
        row.id,
        **plain,
        node=row.node,
        pool=pools.get(row.node or ""),
        preemptible=row.preemptible,
        usual_end=ends.get(row.id),
        attempt=row.attempt_id,
    )


_WORKERS = select(pool_workers.c.name, pool_workers.c.pool).where(
    pool_workers.c.pool.in_(bindparam("names", expanding=True))
)
_J, _A = jobs_table.c, attempts.c
_NAMES = bindparam("names", expanding=True)
_JOBS = select(
    *(_J[name] for name in ("id", "name", "team", "user", "state", "schedule", "trigger", "preemptible")),
    _A.node,
    _A.id.label("attempt_id"),
).select_from(jobs_table.outerjoin(attempts, and_(_A.job_id == _J.id, _A.rank == 0, is_one_of(_A.state, LIVE))))
_OPEN = _JOBS.where(or_(is_one_of(_J.state, (BLOCKED, WAITING, *LIVE)))).order_by(_J.created_at, _J.id)
_OF_KIND = {"schedule": _OPEN.where(_J.schedule.in_(_NAMES)), "trigger": _OPEN.where(_J.trigger.in_(_NAMES))}
_ON_NODES = (
    select(*(column for column in _JOBS.selected_columns))
    .join_from(attempts, jobs_table, _A.job_id == _J.id)
    .where(is_one_of(_A.state, LIVE), _A.node.in_(_NAMES))
    .order_by(_J.created_at, _J.id)
)
