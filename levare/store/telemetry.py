"""What SQL knows of how the whole fleet does, for eyes and monitors: few and bounded questions."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from levare.decide.alerts.rules import SEVERITIES
from levare.model import FINAL, JOB_STATES, LIVE
from levare.store.tables import attempts, decisions, devices, jobs, leases, nodes
from levare.store.tables_alerts import PENDING, alerts, deliveries
from levare.store.tables_pools import pool_workers, pools
from levare.store.tables_time import fires
from levare.store.types import Utc, is_one_of

WAITS_OF = timedelta(hours=1)
FIRES_OF = timedelta(hours=24)
_MOST_WAITS = 5000


@dataclass(frozen=True)
class Holder:
    """Who holds some of a GPU."""

    attempt: str
    job: str
    team: str


@dataclass(frozen=True)
class Telemetry:
    jobs: Mapping[tuple[str, str], int]
    """(state, team) -> how many; of jobs that are over the team is empty."""
    waits: Sequence[float]
    """Seconds from submit to start of the jobs that started in the last hour, shortest first."""
    fires: Mapping[str, int]
    """Outcome -> how many in the last 24 hours."""
    alerts: Mapping[str, int]
    """Severity -> how many are open."""
    undelivered: int
    """What channels have still to be told."""
    leases: Sequence[Any]
    nodes: Sequence[Any]
    pools: Mapping[str, int]
    """Pool -> how many workers it is to have."""
    pool_workers: Mapping[tuple[str, str], int]
    """(pool, state) -> how many it has."""
    devices: Sequence[Any]
    holders: Mapping[str, Sequence[Holder]]
    """UUID of a GPU -> who holds some of it."""


def load(connection: Connection, *, now: datetime) -> Telemetry:
    counts = {(row.state, row.team): row.number for row in connection.execute(_OPEN)}
    over = {(row.state, ""): row.number for row in connection.execute(_OVER)}
    hours = {"begin": now - WAITS_OF, "most": _MOST_WAITS}
    waits = [max(0.0, (row.at - row.created_at).total_seconds()) for row in connection.execute(_WAITS, hours)]
    fired = {row.outcome: row.number for row in connection.execute(_FIRES, {"begin": now - FIRES_OF})}
    return Telemetry(
        jobs={(state, ""): 0 for state in JOB_STATES} | counts | over,
        waits=sorted(waits),
        fires=fired,
        alerts=dict.fromkeys(SEVERITIES, 0) | {row.severity: row.number for row in connection.execute(_ALERTS)},
        undelivered=connection.execute(_UNDELIVERED).scalar_one(),
        leases=connection.execute(_LEASES).all(),
        nodes=connection.execute(_NODES).all(),
        pools={row.name: row.wanted for row in connection.execute(_POOLS)},
        pool_workers={(row.pool, row.state): row.number for row in connection.execute(_POOL_WORKERS)},
        devices=connection.execute(_DEVICES).all(),
        holders=_holders(connection),
    )


def _holders(connection: Connection) -> Mapping[str, Sequence[Holder]]:
    found: dict[str, list[Holder]] = defaultdict(list)
    for row in connection.execute(_HELD):
        for uuid in row.devices:
            found[uuid].append(Holder(row.id, row.job_id, row.team))
    return found


_COUNT = func.count().label("number")
_OPEN = (
    select(jobs.c.state, jobs.c.team, _COUNT)
    .where(is_one_of(jobs.c.state, tuple(state for state in JOB_STATES if state not in FINAL)))
    .group_by(jobs.c.state, jobs.c.team)
)
_OVER = select(jobs.c.state, _COUNT).where(is_one_of(jobs.c.state, FINAL)).group_by(jobs.c.state)
_WAITS = (
    select(decisions.c.at, jobs.c.created_at)
    .join(jobs, jobs.c.id == decisions.c.job_id)
    .where(decisions.c.at >= bindparam("begin", type_=Utc))
    .order_by(decisions.c.at.desc())
    .limit(bindparam("most"))
)
_FIRES = (
    select(fires.c.outcome, _COUNT).where(fires.c.decided_at >= bindparam("begin", type_=Utc)).group_by(fires.c.outcome)
)
_ALERTS = select(alerts.c.severity, _COUNT).where(alerts.c.ended_at.is_(None)).group_by(alerts.c.severity)
_UNDELIVERED = select(_COUNT).select_from(deliveries).where(deliveries.c.state == PENDING)
_LEASES = select(leases.c.role, leases.c.epoch, leases.c.renewed_at, leases.c.owner).order_by(leases.c.role)
_NODES = select(nodes.c.name, nodes.c.state, nodes.c.renewed_at).order_by(nodes.c.name)
_POOLS = select(pools.c.name, pools.c.wanted)
_POOL_WORKERS = select(pool_workers.c.pool, pool_workers.c.state, _COUNT).group_by(
    pool_workers.c.pool, pool_workers.c.state
)
_DEVICES = select(devices).order_by(devices.c.node, devices.c.index)
_HELD = (
    select(attempts.c.id, attempts.c.job_id, attempts.c.devices, jobs.c.team)
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .where(is_one_of(attempts.c.state, LIVE))
    .order_by(attempts.c.id)
)
