"""What endings teach besides what becomes of their own jobs: of their families, of nodes and GPUs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from levare.decide.families import Family, learn
from levare.decide.health import Exclusion, suspects
from levare.model import Move
from levare.store import audit, families, health, requests
from levare.store.audit import BEAT
from levare.store.snapshot import Snapshot


@dataclass(frozen=True)
class Aftermath:
    families: Sequence[Family] = ()
    held: Sequence[Family] = ()
    """Those of them that are held from now on."""
    exclusions: Sequence[Exclusion] = ()


def draw(seen: Snapshot, now: datetime) -> Aftermath:
    """There is an aftermath only where something has ended."""
    changed = learn(seen.families, seen.ended, now=now)
    exclusions = suspects(seen.runs, seen.nodes, cleared=seen.cleared, now=now) if seen.runs else ()
    return Aftermath(changed, [family for family in changed if _is_newly_held(family, seen)], exclusions)


def _is_newly_held(family: Family, seen: Snapshot) -> bool:
    before = seen.families.get(family.name)
    return family.held_until is not None and (before is None or before.held_until != family.held_until)


def write(connection: Connection, aftermath: Aftermath, moves: Sequence[Move], *, now: datetime) -> None:
    """Keep it, and amend the jobs that learnt from their last attempt; to be done before they move on."""
    families.keep(connection, aftermath.families, now=now)
    for family in aftermath.held:
        audit.record(connection, BEAT, "family.held", family.name, now=now, reason=family.held_reason)
    for exclusion in aftermath.exclusions:
        _exclude(connection, exclusion, now)
    requests.amend(connection, moves)
    for move in moves:
        if move.memory_mib is not None:
            audit.record(connection, BEAT, "job.memory_grown", move.job_id, now=now, memory_mib=move.memory_mib)


def _exclude(connection: Connection, exclusion: Exclusion, now: datetime) -> None:
    if health.exclude(connection, exclusion, now=now):
        kind, place = ("device", exclusion.device) if exclusion.device else ("node", exclusion.node)
        audit.record(connection, BEAT, f"{kind}.excluded", place, now=now, reason=exclusion.reason)
