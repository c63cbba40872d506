"""On what a past is played again: the fleet and who shares it, as they are declared or as they would be."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from levare.errors import NotFound
from levare.model import Node, Rules, Sharing
from levare.model.changes import Change
from levare.store import applying
from levare.store.audit import Actor
from levare.store.declared import Made
from levare.store.fleet import load_emptied
from levare.store.pool_workers import with_prospects
from levare.store.snapshot import load_sharing

PLAYED = ("team", "pool")
"""What of all that is declared makes a difference to a replay."""


@dataclass(frozen=True)
class World:
    nodes: Sequence[Node]
    sharing: Sharing


def as_declared(connection: Connection, *, now: datetime, rules: Rules) -> World:
    """The nodes that take jobs now, empty and without windows, and as many workers of pools as these may ever have."""
    found = with_prospects(connection, load_emptied(connection), now=now)
    return World([node for node in found if node.state == "ready"], load_sharing(connection, now=now, rules=rules))


def with_changes(
    trial: AbstractContextManager[Connection],
    changes: Sequence[Change],
    *,
    revision: int,
    actor: Actor,
    now: datetime,
    rules: Rules,
) -> World:
    """As it would be once these were declared, from a transaction that is undone."""
    with trial as connection:
        applying.write(connection, changes, Made(revision, actor, now))
        return as_declared(connection, now=now, rules=rules)


def with_nodes(world: World, counts: Mapping[str, int]) -> World:
    """So many nodes like each of these, instead of the one; raise NotFound where there is none of that name."""
    known = {node.name: node for node in world.nodes}
    for name in counts.keys() - known.keys():
        raise NotFound(f"No node {name!r} takes jobs now.", f"Nodes that do: {', '.join(sorted(known)) or 'none'}.")
    others = [node for node in world.nodes if node.name not in counts]
    alike = [each for name, count in counts.items() for each in _alike(known[name], count)]
    return replace(world, nodes=[*others, *alike])


def _alike(node: Node, count: int) -> list[Node]:
    return [node, *(_twin(node, number) for number in range(2, count + 1))][:count]


def _twin(node: Node, number: int) -> Node:
    devices = [replace(device, uuid=f"{device.uuid}~{number}") for device in node.devices]
    return replace(node, name=f"{node.name}~{number}", devices=devices)
