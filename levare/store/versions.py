"""
Versions: what a thing was when it was read, so that nobody changes what he has not seen.

A version changes with all that people change, and with what ends a thing; not with what is only measured. Of what is
declared it is the number of the revision that declared it so, and 0 before any; of the rest it is a digest of the
columns that say so. `held` reads it in the transaction that then writes, and nobody else writes it before that ends.
"""

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.store import revisions
from levare.store.kinds import KINDS
from levare.store.tables import families, jobs, nodes, tokens
from levare.store.tables_alerts import alerts, silences
from levare.store.tables_declared import head
from levare.store.tables_pools import machines

Row = Mapping[str, Any]

UNDECLARED = "0"
"""Of what nobody has declared, though it may be there by itself, as a team or a default rule is."""
JOB, PIPELINE, FAMILY, NODE, MACHINE = "job", "pipeline", "family", "node", "machine"
TOKEN, ALERT, SILENCE, LOCK = "token", "alert", "silence", "lock"
TEAM, WINDOW, POOL, CHANNEL = "team", "window", "pool", "channel"
RULE, SCHEDULE, TRIGGER = "alert_rule", "schedule", "trigger"


def of(connection: Connection, kind: str, name: object) -> str | None:
    """The version of what has this name; None if there is none of it."""
    if kind in _DECLARED:
        return _of_declared(connection, kind, str(name))
    return _digest(connection.execute(_QUERIES[kind], _named(name)).all())


def held(connection: Connection, kind: str, name: object) -> str | None:
    """As `of`, and nobody else changes it before this transaction ends."""
    if kind in _DECLARED or kind == LOCK:
        revisions.turn(connection)
        return of(connection, kind, name)
    return _digest(connection.execute(_QUERIES[kind].with_for_update(), _named(name)).all())


def of_job(job: Row) -> str | None:
    """The version of a job whose row is at hand."""
    return _digest([tuple(job[name] for name in _JOB)])


def _of_declared(connection: Connection, kind: str, name: str) -> str:
    revision = KINDS[kind].revision_of(connection, name)
    return UNDECLARED if revision is None else str(revision)


def _digest(rows: Iterable[Any]) -> str | None:
    found = [list(row) for row in rows]
    return sha256(json.dumps(found, default=str).encode()).hexdigest()[:12] if found else None


def _named(name: object) -> dict[str, object]:
    return {"of_name": name}


def _by(key: Any, *columns: Any) -> Any:
    return select(*columns).where(key == bindparam("of_name"))


_JOB = ("id", "state", "attempt", "cancel_requested_at")
_DECLARED = frozenset((TEAM, WINDOW, POOL, CHANNEL, RULE, SCHEDULE, TRIGGER))
_JOB_COLUMNS = [jobs.c[name] for name in _JOB]
_QUERIES: Mapping[str, Any] = {
    JOB: _by(jobs.c.id, *_JOB_COLUMNS),
    PIPELINE: _by(jobs.c.pipeline, *_JOB_COLUMNS).order_by(jobs.c.id),
    FAMILY: _by(families.c.name, families.c.held_until, families.c.fast_failures),
    NODE: _by(nodes.c.name, nodes.c.state, nodes.c.incarnation, nodes.c.excluded_until, nodes.c.reap_requested_at),
    MACHINE: _by(machines.c.name, machines.c.draining_by, machines.c.joined_at),
    TOKEN: _by(tokens.c.id, tokens.c.revoked_at),
    ALERT: _by(alerts.c.number, alerts.c.acknowledged_at, alerts.c.acknowledged_by, alerts.c.ended_at),
    SILENCE: _by(silences.c.number, silences.c.ends_at),
    LOCK: select(head.c.lock_id, head.c.lock_owner, head.c.locked_until).where(head.c.id == 1),
}
