"""This machine's place in the fleet: joining, and the lease that says it lives."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event, Thread

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.store import nodes
from levare.store.engine import Database
from levare.store.nodes import NodeFacts

log = get_logger()

_JOIN_EVERY_SECONDS = 1.0


def join(database: Database, facts: NodeFacts, *, incarnation: str, lease_file: Path) -> None:
    """Enter the fleet; wait for the database, and for `web` to have migrated it."""
    said = False
    while True:
        try:
            began = boot_clock()
            with database.writing() as connection:
                nodes.join(connection, facts, incarnation=incarnation, now=datetime.now(UTC))
        except SQLAlchemyError as error:
            if not said:
                log.warning("database.awaited", error=str(error.__cause__ or error))
            said = True
            time.sleep(_JOIN_EVERY_SECONDS)
        else:
            write_lease(lease_file, began)
            log.info("node.joined", node=facts.name, incarnation=incarnation, devices=len(facts.devices))
            return


class Lease(Thread):
    """
    Renews this node's lease, and writes down on disk when it last could.

    Supervisors read that file: they end what may be started elsewhere when the node cannot renew,
    even if this process is dead.
    """

    def __init__(
        self,
        database: Database,
        *,
        node: str,
        incarnation: str,
        every: timedelta,
        lease_file: Path,
        superseded: Callable[[], None],
    ) -> None:
        super().__init__(name="lease", daemon=True)
        self._database, self._node, self._incarnation = database, node, incarnation
        self._every, self._lease_file, self._superseded = every, lease_file, superseded
        self._stopping = Event()

    def run(self) -> None:
        while not self._stopping.wait(self._every.total_seconds()):
            try:
                self._renew()
            except SQLAlchemyError as error:
                log.warning("lease.not_renewed", node=self._node, error=str(error.__cause__ or error))

    def stop(self) -> None:
        self._stopping.set()

    def _renew(self) -> None:
        began = boot_clock()
        with self._database.writing() as connection:
            is_ours = nodes.renew(connection, self._node, incarnation=self._incarnation, now=datetime.now(UTC))
        if is_ours:
            write_lease(self._lease_file, began)
        else:
            log.error("node.superseded", node=self._node, next_step="Give each machine a LEVARE_NODE of its own.")
            self.stop()
            self._superseded()


def boot_clock() -> float:
    """Seconds since boot, sleep included: it does not jump, and all processes of the machine share it."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def write_lease(path: Path, at: float) -> None:
    draft = path.with_suffix(".draft")
    draft.write_text(f"{at:.3f}")
    draft.replace(path)
