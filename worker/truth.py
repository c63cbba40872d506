"""
Whose each GPU of this node is: looks every few seconds, writes what has changed, and ends orphans when told to.

In a thread of its own, for the heart must not wait for SQL, nor cancels for a grace.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.model import Device
from levare.pulse import Pulse, beat_bell
from levare.settings import Settings
from levare.store import nodes, reaping
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.nodes import Owned
from levare.store.reaping import Orphan
from worker.probe.gpu_users import GpuUsers, Uses
from worker.probe.ledger import Belief, Ownership, judge, left_behind, long_over, over_since
from worker.probe.reading import Reading
from worker.probe.tracked import Tracked
from worker.reap import reap
from worker.rundir import RunDir
from worker.watch import persist

log = get_logger()

LOOK_EVERY_SECONDS = 5.0


class Truth(Thread):
    """`live` says what this worker watches, `readings` what the GPUs said last; both are called from this thread."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        pulse: Pulse,
        *,
        incarnation: str,
        devices: Sequence[Device],
        live: Callable[[], Sequence[Tracked]],
        readings: Callable[[], Sequence[Reading]],
    ) -> None:
        super().__init__(name="truth", daemon=True)
        self._settings, self._node, self._runs = settings, settings.node, settings.runs
        self._database, self._pulse, self._incarnation = database, pulse, incarnation
        self._devices, self._live, self._readings = devices, live, readings
        self._users = GpuUsers(settings.gpu_companions)
        self._actor = Actor(token_id="", name="worker", source=settings.node)
        self._rung = Event()
        self._look_at, self._has_recalled = 0.0, False
        self._beliefs: dict[str, Belief] = {}
        self._over_since: dict[str, float] = {}
        self._orphans: list[Orphan] = []
        self._tried: set[Orphan] = set()

    def wake(self) -> None:
        """Look at once for a wish to end orphans."""
        self._rung.set()

    def run(self) -> None:
        while True:
            self._rung.wait(max(0.0, self._look_at - monotonic()))
            self._rung.clear()
            self._try(self._turn)

    def look(self, now: float) -> None:
        """Look at what runs, judge it, and write what has changed."""
        tracked = self._live()
        uses = self._uses({one.supervisor_pid: one.attempt_id for one in tracked})
        live: dict[str, Mapping[str, int]] = {one.attempt_id: one.devices for one in tracked}
        if not uses:
            return  # no GPUs, or they say nothing now, which is no news
        standings = self._standings(uses, live)
        if self._settings.simulated_gpus:
            uses = _without_other_fleets(uses, {*live, *standings})
        self._over_since = over_since(self._over_since, self._over(standings), now)
        over = long_over(self._over_since, now)
        ending: dict[str, Mapping[str, int]] = {attempt: {} for attempt in standings if attempt not in over}
        judged = judge(self._devices, uses, live | ending, over, node=self._node)
        self._believe(judged, self._found(uses, over))

    def _turn(self) -> None:
        is_due = monotonic() >= self._look_at
        if is_due:
            self._look_at = monotonic() + LOOK_EVERY_SECONDS
        if not self._has_recalled:
            self._recall()
        if is_due:
            self.look(monotonic())
        self._reap()

    def _try(self, act: Callable[[], None]) -> None:
        """Whatever fails, what was believed stands, and the next turn comes."""
        try:
            act()
        except SQLAlchemyError as error:
            log.warning("database.unreachable", error=str(error.__cause__ or error))
        except Exception:
            log.exception("truth.failed")

    def _recall(self) -> None:
        """Begin with what an earlier worker believed, orphans included: nothing is free only because it died."""
        with self._database.reading() as connection:
            known = nodes.ownerships(connection, self._node)
            self._orphans = reaping.orphans(connection, self._node)
        self._beliefs = {uuid: Belief(Ownership(owned.ownership, (), owned.note)) for uuid, owned in known.items()}
        self._over_since = {orphan.attempt: -math.inf for orphan in self._orphans}
        self._has_recalled = True

    def _uses(self, supervisors: Mapping[int, str]) -> Uses:
        if self._settings.simulated_gpus:
            return self._users.of_simulated([device.uuid for device in self._devices], supervisors)
        ours = {device.uuid for device in self._devices}
        return self._users.of_readings([each for each in self._readings() if each.device.uuid in ours], supervisors)

    def _standings(self, uses: Uses, live: Mapping[str, object]) -> dict[str, bool]:
        """Of the attempts that use a GPU and that nobody watches: those of this node, and whether they are alive."""
        marked = {use.attempt for on_device in uses.values() for use in on_device if use.attempt} - live.keys()
        if not marked:
            return {}
        with self._database.reading() as connection:
            return reaping.standings(connection, self._node, marked)

    def _over(self, standings: Mapping[str, bool]) -> list[str]:
        """A supervisor that lives is still ending its attempt, even if SQL has given it up."""
        return [
            attempt for attempt, is_live in standings.items() if not is_live and not _is_supervised(self._runs, attempt)
        ]

    def _found(self, uses: Uses, over: set[str]) -> list[Orphan]:
        indices = {device.uuid: device.index for device in self._devices}
        found = [
            Orphan(
                use.pid, use.start or 0, str(use.attempt), use.user, use.command, tuple(indices[uuid] for uuid in on)
            )
            for use, on in left_behind(uses, over).items()
        ]
        return sorted(found, key=lambda orphan: orphan.pid)

    def _believe(self, judged: Mapping[str, Ownership], orphans: list[Orphan]) -> None:
        before = self._beliefs
        beliefs = before | {uuid: before.get(uuid, Belief()).after(seen) for uuid, seen in judged.items()}
        changed = {
            uuid: belief.ownership
            for uuid, belief in beliefs.items()
            if uuid not in before or not belief.ownership.says_the_same_as(before[uuid].ownership)
        }
        if changed or orphans != self._orphans:
            self._write(changed, orphans)
        self._beliefs, self._orphans = beliefs, orphans

    def _write(self, changed: Mapping[str, Ownership], orphans: Sequence[Orphan]) -> None:
        owned = {uuid: Owned(each.state, each.detail) for uuid, each in changed.items()}
        with self._database.writing() as connection:
            nodes.set_ownerships(connection, self._node, owned, incarnation=self._incarnation)
            reaping.set_orphans(connection, self._node, orphans, incarnation=self._incarnation)
        for uuid, each in changed.items():
            log.info("gpu.owned", device=uuid, ownership=each.state, note=each.detail)
        self._pulse.ring(beat_bell())

    def _reap(self) -> None:
        with self._database.reading() as connection:
            wished = reaping.wished_at(connection, self._node)
        untried = self._settings.reap_orphans and not self._tried.issuperset(self._orphans)
        if not wished and not untried:
            return
        self._tried = set(self._orphans)
        reaped = reap(self._orphans, is_over=self._is_over)
        done = partial(
            reaping.done,
            node=self._node,
            reaped=reaped,
            wished=wished,
            incarnation=self._incarnation,
            actor=self._actor,
            now=datetime.now(UTC),
        )
        persist(self._database, done, stopping=Event())  # this thread ends with its process
        for each in reaped:
            log.warning("orphan.reaped", pid=each.orphan.pid, attempt=each.orphan.attempt, outcome=each.outcome)
        self._look_at = monotonic()

    def _is_over(self, attempt: str) -> bool:
        with self._database.reading() as connection:
            standings = reaping.standings(connection, self._node, [attempt])
        return bool(self._over(standings))


def _is_supervised(runs: Path, attempt: str) -> bool:
    return RunDir(runs / attempt).is_locked()


def _without_other_fleets(uses: Uses, known: set[str]) -> Uses:
    """Simulated GPUs of two deployments on one machine may have the same names: the other's jobs use the other's."""
    return {
        uuid: [use for use in on_device if use.attempt is None or use.attempt in known]
        for uuid, on_device in uses.items()
    }
