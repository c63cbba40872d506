"""
What runs and what has ended: the latest attempts whose consequence is still to be drawn, each with its job.

They are thousands where the fleet is large, and few of them change from one decision to the next.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, and_, bindparam, select

from levare.decide.gangs import decisive, partings
from levare.model import LIVE, PLACED, Duration, Held, Member, Parting
from levare.store.expectations import Expectations
from levare.store.reading import Reading, Rows
from levare.store.tables import attempts, jobs

Kept = tuple[Any, Duration | None, Held]
"""What an attempt holds, and what that was made from: its row, and how long it is expected to take."""


@dataclass
class Running:
    """What was read of the attempts last; the next reading makes anew only what differs."""

    over: Sequence[Any] = ()
    """Of each job that is over the one attempt that decides what becomes of it."""
    live: Sequence[Any] = ()
    held: Mapping[str, Sequence[Held]] = field(default_factory=dict)
    """By node."""
    to_part: Sequence[Parting] = ()
    _rows: Rows = field(default_factory=dict)
    _held: dict[str, Kept] = field(default_factory=dict)

    def read(self, connection: Connection) -> None:
        self._rows = _UNSETTLED.rows(connection, self._rows)
        rows = [seen.row for seen in self._rows.values()]
        self.live = [row for row in rows if row.state in _LIVE]
        self._hold(connection)
        gangs = _gangs(connection, rows)
        deciding = {member.attempt_id for members in gangs if (member := decisive(members))}
        ended = [row for row in rows if row.state not in _LIVE and (row.nodes == 1 or row.id in deciding)]
        self.over = sorted(ended, key=_order)
        self.to_part = [parting for members in gangs for parting in partings(members)]

    @property
    def unclaimed_to_cancel(self) -> list[str]:
        """Attempts that no worker has claimed, of jobs that somebody wants cancelled."""
        return [row.id for row in self.live if row.cancel_requested_at is not None and row.state == PLACED]

    def _hold(self, connection: Connection) -> None:
        expectations, before = Expectations(connection, self.live), self._held
        self._held = {row.id: _kept(row, expectations.of(row), before.get(row.id)) for row in self.live}
        held: dict[str, list[Held]] = defaultdict(list)
        for row, _, each in self._held.values():
            held[row.node].append(each)
        self.held = held


def _kept(row: Any, expected: Duration | None, before: Kept | None) -> Kept:
    is_same = before is not None and before[0] is row and before[1] == expected
    return before if before is not None and is_same else (row, expected, _as_held(row, expected))


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
    )


def _is_told_to_end(row: Any) -> bool:
    return any(wish is not None for wish in (row.peer_ended_at, row.preempted_at, row.cancel_requested_at))


def _gangs(connection: Connection, rows: Sequence[Any]) -> list[list[Member]]:
    """The gangs of which something has ended; nothing follows from the others."""
    broken = {row.job_id for row in rows if row.nodes > 1 and row.state not in _LIVE}
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
    *("id", "job_id", "state", "node", "devices", "cpus", "memory_mib", "scratch_mib", "resources", "placed_at"),
    *("safe_at", "preempted_at", "preempted_for", "peer_ended_at", "sent_at", "sent_to"),
)
_OF_JOB = (
    *("on_lost", "cancel_requested_at", "team", "project", "user", "family", "priority", "preemptible"),
    *("min_runtime_seconds", "timeout_seconds", "progress", "nodes"),
)
_UNSETTLED = Reading(
    "AttemptRow",
    select(*(_A[name] for name in _OF_ATTEMPT), *(_J[name] for name in _OF_JOB))
    .join(jobs, and_(_J.id == _A.job_id, _J.attempt == _A.number))
    .where(_A.settled.is_(False)),
)
_PARTS = select(_A.id, _A.job_id, _A.rank, _A.exit_code, _A.ended_at).where(_A.id.in_(bindparam("ids", expanding=True)))
