"""The fleet: nodes with their GPUs, what each holds, and what is excluded for a while."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, select

from levare.model import TAKEN, Device, Held, Node, Window
from levare.store import windows
from levare.store.reading import Group, Groups, Reading
from levare.store.running import Running
from levare.store.tables import devices, nodes


@dataclass
class Fleet:
    """
    What was read of the fleet last; the next reading makes anew only what differs.

    A node of which all is as it was is the same object, and so is what was worked out from it.
    """

    nodes: Sequence[Node] = ()
    renewals: Mapping[str, int] = field(default_factory=dict)
    """How often each node has renewed its lease."""
    _rows: Groups = field(default_factory=dict)
    _devices: Groups = field(default_factory=dict)
    _cards: dict[str, Sequence[Device]] = field(default_factory=dict)

    def read(self, connection: Connection, held: Mapping[str, Sequence[Held]], *, now: datetime | None) -> None:
        """All nodes with what each of them holds; without a time nothing is excluded."""
        before, rows = {node.name: node for node in self.nodes}, self._rows
        self._rows = _NODES.groups(connection, self._rows)
        self._read_cards(connection, now)
        kept = windows.by_node(connection, now=now) if now else {}
        read: list[Node] = []
        for name, group in self._rows.items():
            known, row = before.get(name), group.rows[0]
            parts = _Parts(self._cards.get(name, ()), held.get(name, ()), kept.get(name, ()), _exclusion(row, now))
            is_same = known is not None and rows.get(name) is group and parts == _Parts.of(known)
            read.append(known if known is not None and is_same else _same_or_new(known, _node(row, parts)))
        self.nodes = sorted(read, key=lambda node: node.name)
        self.renewals = {group.rows[0].name: group.rows[0].renewals for group in self._rows.values()}

    def _read_cards(self, connection: Connection, now: datetime | None) -> None:
        before, self._devices = self._devices, _DEVICES.groups(connection, self._devices)
        self._cards = {
            node: self._cards[node] if before.get(node) is group and _is_plain(group) else _cards(group, now)
            for node, group in self._devices.items()
        }


def load_emptied(connection: Connection) -> Sequence[Node]:
    """The fleet as if nothing ran on it and nothing were excluded for a while."""
    fleet = Fleet()
    fleet.read(connection, {}, now=None)
    return fleet.nodes


def load_nodes(connection: Connection, *, now: datetime) -> Sequence[Node]:
    """The fleet with what each node holds, and what is excluded at `now`."""
    running, fleet = Running(), Fleet()
    running.read(connection)
    fleet.read(connection, running.held, now=now)
    return fleet.nodes


class _Parts(NamedTuple):
    """What a node consists of besides its own row."""

    cards: Sequence[Device]
    held: Sequence[Held]
    windows: Sequence[Window]
    note: str

    @classmethod
    def of(cls, node: Node) -> "_Parts":
        return cls(node.devices, node.held, node.windows, node.note)


def _node(row: Any, parts: _Parts) -> Node:
    return Node(
        row.name,
        row.state,
        row.cpus,
        row.memory_mib,
        parts.cards,
        parts.held,
        row.incarnation,
        row.labels,
        row.scratch_mib,
        row.resources,
        parts.windows,
        parts.note,
        row.price,
    )


def _same_or_new(before: Node | None, now: Node) -> Node:
    return before if before is not None and before == now else now


def _cards(group: Group, now: datetime | None) -> list[Device]:
    return [_card(row, now) for row in sorted(group.rows, key=lambda row: row.slot)]


def _card(row: Any, now: datetime | None) -> Device:
    blocked = (row.note or f"It is {row.ownership}.") if row.ownership in TAKEN else _exclusion(row, now)
    return Device(row.uuid, row.slot, row.memory_mib, row.model, row.ownership, blocked)


def _is_plain(group: Group) -> bool:
    """Whether the time makes no difference to it."""
    return all(row.excluded_until is None for row in group.rows)


def _exclusion(row: Any, now: datetime | None) -> str:
    """Why a node or GPU takes nothing now; empty if it does."""
    is_out = now is not None and row.excluded_until is not None and row.excluded_until > now
    return (row.excluded_reason or f"Excluded until {row.excluded_until:%Y-%m-%d %H:%M:%S} UTC.") if is_out else ""


# The statements are built once: building one costs more than running it.

_NODE = (
    *("name", "state", "incarnation", "renewals", "cpus", "memory_mib", "labels", "scratch_mib", "resources"),
    *("excluded_until", "excluded_reason", "price"),
)
_CARD = ("memory_mib", "model", "ownership", "note", "excluded_until", "excluded_reason")
_SLOT = devices.c["index"].label("slot")  # `index` is a method of rows
_NODES = Reading("NodeRow", select(*(nodes.c[name] for name in _NODE)))
_DEVICES = Reading(
    "CardRow",
    select(devices.c.node, devices.c.uuid, _SLOT, *(devices.c[name] for name in _CARD)).order_by(devices.c.node),
    marks=(devices.c.uuid, devices.c["index"], *(devices.c[name] for name in _CARD)),
)
