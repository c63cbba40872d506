"""
Who conducts: at most one beat at a time, by a lease in SQL.

No wall clock is compared. A standby takes over when it has itself watched the lease stand still for
`LEASE`. A leader that was slower than that finds its next transaction refused, whole.
"""

import os
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from time import monotonic

from sqlalchemy import Connection
from structlog import get_logger

from levare.errors import StaleLeader
from levare.store import leases
from levare.store.engine import Database

log = get_logger()

ROLE = leases.BEAT
LEASE = timedelta(seconds=2.5)
RENEW_EVERY = LEASE * 0.3


class Leader:
    def __init__(self, database: Database, *, clock: Callable[[], float] = monotonic) -> None:
        self.owner = f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"
        self.epoch: int | None = None
        self._database, self._clock = database, clock
        self._renewed_at = 0.0
        self._seen: leases.Lease | None = None
        self._seen_at: float | None = None

    def leads(self) -> bool:
        """Whether this beat may decide now; takes the lease if nobody holds it."""
        if self.epoch is None:
            self._try_to_take()
        return self.epoch is not None

    def holds(self) -> bool:
        """Whether it leads as far as it knows; for any thread."""
        return self.epoch is not None

    def renew_in(self, connection: Connection) -> int:
        """Renew inside a transaction, which fences all its writes; return the epoch, or raise StaleLeader."""
        if self.epoch is None:
            raise StaleLeader("This beat does not lead.", "Nothing was written.")
        leases.renew(connection, ROLE, owner=self.owner, epoch=self.epoch, now=datetime.now(UTC))
        self._renewed_at = self._clock()
        return self.epoch

    def hold_in(self, connection: Connection) -> int:
        """Fence a transaction of another thread of this beat; the lease stays the affair of who decides."""
        epoch = self.epoch
        if epoch is None:
            raise StaleLeader("This beat does not lead.", "Nothing was written.")
        leases.hold(connection, ROLE, owner=self.owner, epoch=epoch)
        return epoch

    def renewal_is_due(self) -> bool:
        return self._clock() - self._renewed_at >= RENEW_EVERY.total_seconds()

    def stale(self) -> None:
        log.warning("leadership.lost", owner=self.owner, epoch=self.epoch)
        self._step_down()

    def release(self) -> None:
        if self.epoch is not None:
            with self._database.writing() as connection:
                leases.release(connection, ROLE, owner=self.owner, epoch=self.epoch)
            self._step_down()

    def _step_down(self) -> None:
        self.epoch, self._seen, self._seen_at = None, None, None

    def _try_to_take(self) -> None:
        with self._database.reading() as connection:
            lease = leases.read(connection, ROLE)
        if self._may_take(lease):
            with self._database.writing() as connection:
                self.epoch = leases.take(connection, ROLE, owner=self.owner, seen=lease, now=datetime.now(UTC))
            if self.epoch is not None:
                self._renewed_at = self._clock()
                log.info("leadership.taken", owner=self.owner, epoch=self.epoch)

    def _may_take(self, lease: leases.Lease | None) -> bool:
        if lease is None or lease.owner is None:
            return True
        if self._seen is None:
            log.info("leadership.observed", owner=lease.owner, epoch=lease.epoch)
        if lease != self._seen or self._seen_at is None:
            self._seen, self._seen_at = lease, self._clock()
        return self._clock() - self._seen_at >= LEASE.total_seconds()
