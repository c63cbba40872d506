"""
The attempts of this node: claims them, starts their supervisors, watches them, finds them again.

Exactly one start: SQL lets one node claim, `taking` lets one thread of this worker try, and the
supervisor's own lock decides in the end, whoever died in between.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from shutil import rmtree
from threading import Event, Lock, Thread

from structlog import get_logger

from levare.errors import LevareError
from levare.model import CANCELLED, FAILED, LOST, PREEMPTED, RUNNING, STARTING
from levare.model.failures import CANNOT_START, NODE_LOST
from levare.secrets import Vault, named, without
from levare.settings import Settings
from levare.store import attempts, jobs, wishes
from levare.store.attempts import Claimed, Mine, Outcome
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.reruns import Rerun, refuse_deviations
from worker.environment import environment, folders, inherited_of, number_of
from worker.finder import Finder, Start
from worker.handing import handed
from worker.heart import Tracked, Usage
from worker.hold import Hold
from worker.launcher import Launcher
from worker.provenance import Recorder
from worker.restoring import restored
from worker.rundir import RunDir, Spec
from worker.watch import Watch, persist

log = get_logger()


class Runner:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        incarnation: str,
        usage: Callable[[str], Usage],
        after_ending: Callable[[Watch | None], object],
        provenance: Recorder,
        mlflow: Callable[[str, str], str | None] = lambda _attempt, _secret: None,
    ) -> None:
        self._mlflow = mlflow
        self._settings, self._database, self._incarnation = settings, database, incarnation
        self._usage, self._after_ending, self._provenance = usage, after_ending, provenance
        self._launcher = Launcher()
        self._inherited = without(os.environ)
        self._vault = Vault(settings.secrets, f"the worker of node {settings.node}")
        self._guard = Lock()
        self._watches: dict[str, Watch] = {}
        self._taking: set[str] = set()
        self._claims, self._claims_refused = 0, 0

    def take(self, attempt_id: str) -> Watch | None:
        """
        Take an attempt on, starting it if it is ours to start; None if it is not, or if it is being taken already.

        Somebody must `follow` it then.
        """
        with self._guard:
            if attempt_id in self._watches:
                return self._watches[attempt_id]
            if attempt_id in self._taking:
                return None
            self._taking.add(attempt_id)
        try:
            return self._begin(attempt_id)
        finally:
            with self._guard:
                self._taking.discard(attempt_id)

    def watches(self) -> Sequence[Watch]:
        with self._guard:
            return list(self._watches.values())

    def live(self) -> list[Tracked]:
        """What the heart samples."""
        return [tracked for watch in self.watches() if (tracked := self._tracked(watch))]

    def counts(self) -> dict[str, float]:
        """Since this worker started."""
        return {"claims": self._claims, "claims_refused": self._claims_refused}

    def detach(self) -> None:
        """Let every Celery body go; the processes run on, and the next worker watches them."""
        for watch in self.watches():
            watch.done.set()

    def wish_cancel(self, attempt_id: str, *, actor: Actor) -> None:
        """Record that somebody wants the job of this attempt cancelled, and act on it."""
        job_id = attempt_id.rpartition("-")[0]
        with self._database.writing() as connection:
            jobs.wish_cancel(connection, job_id, actor=actor, now=datetime.now(UTC))
        self.carry_out_cancels()

    def carry_out_cancels(self) -> None:
        """End what is to end; what makes room has its warning first."""
        with self._database.reading() as connection:
            wished = wishes.end_wishes(connection, self._settings.node)
        for wish in wished:
            with self._guard:
                watch = self._watches.get(wish.attempt_id)
            if watch:
                watch.make_room() if wish.kind == PREEMPTED else watch.cancel()

    def adopt(self) -> None:
        """
        Take up all that SQL says is alive here and nobody watches, and end what is alive but should not be.

        Needs no broker: what runs, runs on; what ended meanwhile has left its ending; what was claimed and
        never started is started now. Safe at any time: what is on disk was claimed before it was written there.
        """
        on_disk = {path.parent.name for path in self._settings.runs.glob("*/spec.json")}
        with self._database.reading() as connection:
            mine = attempts.live_on(connection, self._settings.node)
        with self._guard:
            watched = {*self._watches, *self._taking}
        for attempt in mine:
            if attempt.attempt_id not in watched:
                self._adopt_one(attempt)
        for attempt_id in on_disk - watched - {attempt.attempt_id for attempt in mine}:
            self._end_stray(self._run_dir(attempt_id))

    def _adopt_one(self, mine: Mine) -> None:
        run = self._run_dir(mine.attempt_id)
        if run.state() is not None or run.ending() is not None:
            _follow_in_a_thread(self._watch(run, mine, run.open_supervisor(), adopted=True))
        elif mine.state == STARTING and (watch := self.take(mine.attempt_id)):
            _follow_in_a_thread(watch)
        elif mine.state == RUNNING:
            self._give_up(mine.attempt_id, Outcome(LOST, "Nothing of it is left on its node.", failure=NODE_LOST))

    def _end_stray(self, run: RunDir) -> None:
        """A supervisor whose attempt is over in SQL was given up while this node was out of reach."""
        supervisor = run.open_supervisor()
        if supervisor is None:
            rmtree(run.path, ignore_errors=True)
            return
        log.warning("stray.ended", attempt=run.attempt)
        supervisor.signal()
        supervisor.close()

    def _begin(self, attempt_id: str) -> Watch | None:
        with self._database.writing() as connection:
            claimed = attempts.claim(
                connection,
                attempt_id,
                node=self._settings.node,
                incarnation=self._incarnation,
                at=datetime.now(UTC),
            )
        with self._guard:
            self._claims += 1
            self._claims_refused += claimed is None
        if claimed is None:
            return None
        try:
            return self._begin_claimed(claimed)
        except (OSError, LevareError) as error:
            sentence = str(error) if isinstance(error, LevareError) else f"Its node could not start it: {error}."
            return self._give_up(attempt_id, Outcome(FAILED, sentence, failure=CANNOT_START))

    def _begin_claimed(self, claimed: Claimed) -> Watch | None:
        run = self._run_dir(claimed.attempt_id)
        adopted = run.state() is not None
        if claimed.is_unwanted and not adopted:
            return self._give_up(claimed.attempt_id, Outcome(CANCELLED, "Cancelled before it started."))
        supervisor = run.open_supervisor() if adopted else self._start(run, claimed)
        mine = Mine(claimed.attempt_id, STARTING, claimed.queue, claimed.devices)
        return self._watch(run, mine, supervisor, adopted=adopted)

    def _give_up(self, attempt_id: str, outcome: Outcome) -> None:
        """Record an ending that no process has had."""
        over = replace(outcome, ended_at=datetime.now(UTC))
        persist(self._database, lambda connection: attempts.finish(connection, attempt_id, over), stopping=Event())
        self._after_ending(None)

    def _start(self, run: RunDir, claimed: Claimed) -> Hold:
        spec = self._spec(run, claimed, folders(claimed, home=self._settings.home))
        spec = replace(spec, secrets=handed(named(claimed.env), run.path, self._vault))
        if claimed.rerun:
            spec = self._repeated(claimed, claimed.rerun, spec)
        run.write_spec(spec)
        log.info("attempt.starting", attempt=claimed.attempt_id, devices=list(claimed.devices))
        supervisor = self._launcher.start(run)
        self._provenance.note(self._start_of(claimed, spec))
        return supervisor

    def _repeated(self, claimed: Claimed, rerun: Rerun, spec: Spec) -> Spec:
        """With the code of the run that it repeats; raise Conflict if that cannot be had, or more than it differs."""
        if rerun.code:
            spec = restored(spec, rerun, folder=self._settings.home / "jobs" / claimed.job_id)
        if rerun.strict:
            refuse_deviations(rerun, Finder().find(self._start_of(claimed, spec)))
        return spec

    def _start_of(self, claimed: Claimed, spec: Spec) -> Start:
        inherited = inherited_of(self._inherited)
        mine = {name: value for name, value in inherited.items() if name not in claimed.env}
        return Start(claimed.attempt_id, spec.argv, spec.env, spec.cwd, mine)

    def _spec(self, run: RunDir, claimed: Claimed, cwd: Path) -> Spec:
        half = self._settings.log_limit_mib * 1024 * 1024 // 2
        fenced = claimed.on_lost == "requeue"
        mlflow = self._mlflow(claimed.attempt_id, token_urlsafe(24))
        return Spec(
            attempt=claimed.attempt_id,
            argv=list(claimed.command),
            env=environment(claimed, run=run.path, home=self._settings.home, inherited=self._inherited, mlflow=mlflow),
            cwd=str(cwd),
            grace_seconds=claimed.grace_seconds,
            timeout_seconds=claimed.timeout_seconds,
            log_head_bytes=half,
            log_tail_bytes=half,
            memory_max_mib=claimed.memory_mib or None,
            lease_file=str(self._settings.home / "lease") if fenced else None,
            lease_seconds=self._settings.stop_after.total_seconds() if fenced else None,
            fence_grace_seconds=self._settings.fence_grace.total_seconds(),
            warning_signal=number_of(claimed.warning_signal) if claimed.warning_signal else None,
            warning_seconds=claimed.warning_seconds,
        )

    def _watch(self, run: RunDir, mine: Mine, supervisor: Hold | None, *, adopted: bool) -> Watch:
        watch = Watch(
            run,
            mine,
            supervisor,
            database=self._database,
            usage=self._usage,
            release=self._launcher.release,
            over=self._forget,
            adopted=adopted,
        )
        with self._guard:
            self._watches[mine.attempt_id] = watch
        return watch

    def _forget(self, watch: Watch) -> None:
        with self._guard:
            self._watches.pop(watch.attempt_id, None)
        self._after_ending(watch)

    def _tracked(self, watch: Watch) -> Tracked | None:
        state = watch.run_dir.state()
        return Tracked(watch.attempt_id, state.supervisor_pid, state.cgroup, watch.devices) if state else None

    def _run_dir(self, attempt_id: str) -> RunDir:
        return RunDir(self._settings.runs / attempt_id)


def _follow_in_a_thread(watch: Watch) -> None:
    Thread(target=watch.follow, name=f"watch-{watch.attempt_id}", daemon=True).start()
