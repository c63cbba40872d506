"""The fleet: nodes with their GPUs, what each holds, and what is excluded for a while."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from levare.model import TAKEN, Device, Held, Node, Window
from levare.store import windows
from levare.store.reading import Reading, Rows
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
    _rows: Rows = field(default_factory=dict)
    _cards: Rows = field(default_factory=dict)
    _devices: dict[str, Device] = field(default_factory=dict)

    def read(self, connection: Connection, held: Mapping[str, Sequence[Held]], *, now: datetime | None) -> None:
        """All nodes with what each of them holds; without a time nothing is excluded."""
        before = {node.name: node for node in self.nodes}
        self._rows = _NODES.rows(connection, self._rows)
        cards = self._read_cards(connection, now)
        kept = windows.by_node(connection, now=now) if now else {}
        fresh = (_node(seen.row, cards, held, kept, now) for seen in self._rows.values())
        read = (_same_or_new(before.get(node.name), node) for node in fresh)
        self.nodes = sorted(read, key=lambda node: node.name)
        self.renewals = {name: seen.row.renewals for name, seen in self._rows.items()}

    def _read_cards(self, connection: Connection, now: datetime | None) -> Mapping[str, Sequence[Device]]:
        rows = _DEVICES.rows(connection, self._cards)
        self._devices = {
            uuid: self._devices[uuid] if self._cards.get(uuid) is seen and _is_plain(seen.row) else _card(seen.row, now)
            for uuid, seen in rows.items()
        }
        self._cards = rows
        cards: dict[str, list[Device]] = defaultdict(list)
        for uuid, seen in rows.items():
            cards[seen.row.node].append(self._devices[uuid])
        return cards


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


def _node(
    row: Any,
    cards: Mapping[str, Sequence[Device]],
    held: Mapping[str, Sequence[Held]],
    kept: Mapping[str, Sequence[Window]],
    now: datetime | None,
) -> Node:
    return Node(
        row.name,
        row.state,
        row.cpus,
        row.memory_mib,
        sorted(cards.get(row.name, ()), key=_index),
        held.get(row.name, ()),
        row.incarnation,
        row.labels,
        row.scratch_mib,
        row.resources,
        kept.get(row.name, ()),
        _exclusion(row, now),
    )


def _same_or_new(before: Node | None, now: Node) -> Node:
    return before if before is not None and before == now else now


def _index(card: Device) -> int:
    return card.index


def _card(row: Any, now: datetime | None) -> Device:
    blocked = (row.note or f"It is {row.ownership}.") if row.ownership in TAKEN else _exclusion(row, now)
    return Device(row.uuid, row.slot, row.memory_mib, row.model, row.ownership, blocked)


def _is_plain(row: Any) -> bool:
    """Whether the time makes no difference to it."""
    return row.excluded_until is None


def _exclusion(row: Any, now: datetime | None) -> str:
    """Why a node or GPU takes nothing now; empty if it does."""
    is_out = now is not None and row.excluded_until is not None and row.excluded_until > now
    return (row.excluded_reason or f"Excluded until {row.excluded_until:%Y-%m-%d %H:%M:%S} UTC.") if is_out else ""


# The statements are built once: building one costs more than running it.

_NODE = (
    *("name", "state", "incarnation", "renewals", "cpus", "memory_mib", "labels", "scratch_mib", "resources"),
    *("excluded_until", "excluded_reason"),
)
_CARD = ("memory_mib", "model", "ownership", "note", "excluded_until", "excluded_reason")
_SLOT = devices.c["index"].label("slot")  # `index` is a method of rows
_NODES = Reading("NodeRow", select(*(nodes.c[name] for name in _NODE)))
_DEVICES = Reading("CardRow", select(devices.c.uuid, devices.c.node, _SLOT, *(devices.c[name] for name in _CARD)))
