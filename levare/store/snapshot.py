"""What beat decides on: one consistent reading of everything that may have to change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from levare.decide.capacity import Vacancies
from levare.decide.families import Family
from levare.decide.health import Run
from levare.model import ArrayState, Blocked, Ended, Node, Parting, Rules, Sharing, Waiting
from levare.store import arrays, health, movable, sharing
from levare.store.endings import ended
from levare.store.expectations import Histories
from levare.store.families import held as held_families
from levare.store.families import known as known_families
from levare.store.fleet import Fleet
from levare.store.messages import Message, messages_due
from levare.store.running import Running
from levare.store.waiting import load_lanes

_USUAL = Rules()


@dataclass(frozen=True)
class Snapshot:
    nodes: Sequence[Node]
    renewals: Mapping[str, int]
    waiting: Sequence[Waiting]
    """Of each lane as many as could start at the very most."""
    sharing: Sharing
    blocked: Sequence[Blocked]
    arrays: Sequence[ArrayState]
    """Those whose elements have moved so far that the array has to follow."""
    ended: Sequence[Ended]
    live: Sequence[Any]
    """Rows of the live attempts, with `id`, `node`, `on_lost` and `cancel_requested_at`."""
    to_cancel: Sequence[str]
    """Jobs that nobody has begun and somebody wants cancelled."""
    unclaimed_to_cancel: Sequence[str]
    """Attempts that no worker has claimed, of jobs that somebody wants cancelled."""
    to_part: Sequence[Parting]
    """Attempts whose gang has broken."""
    unsent: Sequence[Message]
    """What some node is to be told of again."""
    families: Mapping[str, Family] = field(default_factory=dict)
    """Of the jobs that have ended."""
    runs: Sequence[Run] = ()
    """What ended lately on the nodes on which something has failed soon after its start."""
    cleared: Mapping[str, datetime] = field(default_factory=dict)
    """Until when nodes (by name) and GPUs (by UUID) were excluded last."""


@dataclass
class Memory:
    """
    What was read last, so that the next reading makes anew only what differs.

    It saves work and decides nothing: every reading asks SQL for all, and a reading without it is the same.
    """

    running: Running = field(default_factory=Running)
    fleet: Fleet = field(default_factory=Fleet)
    histories: Histories = field(default_factory=Histories)
    """Of what waits, and of nothing that runs."""


def load(connection: Connection, *, now: datetime, rules: Rules = _USUAL, memory: Memory | None = None) -> Snapshot:
    memory = memory or Memory()
    running, fleet = memory.running, memory.fleet
    running.read(connection)
    fleet.read(connection, running.held, now=now)
    over = ended(connection, running.over)
    runs = health.runs_beside(connection, over, now=now)
    most = Vacancies(fleet.nodes).most_starts
    lanes = load_lanes(connection, most=most, now=now, histories=memory.histories, beside=running.histories)
    can_move = movable.load(connection, now=now)
    incarnations = {node.name: node.incarnation for node in fleet.nodes}
    return Snapshot(
        nodes=fleet.nodes,
        renewals=fleet.renewals,
        waiting=[job for lane in lanes for job in lane],
        sharing=load_sharing(connection, now=now, rules=rules),
        blocked=can_move.blocked,
        arrays=arrays.to_follow(connection),
        ended=over,
        live=running.live,
        to_cancel=can_move.to_cancel,
        unclaimed_to_cancel=running.unclaimed_to_cancel,
        to_part=running.to_part,
        unsent=messages_due(connection, running.live, incarnations, now=now),
        families=known_families(connection, {each.family for each in over}),
        runs=runs,
        cleared=health.cleared(connection) if runs else {},
    )


def load_sharing(connection: Connection, *, now: datetime, rules: Rules) -> Sharing:
    books = sharing.load(connection, now=now, rules=rules)
    return replace(books, held_families=held_families(connection, now=now))
