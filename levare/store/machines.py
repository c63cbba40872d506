"""Machines: invited by a code, known by a token, and asked what runs on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from levare.errors import Conflict, Forbidden, NotFound
from levare.model.access import MACHINE
from levare.model.pools import STOPPING
from levare.store import audit, pool_workers, tokens
from levare.store.audit import Actor
from levare.store.pool_workers import AWAY_AFTER
from levare.store.tables_pools import invitations, machines
from levare.store.tables_pools import pool_workers as workers
from levare.store.types import Utc
from levare.store.upsert import upsert

Row = Mapping[str, Any]

SEEN_EVERY = timedelta(seconds=5)
"""So often it is written down that a machine has asked, where there is nothing else to write."""


@dataclass(frozen=True)
class Report:
    """What a machine says of itself when it asks."""

    version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    cpus: int = 1
    memory_mib: int = 0
    scratch_mib: int = 0
    gpus: Sequence[Mapping[str, Any]] = ()
    workers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> what it runs as that."""


def invite(
    connection: Connection, code: str, *, machine: str | None, expires_at: datetime, actor: Actor, now: datetime
) -> None:
    """Let whoever has this code bring one machine in, once, until then. What has expired is forgotten."""
    connection.execute(_EXPIRED, {"at": now})
    row = {"digest": _digest(code), "machine": machine, "expires_at": expires_at}
    connection.execute(insert(invitations).values(**row, created_by=actor.name, created_at=now))
    audit.record(connection, actor, "machine.invited", machine or "", now=now, expires_at=expires_at.isoformat())


def join(
    connection: Connection, code: str, name: str, *, token_id: str, secret: str, source: str, now: datetime
) -> None:
    """
    Bring a machine in by a code, which is used up, and make its token valid.

    One that is known comes back only by a code that was made for it by name; its old token ends then.
    """
    invited = connection.execute(_TAKE, {"of_digest": _digest(code), "at": now}).mappings().first()
    if invited is None:
        raise Forbidden(
            "This code is not valid: it was used, has expired, or never was one.",
            "Ask an admin for another (`levare nodes invite`).",
        )
    if invited["machine"] not in (None, name):
        raise Forbidden(f"This code is for the machine {invited['machine']!r}, not for {name!r}.", "Join by that name.")
    before = _find(connection, name)
    if before and invited["machine"] != name:
        raise Conflict(
            f"There is a machine {name!r} already.",
            f"Choose another --name, or bring it back by a code of its own: `levare nodes invite --machine {name}`.",
        )
    actor = Actor("", invited["created_by"], source=source)
    if before:
        tokens.revoke(connection, before["token_id"], actor=actor, now=now)
    made = {"name": f"machine-{name}-{token_id}", "role": MACHINE, "expires_at": None}
    tokens.create(connection, token_id=token_id, secret=secret, **made, actor=actor, now=now)
    empty = {"version": "", "labels": {}, "cpus": 1, "memory_mib": 0, "scratch_mib": 0, "gpus": [], "workers": {}}
    row = {"name": name, "token_id": token_id, "joined_at": now, "invited_by": invited["created_by"]}
    _JOIN.run(connection, [{**empty, **row}])
    audit.record(connection, actor, "machine.joined", name, now=now)


def report(connection: Connection, name: str, said: Report, *, actor: Actor, now: datetime) -> list[Row]:
    """
    Take down what a machine says, and answer what is wanted of it: its workers, by name.

    What was to be stopped and is not among what it runs any more is forgotten here, and nowhere else.
    """
    _own(connection, name, actor)
    connection.execute(_SEEN.values(**_facts(said), seen_at=now), {"of_name": name})
    pool_workers.forget_ended(connection, name, list(said.workers), now=now)
    return pool_workers.of_machine(connection, name)


