"""
Watches one attempt: waits for its supervisor, ships what it writes, records how it ended.

It runs in the thread of the Celery task that waits for the attempt, or in one of its own where there is
none yet. The process is not a child of this one. It is held by a pidfd, so nothing here can end it, and
a worker that starts anew watches it on.
"""

import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shutil import rmtree
from threading import Event, Lock
from time import time

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from levare.model.failures import UNKNOWN
from levare.store import attempts, failures, shipping
from levare.store.attempts import Mine, Outcome
from levare.store.engine import Database
from levare.store.failures import Diagnosis
from worker.autopsy import examine
from worker.checkpoints import Checkpoints
from worker.endings import outcome_of
from worker.heart import Usage
from worker.hold import Hold
from worker.rundir import Ending, RunDir, end_attempt
from worker.ship import LogShipper, MetricsShipper, Persist

log = get_logger()

_SHIP_EVERY_SECONDS = 0.25
_FIRST_LOOK_SECONDS = 0.04
"""What ends sooner is never written down as running: it saves a transaction where there are many."""
_MOST_PAUSE_SECONDS = 5.0


class WorkerStops(Exception):
    """This worker goes away; the attempt goes on, and the next worker watches it."""


class Watch:
    def __init__(
        self,
        run: RunDir,
        mine: Mine,
        supervisor: Hold | None,
        *,
        database: Database,
        usage: Callable[[str], Usage],
        release: Callable[[Hold], object],
        over: Callable[["Watch"], None],
        adopted: bool,
    ) -> None:
        self.attempt_id, self.queue, self.devices = mine.attempt_id, mine.queue, mine.devices
        self.run_dir, self._adopted, self._has_told = run, adopted, False
        self.outcome: Outcome | None = None
        self.done = Event()
        """Set when the attempt is over, with an outcome, or when this worker goes away, without one."""
        self._unattended, self._begun, self._signalling = Lock(), Lock(), Lock()
        self._supervisor, self._database, self._usage = supervisor, database, usage
        self._release, self._over = release, over

    def attend(self) -> bool:
        """Become the one Celery body that waits for this attempt; False if there is one already."""
        return self._unattended.acquire(blocking=False)

    def cancel(self) -> None:
        """Ask the supervisor to end the whole tree; asking again changes nothing."""
        with self._signalling:
            if self._supervisor:
                self._supervisor.signal()

    def make_room(self) -> None:
        """Ask the supervisor to warn the job and to end it then; asking again changes nothing."""
        with self._signalling:
            if self._supervisor:
                self._supervisor.signal(signal.SIGHUP)

    def follow(self) -> None:
        """Return when `done` is set: watch, unless another thread does already."""
        if self._begun.acquire(blocking=False):
            self._run()
        self.done.wait()

    def _run(self) -> None:
        try:
            self._watch()
        except WorkerStops:  # it stays taken, so that nobody here takes it up again
            return
        except Exception:
            log.exception("watch.failed", attempt=self.attempt_id)
        self._let_go()
        self.done.set()
        self._over(self)

    def _let_go(self) -> None:
        with self._signalling:
            supervisor, self._supervisor = self._supervisor, None
        if supervisor:
            self._release(supervisor)

    def _watch(self) -> None:
        if not self._ends_within(_FIRST_LOOK_SECONDS) or self._is_of_gang():
            self._tell_started()
        log_shipper, metrics_shipper = self._shippers()
        checkpoints = self._checkpoints()
        while not self._ends_within(_SHIP_EVERY_SECONDS):
            if self.done.is_set():
                raise WorkerStops
            self._tell_started()
            for shipper in (log_shipper, metrics_shipper, checkpoints):
                shipper.ship(self._persist)
        log_shipper.ship(self._persist, final=True)
        metrics_shipper.ship(self._persist, final=True)
        self._finish()

    def _ends_within(self, seconds: float) -> bool:
        return self._supervisor is None or self._supervisor.ends(seconds)

    def _tell_started(self) -> None:
        """Once the command runs; on a busy machine that takes its time."""
        state = None if self._has_told else self.run_dir.state()
        if state is not None:
            at = datetime.fromtimestamp(state.started_at, UTC)
            self._persist(lambda connection: attempts.started(connection, self.attempt_id, at=at))
            self._has_told = True

    def _shippers(self) -> tuple[LogShipper, MetricsShipper]:
        log_position, offset, kept = self._positions() if self._adopted else (0, 0, 0)
        spec = self.run_dir.spec()
        return (
            LogShipper(
                self.run_dir,
                self.attempt_id,
                position=log_position,
                head_bytes=spec.log_head_bytes,
                tail_bytes=spec.log_tail_bytes,
            ),
            MetricsShipper(
                self.run_dir.metrics, self.attempt_id, position=offset, kept=kept, reading=self._database.reading
            ),
        )

    def _is_of_gang(self) -> bool:
        """Its job runs only once all of it has started, also those that have ended by then."""
        return "NODE_RANK" in self.run_dir.spec().env

    def _checkpoints(self) -> Checkpoints:
        state, folder = self.run_dir.state(), self.run_dir.spec().env["LEVARE_CHECKPOINTS"]
        return Checkpoints(Path(folder), self.attempt_id, since=state.started_at if state else time())

    def _positions(self) -> tuple[int, int, int]:
        """How far an earlier worker had come."""
        found: list[tuple[int, int, int]] = []

        def read(connection: Connection) -> None:
            log_position = shipping.log_position(connection, self.attempt_id)
            found.append((log_position, *shipping.metrics_position(connection, self.attempt_id)))

        self._persist(read)
        return found[-1]

    def _finish(self) -> None:
        ending = self.run_dir.ending()
        if ending is None:
            end_attempt(self.run_dir)
        outcome = self._with_usage(outcome_of(ending, self.run_dir.spec(), now=datetime.now(UTC)))
        self.outcome = outcome = self._recorded(outcome, self._examined(ending, outcome))
        rmtree(self.run_dir.path, ignore_errors=True)  # all of it is in SQL
        log.info("attempt.ended", attempt=self.attempt_id, state=outcome.state, exit_code=outcome.exit_code)

    def _examined(self, ending: Ending | None, outcome: Outcome) -> Diagnosis | None:
        """Why it has failed, if it has; nothing in its last words may keep its ending from being recorded."""
        if not failures.is_failure(outcome.state):
            return None
        try:
            return examine(self.run_dir, ending, outcome, has_gpus=bool(self.devices))
        except Exception:
            log.exception("failure.not_examined", attempt=self.attempt_id)
            return Diagnosis(UNKNOWN)

    def _recorded(self, outcome: Outcome, found: Diagnosis | None) -> Outcome:
        """As SQL has it: what had been told to make room was preempted, however it ended."""
        states: list[str | None] = []
        over = replace(outcome, failure=found and found.name)

        def write(connection: Connection) -> None:
            states.append(attempts.finish(connection, self.attempt_id, over))
            if found and states[-1]:
                failures.keep(connection, self.attempt_id, found)

        self._persist(write)
        return replace(over, state=states[-1] or outcome.state)

    def _with_usage(self, outcome: Outcome) -> Outcome:
        """Merge what the samples saw of the whole tree with what the kernel counted of its largest process."""
        seen = self._usage(self.attempt_id)
        peaks = [peak for peak in (outcome.peak_memory_mib, seen.peak_memory_mib) if peak is not None]
        return replace(
            outcome,
            peak_memory_mib=max(peaks, default=None),
            gpu_memory_mib=seen.gpu_memory_mib,
            gpu_utilisation_percent=seen.gpu_utilisation_percent,
            energy_joules=seen.energy_joules,
            log_bytes=self.run_dir.log_size(),
        )

    @property
    def _persist(self) -> Persist:
        return lambda write: persist(self._database, write, stopping=self.done)


def persist(database: Database, write: Callable[[Connection], object], *, stopping: Event) -> None:
    """
    Write, and while the database does not answer, try again: an ending is never given up.

    Raise WorkerStops if this worker goes away meanwhile; the next one finds the ending on disk.
    """
    pause = 0.1
    while True:
        try:
            with database.writing() as connection:
                write(connection)
        except SQLAlchemyError as error:
            log.warning("database.unreachable", error=str(error.__cause__ or error), retry_in_seconds=pause)
            if stopping.wait(pause):
                raise WorkerStops from error
            pause = min(pause * 2, _MOST_PAUSE_SECONDS)
        else:
            return
