"""Nodes: joining, the lease that says they are alive, what they may take."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, case, delete, exists, insert, select, update

from levare.model import FREE, Device
from levare.model.pools import WANTED
from levare.store import audit
from levare.store.audit import BEAT
from levare.store.tables import devices, nodes
from levare.store.tables_pools import pool_workers


@dataclass(frozen=True)
class NodeFacts:
    """What a worker says of its machine when it joins."""

    name: str
    boot_id: str
    cpus: int
    memory_mib: int
    devices: Sequence[Device]
    simulated: bool
    version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    scratch_mib: int = 0
    resources: Mapping[str, int] = field(default_factory=dict)
    address: str = ""
    price: float | None = None


@dataclass(frozen=True)
class Owned:
    """Whose a GPU is, one of `levare.model.OWNERSHIPS`, and in a sentence who uses it besides levare."""

    ownership: str = FREE
    note: str | None = None


def join(connection: Connection, facts: NodeFacts, *, incarnation: str, now: datetime) -> None:
    """Enter the fleet, or come back to it: what the machine has is replaced, a drain stays in force."""
    row = {
        "incarnation": incarnation,
        "boot_id": facts.boot_id,
        "renewed_at": now,
        "cpus": facts.cpus,
        "memory_mib": facts.memory_mib,
        "version": facts.version,
        "labels": dict(facts.labels),
        "scratch_mib": facts.scratch_mib,
        "resources": dict(facts.resources),
        "address": facts.address,
        "price": facts.price,
    }
    known = connection.execute(
        update(nodes)
        .where(nodes.c.name == facts.name)
        .values(row | {"renewals": nodes.c.renewals + 1, "state": _awake()})
    )
    if not known.rowcount:
        leaves = connection.execute(_LEAVES, {"of_node": facts.name}).first()
        first = {"name": facts.name, "state": "draining" if leaves else "ready", "renewals": 1, "joined_at": now}
        connection.execute(insert(nodes).values(row | first))
    _replace_devices(connection, facts)


def _replace_devices(connection: Connection, facts: NodeFacts) -> None:
    """What is known of a GPU that is still there stays: exclusions, and whose it is, which is slow to find out."""
    known = {row.uuid: row for row in connection.execute(_KNOWN_DEVICES, {"of_node": facts.name})}
    connection.execute(delete(devices).where(devices.c.node == facts.name))
    rows = [_device(facts, device, known.get(device.uuid)) for device in facts.devices]
    if rows:
        connection.execute(insert(devices), rows)


def ownerships(connection: Connection, name: str) -> dict[str, Owned]:
    """What is written of each device of a node, by UUID."""
    return {row.uuid: Owned(row.ownership, row.note) for row in connection.execute(_OWNERSHIPS, {"of_node": name})}


def set_ownerships(connection: Connection, name: str, changes: Mapping[str, Owned], *, incarnation: str) -> bool:
    """Write whose these devices (UUID -> owned) are now. False if one is not, or no longer, this incarnation's."""
    rows = [
        {"of_node": name, "by": incarnation, "device": uuid, "whose": owned.ownership, "says": owned.note}
        for uuid, owned in changes.items()
    ]
    return all(connection.execute(_SET_OWNERSHIP, row).rowcount for row in rows)


def _device(facts: NodeFacts, device: Device, before: Any) -> dict[str, Any]:
    return {
        "uuid": device.uuid,
        "node": facts.name,
        "index": device.index,
        "model": device.model,
        "memory_mib": device.memory_mib,
        "simulated": facts.simulated,
        "ownership": before.ownership if before else FREE,
        "note": before and before.note,
        "excluded_until": before and before.excluded_until,
        "excluded_reason": before and before.excluded_reason,
    }


def renew(connection: Connection, name: str, *, incarnation: str, now: datetime) -> bool:
    """Say that the node lives. False if another incarnation has joined under its name."""
    renewed = connection.execute(
        update(nodes)
        .where(nodes.c.name == name, nodes.c.incarnation == incarnation)
        .values(renewals=nodes.c.renewals + 1, renewed_at=now, state=_awake())
    )
    return bool(renewed.rowcount)


def declare_lost(connection: Connection, seen: Mapping[str, int], *, now: datetime) -> None:
    """Nodes (name -> renewals) that have been silent for too long, unless they have renewed since they were seen."""
    for name, renewals in seen.items():
        lost = connection.execute(
            update(nodes)
            .where(nodes.c.name == name, nodes.c.renewals == renewals, nodes.c.state != "lost")
            .values(state="lost")
        )
        if lost.rowcount:
            audit.record(connection, BEAT, "node.lost", name, now=now, renewals=renewals)


def set_state(connection: Connection, name: str, state: str) -> bool:
    """`draining` takes nothing new, `ready` does. False if there is no such node."""
    changed = connection.execute(
        update(nodes).where(nodes.c.name == name, nodes.c.state.in_(("ready", "draining"))).values(state=state)
    )
    return bool(changed.rowcount)


def _awake() -> object:
    """What was lost takes work again, unless its pool lets it go."""
    leaves = exists().where(pool_workers.c.name == nodes.c.name, pool_workers.c.state != WANTED)
    return case((nodes.c.state != "lost", nodes.c.state), (leaves, "draining"), else_="ready")


_LEAVES = select(pool_workers.c.name).where(pool_workers.c.name == bindparam("of_node"), pool_workers.c.state != WANTED)
_OWNERSHIPS = select(devices.c.uuid, devices.c.ownership, devices.c.note).where(devices.c.node == bindparam("of_node"))
_SET_OWNERSHIP = (
    update(devices)
    .where(
        devices.c.uuid == bindparam("device"),
        devices.c.node == bindparam("of_node"),
        exists().where(nodes.c.name == devices.c.node, nodes.c.incarnation == bindparam("by")),
    )
    .values(ownership=bindparam("whose"), note=bindparam("says"))
)
_KNOWN_DEVICES = select(devices).where(devices.c.node == bindparam("of_node"))