def reply_if_unchanged(
    connection: Connection, name: str, said: Report, *, actor: Actor, now: datetime
) -> list[Row] | None:
    """As `report`, where that would write nothing but the time; None where it has to be written."""
    row = _own(connection, name, actor)
    wanted = pool_workers.of_machine(connection, name)
    has_ended = any(each["state"] == STOPPING and each["name"] not in said.workers for each in wanted)
    is_old = row["seen_at"] is None or now - row["seen_at"] >= SEEN_EVERY
    is_news = has_ended or is_old or any(row[key] != value for key, value in _facts(said).items())
    return None if is_news else wanted


def _own(connection: Connection, name: str, actor: Actor) -> Row:
    row = one(connection, name)
    if actor.access.role == MACHINE and row["token_id"] != actor.token_id:
        raise Forbidden(f"This token is not the one of the machine {name!r}.", "Each machine has a token of its own.")
    return row


def _facts(said: Report) -> dict[str, Any]:
    return {key: _plain(value) for key, value in vars(said).items()}


def every(connection: Connection, *, now: datetime) -> list[Row]:
    return [_shown(connection, {**row}, now) for row in connection.execute(_ALL).mappings().all()]


def shown(connection: Connection, name: str, *, now: datetime) -> Row:
    return _shown(connection, one(connection, name), now)


def one(connection: Connection, name: str) -> Row:
    row = _find(connection, name)
    if row is None:
        raise NotFound(f"There is no machine {name!r}.", "`levare machines` lists them.")
    return row


def set_draining(connection: Connection, name: str, *, draining: bool, actor: Actor, now: datetime) -> None:
    """Have a machine let go all its workers, each when nothing runs on it any more; or take some again."""
    before = one(connection, name)
    if draining != (before["draining_by"] is not None):
        connection.execute(_SET_DRAINING, {"of_name": name, "by": actor.name if draining else None})
        states = {True: "draining", False: "ready"}
        told = {"before": states[not draining], "after": states[draining]}
        audit.record(connection, actor, "machine.state_set", name, now=now, **told)


def forget(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """
    Forget a machine: its token ends, and so do its workers in the books. Jobs that live there are as on a lost node.

    Raise Conflict while it still asks and has workers: they would be ended with what runs on them unwatched.
    """
    row = shown(connection, name, now=now)
    if row["state"] != "away" and row["workers"]:
        raise Conflict(
            f"{name} still has {len(row['workers'])} workers.", f"`levare machines drain {name}` empties it first."
        )
    for worker in pool_workers.of_machine(connection, name):
        pool_workers.forget(connection, worker["name"], now=now)
    tokens.revoke(connection, row["token_id"], actor=actor, now=now)
    connection.execute(delete(machines).where(machines.c.name == name))
    audit.record(connection, actor, "machine.forgotten", name, now=now)
    return row


def _shown(connection: Connection, row: Row, now: datetime) -> Row:
    is_here = row["seen_at"] is not None and now - row["seen_at"] < AWAY_AFTER
    state = "away" if not is_here else "draining" if row["draining_by"] else "ready"
    names = connection.execute(_NAMES, {"of_machine": row["name"]}).scalars()
    return {**row, "state": state, "workers": list(names)}


def _find(connection: Connection, name: str) -> Row | None:
    row = connection.execute(_BY_NAME, {"of_name": name}).mappings().one_or_none()
    return dict(row) if row else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _digest(code: str) -> str:
    return sha256(code.encode()).hexdigest()


_BY_NAME = select(machines).where(machines.c.name == bindparam("of_name"))
_ALL = select(machines).order_by(machines.c.name)
_NAMES = select(workers.c.name).where(workers.c.machine == bindparam("of_machine")).order_by(workers.c.name)
_EXPIRED = delete(invitations).where(invitations.c.expires_at <= bindparam("at", type_=Utc))
_TAKE = (
    delete(invitations)
    .where(invitations.c.digest == bindparam("of_digest"), invitations.c.expires_at > bindparam("at", type_=Utc))
    .returning(invitations.c.machine, invitations.c.created_by)
)
_JOIN = upsert(machines, replacing=("token_id", "joined_at", "invited_by"))
_SEEN = update(machines).where(machines.c.name == bindparam("of_name"))
_SET_DRAINING = update(machines).where(machines.c.name == bindparam("of_name")).values(draining_by=bindparam("by"))
