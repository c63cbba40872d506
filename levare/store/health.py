"""Nodes and GPUs that take nothing new because work fails on them: for how long, and what ended there."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update

from levare.decide.health import LOOK_BACK, Exclusion, Run, failed_soon
from levare.model import Ended
from levare.store.tables import attempts, devices, jobs, nodes
from levare.store.types import Utc

_MOST_RUNS = 64
"""Of each node the last so many endings are looked at."""


def runs_beside(connection: Connection, ended: Iterable[Ended], *, now: datetime) -> list[Run]:
    """What ended lately on each node on which one of these has failed soon after its start."""
    places = sorted({each.node for each in ended if failed_soon(each.outcome, each.started_at, each.ended_at)})
    since = now - LOOK_BACK
    return [_as_run(row) for place in places for row in connection.execute(_LATEST, {"place": place, "since": since})]


def _as_run(row: Any) -> Run:
    return Run(
        row.job_id, row.family, row.user, row.node, frozenset(row.devices), row.state, row.started_at, row.ended_at
    )


def cleared(connection: Connection) -> dict[str, datetime]:
    """Until when nodes (by name) and GPUs (by UUID) were excluded last, or when somebody ended that."""
    return {row.place: row.excluded_until for query in (_NODES, _DEVICES) for row in connection.execute(query)}


def exclude(connection: Connection, exclusion: Exclusion, *, now: datetime) -> bool:
    """False if the node or GPU is excluded already, or gone."""
    place = {"place": exclusion.device or exclusion.node}
    new = {"now": now, "until": exclusion.until, "why": exclusion.reason}
    statement = _EXCLUDE_DEVICE if exclusion.device else _EXCLUDE_NODE
    return bool(connection.execute(statement, place | new).rowcount)


def readmit(connection: Connection, node: str, *, now: datetime) -> bool:
    """Let a node and its GPUs take jobs again; what failed before now does not count again. False if all did."""
    done = [connection.execute(statement, {"place": node, "now": now}).rowcount for statement in _READMIT]
    return any(done)


def _excluding(table: Any, key: Any) -> Any:
    free = or_(table.c.excluded_until.is_(None), table.c.excluded_until <= bindparam("now", type_=Utc))
    new = {"excluded_until": bindparam("until", type_=Utc), "excluded_reason": bindparam("why")}
    return update(table).where(key == bindparam("place"), free).values(new)


def _readmitting(table: Any, key: Any) -> Any:
    now = bindparam("now", type_=Utc)
    is_out = table.c.excluded_until > now
    return update(table).where(key == bindparam("place"), is_out).values(excluded_until=now, excluded_reason=None)


def _excluded_once(table: Any, key: Any) -> Any:
    return select(key.label("place"), table.c.excluded_until).where(table.c.excluded_until.is_not(None))


_A = attempts.c
_LATEST = (
    select(
        *(_A.job_id, jobs.c.family, jobs.c.user, _A.node, _A.devices, _A.state, _A.started_at, _A.ended_at),
    )
    .join(jobs, jobs.c.id == _A.job_id)
    .where(_A.node == bindparam("place"), _A.ended_at >= bindparam("since", type_=Utc))
    .order_by(_A.ended_at.desc())
    .limit(_MOST_RUNS)
)
_EXCLUDE_NODE, _EXCLUDE_DEVICE = _excluding(nodes, nodes.c.name), _excluding(devices, devices.c.uuid)
_READMIT = (_readmitting(nodes, nodes.c.name), _readmitting(devices, devices.c.node))
_NODES, _DEVICES = _excluded_once(nodes, nodes.c.name), _excluded_once(devices, devices.c.uuid)
