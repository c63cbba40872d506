"""
Who leads a role: one row, an epoch that grows with each owner, a count that grows with each renewal.

No clock is compared across machines: whoever wants to take over has itself watched the row stand still.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from levare.errors import StaleLeader
from levare.store.tables import leases
from levare.store.types import Utc

BEAT = "beat"
"""The role of who decides about jobs."""
SILENT = timedelta(seconds=10)
"""A leader renews about once a second, and another takes over within seconds: after this nobody leads."""


@dataclass(frozen=True)
class Lease:
    owner: str | None
    epoch: int
    renewals: int


def read(connection: Connection, role: str) -> Lease | None:
    row = connection.execute(select(leases).where(leases.c.role == role)).one_or_none()
    return Lease(row.owner, row.epoch, row.renewals) if row else None


def last_led(connection: Connection, role: str) -> datetime | None:
    """When somebody last led, by the clock of who did: to be told, never to decide by. None if nobody ever did."""
    return connection.execute(_RENEWED_AT, {"of_role": role}).scalar_one_or_none()


def take(connection: Connection, role: str, *, owner: str, seen: Lease | None, now: datetime) -> int | None:
    """Become the owner, if the lease is still as it was seen; return the new epoch, or None if someone was faster."""
    if seen is None:
        return _first(connection, role, owner, now)
    changed = connection.execute(
        update(leases)
        .where(leases.c.role == role, leases.c.epoch == seen.epoch, leases.c.renewals == seen.renewals)
        .values(owner=owner, epoch=seen.epoch + 1, renewals=seen.renewals + 1, renewed_at=now)
    )
    return seen.epoch + 1 if changed.rowcount else None


def _first(connection: Connection, role: str, owner: str, now: datetime) -> int | None:
    row = {"role": role, "owner": owner, "epoch": 1, "renewals": 1, "renewed_at": now}
    try:
        connection.execute(insert(leases).values(row))
    except IntegrityError:
        return None
    return 1


def renew(connection: Connection, role: str, *, owner: str, epoch: int, now: datetime) -> None:
    """
    Renew, first in every transaction of a leader: it fences the writes that follow.

    Raise StaleLeader if the lease has gone to another; the caller's transaction then writes nothing.
    """
    renewed = connection.execute(_RENEW, {"of_role": role, "by": owner, "in_epoch": epoch, "at": now})
    if not renewed.rowcount:
        raise StaleLeader(f"The lease of {role!r} has moved on from epoch {epoch}.", "Nothing was written.")


def hold(connection: Connection, role: str, *, owner: str, epoch: int) -> None:
    """
    Fence the writes that follow as `renew` does, without renewing: for whoever works beside the leader's own loop.

    A lease that such a one renewed would outlive a loop that hangs.
    """
    if connection.execute(_HOLD, {"of_role": role, "by": owner, "in_epoch": epoch}).first() is None:
        raise StaleLeader(f"The lease of {role!r} has moved on from epoch {epoch}.", "Nothing was written.")


def release(connection: Connection, role: str, *, owner: str, epoch: int) -> None:
    """Give the lease up, so that the next one need not wait."""
    connection.execute(
        update(leases).where(leases.c.role == role, leases.c.owner == owner, leases.c.epoch == epoch).values(owner=None)
    )


_OURS = (
    leases.c.role == bindparam("of_role"),
    leases.c.owner == bindparam("by"),
    leases.c.epoch == bindparam("in_epoch"),
)
_RENEWED_AT = select(leases.c.renewed_at).where(_OURS[0])
_HOLD = select(leases.c.epoch).where(*_OURS).with_for_update(read=True)
_RENEW = update(leases).where(*_OURS).values(renewals=leases.c.renewals + 1, renewed_at=bindparam("at", type_=Utc))
"""Built once: building a statement costs more than running it, and every decision runs this one."""
