"""
The lock: who is about to apply a plan, since when and until when.

While somebody holds it nobody else applies a plan. It expires, so that nobody has to be asked to give it back; that a
plan fits is not its business, but that of the revision on which the plan rests.
"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, bindparam, update

from levare.errors import Fault, Locked
from levare.store import audit, revisions
from levare.store.audit import Actor
from levare.store.revisions import Head
from levare.store.tables_declared import head
from levare.store.types import Utc

LONGEST = timedelta(hours=1)


def take(connection: Connection, lock_id: str, lasts: timedelta, *, reason: str, actor: Actor, now: datetime) -> Head:
    """Take the lock, or keep it for longer with the same id; raise Locked if somebody else has it."""
    known = revisions.turn(connection)
    refuse_others(known, lock_id, now)
    is_same = known.is_locked(now)
    values = {"of_lock": lock_id, "owner": actor.name, "reason": reason, "until": now + lasts}
    connection.execute(_TAKE, values | {"at": known.locked_at if is_same else now})
    if not is_same:
        audit.record(connection, actor, "lock.taken", lock_id, now=now, until=(now + lasts).isoformat(), reason=reason)
    return revisions.read(connection)


def release(connection: Connection, *, actor: Actor, now: datetime) -> Head:
    """Give the lock back, whoever has it; return who had it. To give back what nobody has changes nothing."""
    known = revisions.turn(connection)
    if known.is_locked(now):
        connection.execute(_RELEASE)
        audit.record(connection, actor, "lock.released", known.lock_id or "", now=now, owner=known.lock_owner)
    return known


def refuse_others(known: Head, lock_id: str | None, now: datetime) -> None:
    """Raise Locked, with who holds it since when and until when, unless this is the id of the lock."""
    if not known.is_locked(now) or known.lock_id == lock_id:
        return
    since, until = _told(known.locked_at), _told(known.locked_until)
    why = f" ({known.lock_reason.rstrip('.')})" if known.lock_reason else ""
    fault = Fault("lock", f"is held by {known.lock_owner}", lock_id, f"from {until} on")
    raise Locked(
        f"{known.lock_owner} has held the lock since {since}{why}; it ends at {until} at the latest.",
        "Wait for that (`levare apply --wait 5m`), or take it away: `levare apply --break-lock`.",
        [fault],
    )


def _told(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else ""


_TAKE = update(head).values(
    lock_id=bindparam("of_lock"),
    lock_owner=bindparam("owner"),
    lock_reason=bindparam("reason"),
    locked_at=bindparam("at", type_=Utc),
    locked_until=bindparam("until", type_=Utc),
)
_RELEASE = update(head).values(lock_id=None, lock_owner=None, lock_reason=None, locked_at=None, locked_until=None)
