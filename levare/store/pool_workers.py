"""The workers that pools have on machines: what is decided upon, and the writes of what was decided."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, exists, func, insert, not_, or_, select, update

from levare.decide.declared_pools import pool_of
from levare.decide.pools import Asked, Facts, Supply, at_most, follows_queue
from levare.errors import Conflict
from levare.model import LIVE, WAITING, Device, Machine, Node, Pool, PoolWorker, Scaling, Share, Waiting
from levare.model.pools import DRAINING, STOPPING, WANTED
from levare.store import audit
from levare.store.audit import BEAT
from levare.store.tables import attempts, devices, jobs, nodes
from levare.store.tables_pools import machines, pool_workers, pools
from levare.store.types import is_one_of

Row = Mapping[str, Any]

AWAY_AFTER = timedelta(seconds=30)
"""A machine that has not asked for so long gets no new worker, and its workers count no more."""


def are_any(connection: Connection) -> bool:
    """Whether there is anything to decide upon."""
    return bool(connection.execute(_ANY).scalar())


def load(connection: Connection, waiting: Sequence[Waiting], *, now: datetime) -> Facts:
    """The facts of a decision; `waiting` are the jobs that pools which follow the queue may start workers for."""
    declared = load_pools(connection, now=now)
    rows = connection.execute(_WORKERS).all()
    names = {row.name for row in rows}
    return Facts(
        declared,
        load_machines(connection, now=now),
        [_worker(row) for row in rows],
        _asked(connection, waiting) if waiting and any(map(follows_queue, declared)) else (),
        frozenset(name for name in connection.execute(_NODE_NAMES).scalars() if name not in names),
    )


def load_pools(connection: Connection, *, now: datetime) -> list[Pool]:
    rows = connection.execute(_POOLS).all()
    return [
        replace(
            pool_of(row.name, row.definition, now=now), surplus_since=row.surplus_since, stood=row.wanted, why=row.why
        )
        for row in rows
    ]


def load_machines(connection: Connection, *, now: datetime) -> list[Machine]:
    return [_machine(row, now) for row in connection.execute(_MACHINES)]


def with_prospects(connection: Connection, found: Sequence[Node], *, now: datetime) -> Sequence[Node]:
    """The nodes, with those that pools would start instead of those that they have: none need be there for a job."""
    if not are_any(connection):
        return found
    all_machines, declared = load_machines(connection, now=now), load_pools(connection, now=now)
    prospects = [node for pool in declared for node in at_most(pool, all_machines)]
    theirs = {row.name for row in connection.execute(_WORKERS)}
    return [*(node for node in found if node.name not in theirs), *prospects]


def load_supplies(connection: Connection, *, now: datetime) -> Sequence[Supply]:
    """What pools could start for a job that waits."""
    if not are_any(connection):
        return []
    found, have = load_machines(connection, now=now), Counter(row.pool for row in connection.execute(_WORKERS))
    return [
        Supply(pool.name, at_most(pool, found), have[pool.name], pool.stood, pool.why)
        for pool in load_pools(connection, now=now)
    ]


def apply(connection: Connection, scalings: Iterable[Scaling], before: Mapping[str, Pool], *, now: datetime) -> None:
    """Write what was decided; the audit tells what of it people may want to know."""
    for each in scalings:
        _move(connection, each, now)
        if each.scales:
            audit.record(connection, BEAT, "pool.scaled", each.pool, now=now, **each.scales, reason=each.why)
        if pool := before.get(each.pool):
            _note(connection, each, pool, now)


def by_pool(connection: Connection) -> Mapping[str, list[Row]]:
    """As people see them."""
    found: dict[str, list[Row]] = defaultdict(list)
    for row in connection.execute(_SEEN).mappings():
        told = (row["told"] or {}).get(row["name"], {})
        state = row["state"] if row["state"] != WANTED else row["node_state"] or "starting"
        found[row["pool"]].append({**row, "state": state, "note": told.get("note"), "attempts": row["live"]})
    return found


def of_machine(connection: Connection, machine: str) -> list[Row]:
    """What is wanted of a machine: its workers, by name."""
    return [dict(row) for row in connection.execute(_OF_MACHINE, {"of_machine": machine}).mappings()]


def forget_ended(connection: Connection, machine: str, running: Sequence[str], *, now: datetime) -> None:
    """Workers of this machine that were to be stopped and that it runs no more; their nodes leave the fleet."""
    for row in of_machine(connection, machine):
        if row["state"] == STOPPING and row["name"] not in running:
            forget(connection, row["name"], now=now)


def refuse_resume(connection: Connection, name: str) -> None:
    """Raise Conflict for a node that its pool lets go: it would be given work, and then ended."""
    row = connection.execute(_LEAVING, {"of_name": name}).one_or_none()
    if row is not None:
        raise Conflict(
            f"{name} is {row.state} because of its pool {row.pool}: {row.reason}",
            f"`levare pools scale {row.pool} N` changes how many the pool has.",
        )


def forget(connection: Connection, name: str, *, now: datetime) -> None:
    """The worker is no more; its node leaves the fleet unless something lives on it."""
    connection.execute(_FORGET, {"of_name": name})
    gone = {"of_name": name}
    if connection.execute(_LIVES_ON, gone).first() is None and connection.execute(_NODE, gone).first():
        connection.execute(_FORGET_DEVICES, gone)
        connection.execute(_FORGET_NODE, gone)
        audit.record(connection, BEAT, "node.left", name, now=now)


def _machine(row: Any, now: datetime) -> Machine:
    return Machine(
        row.name,
        row.labels,
        row.cpus,
        row.memory_mib,
        row.scratch_mib,
        [Device(gpu["uuid"], gpu["index"], gpu["memory_mib"], gpu["model"]) for gpu in row.gpus],
        row.seen_at is not None and now - row.seen_at < AWAY_AFTER,
        row.draining_by is not None,
    )


def _worker(row: Any) -> PoolWorker:
    return PoolWorker(row.name, row.pool, row.machine, row.number, share_of(row.share), row.state, row.live)


def share_of(document: Mapping[str, Any]) -> Share:
    gpus = document["gpus"]
    labels = tuple((name, value) for name, value in document["labels"])
    return Share(**{**document, "gpus": None if gpus is None else tuple(gpus), "labels": labels})


def _asked(connection: Connection, waiting: Sequence[Waiting]) -> list[Asked]:
    """Each with how many of its lane wait; an array is a lane of its own, with as many as may start of it."""
    rows = connection.execute(_LANES, {"ids": [job.job_id for job in waiting if job.count == 1]}).all()
    lanes = {row.id: row.lane for row in rows}
    counts = {row.lane: row.number for row in connection.execute(_WAIT, {"lanes": sorted(set(lanes.values()))})}
    asked: list[Asked] = []
    for job in waiting:
        lane = lanes.get(job.job_id, job.job_id)
        asked.append(Asked(job.job_id, job.request, lane, counts.get(lane, job.count)))
    return asked


def _move(connection: Connection, scaling: Scaling, now: datetime) -> None:
    for worker in scaling.start:
        share = {**asdict(worker.share)}
        row = {"name": worker.name, "pool": worker.pool, "machine": worker.machine, "number": worker.number}
        connection.execute(_START, {**row, "share": share, "state": WANTED, "reason": scaling.why, "since": now})
    for name, reason in scaling.drain.items():
        if connection.execute(_DRAIN, {"of_name": name, "why": reason, "at": now}).rowcount:
            connection.execute(_CLOSE, {"of_name": name})
    for name in scaling.keep:
        if connection.execute(_KEEP, {"of_name": name, "why": scaling.why, "at": now}).rowcount:
            connection.execute(_OPEN, {"of_name": name})
    for name in scaling.stop:
        connection.execute(_CLOSE, {"of_name": name})
        connection.execute(_STOP, {"of_name": name, "at": now})


def _note(connection: Connection, scaling: Scaling, before: Pool, now: datetime) -> None:
    """The decision, where it is another one."""
    changed = scaling.wanted != before.stood
    if changed or scaling.why != before.why or scaling.surplus_since != before.surplus_since:
        said = {"wanted": scaling.wanted, "why": scaling.why, "surplus_since": scaling.surplus_since}
        connection.execute(_DECIDED.values(said | ({"decided_at": now} if changed else {})), {"of_name": scaling.pool})


# The statements are built once: building one costs more than running it.

_OF_NAME = pool_workers.c.name == bindparam("of_name")
_LIVE_HERE = and_(attempts.c.node == pool_workers.c.name, is_one_of(attempts.c.state, LIVE))
_LIVE = select(func.count()).where(_LIVE_HERE).scalar_subquery().correlate(pool_workers)
_ANY = select(or_(exists(select(pools.c.name)), exists(select(pool_workers.c.name))))
_POOLS = select(pools).order_by(pools.c.name)
_MACHINES = select(machines).order_by(machines.c.name)
_WORKERS = select(pool_workers, _LIVE.label("live")).order_by(pool_workers.c.name)
_OF_MACHINE = (
    select(pool_workers).where(pool_workers.c.machine == bindparam("of_machine")).order_by(pool_workers.c.name)
)
_SEEN = (
    select(pool_workers, _LIVE.label("live"), nodes.c.state.label("node_state"), machines.c.workers.label("told"))
    .select_from(
        pool_workers.outerjoin(nodes, nodes.c.name == pool_workers.c.name).outerjoin(
            machines, machines.c.name == pool_workers.c.machine
        )
    )
    .order_by(pool_workers.c.machine, pool_workers.c.number)
)
_NODE_NAMES = select(nodes.c.name)
_LANES = select(jobs.c.id, jobs.c.lane).where(
    jobs.c.id.in_(bindparam("ids", expanding=True)), jobs.c.array_size.is_(None)
)
_WAIT = (
    select(jobs.c.lane, func.count().label("number"))
    .where(jobs.c.state == WAITING, jobs.c.lane.in_(bindparam("lanes", expanding=True)), jobs.c.array_size.is_(None))
    .group_by(jobs.c.lane)
)
_START = insert(pool_workers)
_MOVED = {"reason": bindparam("why"), "since": bindparam("at", type_=pool_workers.c.since.type)}
_DRAIN = update(pool_workers).where(_OF_NAME, pool_workers.c.state == WANTED).values(state=DRAINING, **_MOVED)
_KEEP = update(pool_workers).where(_OF_NAME, pool_workers.c.state == DRAINING).values(state=WANTED, **_MOVED)
_OPEN_NODE = and_(nodes.c.name == pool_workers.c.name, nodes.c.state == "ready")
_STOP = (
    update(pool_workers)
    .where(
        _OF_NAME, pool_workers.c.state == DRAINING, not_(exists().where(_LIVE_HERE)), not_(exists().where(_OPEN_NODE))
    )
    .values(state=STOPPING, since=bindparam("at", type_=pool_workers.c.since.type))
)
_CLOSE = update(nodes).where(nodes.c.name == bindparam("of_name"), nodes.c.state == "ready").values(state="draining")
_OPEN = update(nodes).where(nodes.c.name == bindparam("of_name"), nodes.c.state == "draining").values(state="ready")
_DECIDED = update(pools).where(pools.c.name == bindparam("of_name"))
_LEAVING = select(pool_workers).where(_OF_NAME, pool_workers.c.state != WANTED)
_FORGET = delete(pool_workers).where(_OF_NAME)
_NODE = select(nodes.c.name).where(nodes.c.name == bindparam("of_name"))
_LIVES_ON = (
    select(attempts.c.id).where(attempts.c.node == bindparam("of_name"), is_one_of(attempts.c.state, LIVE)).limit(1)
)
_FORGET_DEVICES = delete(devices).where(devices.c.node == bindparam("of_name"))
_FORGET_NODE = delete(nodes).where(nodes.c.name == bindparam("of_name"))
