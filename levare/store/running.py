"""
What runs and what has ended: the latest attempts whose consequence is still to be drawn, each with its job.

They are thousands where the fleet is large, and few of them change from one decision to the next.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select

from levare.decide.gangs import decisive, partings
from levare.model import LIVE, PLACED, Duration, Held, Member, Parting
from levare.store.expectations import Expectations, Histories
from levare.store.reading import Group, Groups, Reading
from levare.store.tables import attempts, jobs


@dataclass(frozen=True)
class Party:
    """The attempts of one node, and what those of them that live hold there."""

    group: Group
    live: Sequence[Any]
    held: Sequence[Held]
    families: frozenset[str]


_NOBODY = Party(Group((), ()), (), (), frozenset())


@dataclass
class Running:
    """What was read of the attempts last; the next reading makes anew only what differs."""

    over: Sequence[Any] = ()
    """Of each job that is over the one attempt that decides what becomes of it."""
    live: Sequence[Any] = ()
    held: Mapping[str, Sequence[Held]] = field(default_factory=dict)
    """By node."""
    to_part: Sequence[Parting] = ()
    histories: Histories = field(default_factory=Histories)
    """Of what runs."""
    _groups: Groups = field(default_factory=dict)
    _parties: dict[str, Party] = field(default_factory=dict)

    def read(self, connection: Connection) -> None:
        self._groups = _UNSETTLED.groups(connection, self._groups)
        self._hold(connection)
        self.live = [row for party in self._parties.values() for row in party.live]
        rows = [row for group in self._groups.values() for row in group.rows]
        ended = [row for row in rows if row.state not in _LIVE]
        gangs = _gangs(connection, rows, {row.job_id for row in ended if row.nodes > 1})
        deciding = {member.attempt_id for members in gangs if (member := decisive(members))}
        self.over = sorted((row for row in ended if row.nodes == 1 or row.id in deciding), key=_order)
        self.to_part = [parting for members in gangs for parting in partings(members)]

    @property
    def unclaimed_to_cancel(self) -> list[str]:
        """Attempts that no worker has claimed, of jobs that somebody wants cancelled."""
        return [row.id for row in self.live if row.cancel_requested_at is not None and row.state == PLACED]

    def _hold(self, connection: Connection) -> None:
        """What a run holds and how long it will take is as before if its row and its family's history are."""
        before, parties = self.histories.known, self._parties
        known = {node: parties.get(node, _NOBODY) for node in self._groups}
        fresh = {node: group for node, group in self._groups.items() if known[node].group is not group}
        names = {name for node, party in known.items() if node not in fresh for name in party.families}
        names |= {row.family for group in fresh.values() for row in group.rows if row.state in _LIVE}
        expectations = self.histories.read(connection, names)
        news = {name for name, history in self.histories.known.items() if before.get(name) is not history}
        self._parties = {
            node: party
            if node not in fresh and news.isdisjoint(party.families)
            else _party(self._groups[node], party, news, expectations)
            for node, party in known.items()
        }
        self.held = {node: party.held for node, party in self._parties.items()}


def _party(group: Group, before: Party, news: AbstractSet[str], expectations: Expectations) -> Party:
    held = {id(row): each for row, each in zip(before.live, before.held, strict=True) if row.family not in news}
    live = [row for row in group.rows if row.state in _LIVE]
    holds = [held.get(id(row)) or _as_held(row, expectations.of(row)) for row in live]
    return Party(group, live, holds, frozenset(row.family for row in live))


def _as_held(row: Any, expected: Duration | None) -> Held:
    limit = row.timeout_seconds
    return Held(
        attempt_id=row.id,
        job_id=row.job_id,
        devices=row.devices,
        cpus=row.cpus,
        memory_mib=row.memory_mib,
        scratch_mib=row.scratch_mib,
        resources=tuple(sorted(row.resources.items())),
        team=row.team,
        project=row.project,
        user=row.user,
        priority=row.priority,
        preemptible=row.preemptible,
        min_runtime=timedelta(seconds=row.min_runtime_seconds),
        placed_at=row.placed_at,
        safe_at=row.safe_at,
        expected=expected,
        limit=None if limit is None else timedelta(seconds=limit),
        progress=row.progress,
        is_ending=_is_told_to_end(row),
        ending_for=row.preempted_for,
        ends_by=_ends_by(row),
    )


def _ends_by(row: Any) -> datetime | None:
    """Whoever makes room has its warning first; what is cancelled has not."""
    grace = timedelta(seconds=row.grace_seconds)
    warned = grace + timedelta(seconds=row.warning_seconds)
    told = ((row.peer_ended_at, grace), (row.cancel_requested_at, grace), (row.preempted_at, warned))
    return min((at + left for at, left in told if at is not None), default=None)


def _is_told_to_end(row: Any) -> bool:
    return any(wish is not None for wish in (row.peer_ended_at, row.preempted_at, row.cancel_requested_at))


def _gangs(connection: Connection, rows: Sequence[Any], broken: AbstractSet[str]) -> list[list[Member]]:
    """The gangs of which something has ended; nothing follows from the others."""
    if not broken:
        return []
    parts = {row.id: row for row in rows if row.job_id in broken}
    found = sorted(connection.execute(_PARTS, {"ids": sorted(parts)}), key=lambda part: (part.job_id, part.rank))
    return [[_as_member(parts[part.id], part) for part in gang] for _, gang in groupby(found, key=lambda p: p.job_id)]


def _as_member(row: Any, part: Any) -> Member:
    return Member(row.id, part.rank, row.node, row.state, part.exit_code, part.ended_at, _is_told_to_end(row))


def _order(row: Any) -> tuple[Any, str]:
    return row.placed_at, row.id


# The statements are built once: building one costs more than running it.

_LIVE = frozenset(LIVE)
_A, _J = attempts.c, jobs.c
_OF_ATTEMPT = (
    *("node", "id", "job_id", "state", "devices", "cpus", "memory_mib", "scratch_mib", "resources", "placed_at"),
    *("safe_at", "preempted_at", "preempted_for", "peer_ended_at", "sent_at", "sent_to"),
)
_OF_JOB = (
    *("on_lost", "cancel_requested_at", "team", "project", "user", "family", "priority", "preemptible"),
    *("min_runtime_seconds", "timeout_seconds", "progress", "nodes", "warning_seconds", "grace_seconds"),
)
_WRITTEN_OF_ATTEMPT = ("id", "state", "safe_at", "preempted_at", "preempted_for", "peer_ended_at", "sent_at", "sent_to")
_WRITTEN_OF_JOB = ("cancel_requested_at", "priority", "progress")
"""What anybody writes of an attempt and its job while it is here; nothing else of what is read ever changes."""
_UNSETTLED = Reading(
    "AttemptRow",
    select(*(_A[name] for name in _OF_ATTEMPT), *(_J[name] for name in _OF_JOB))
    .join(jobs, and_(_J.id == _A.job_id, _J.attempt == _A.number))
    .where(_A.settled.is_(False))
    .order_by(_A.node),
    marks=(*(_A[name] for name in _WRITTEN_OF_ATTEMPT), *(_J[name] for name in _WRITTEN_OF_JOB)),
)
_PARTS = select(_A.id, _A.job_id, _A.rank, _A.exit_code, _A.ended_at).where(_A.id.in_(bindparam("ids", expanding=True)))
