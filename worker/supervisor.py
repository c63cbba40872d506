"""
The process beside each attempt: it starts the command, keeps its limits, ends all of it, and writes how it ended.

Run as `python -I -S -E worker/supervisor.py RUN_DIR`, or forked by the fork-server. It outlives the worker, and the
job does not outlive it. SIGTERM cancels; SIGHUP makes room, which is to cancel after the job's warning; SIGUSR1 and
SIGUSR2 are passed on to the job.
"""
# pathlib costs more to import than all else here
# ruff: noqa: PTH100, PTH120, PTH123

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from math import ceil, inf

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from worker import cgroup, command, files, joblog, libc, proc
from worker.tree import Tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAKEN, STARTED_BEFORE, CRASHED = 111, 112, 113
SIGNALS = libc.signal_set(
    (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP)
)
"""Blocked and read from a descriptor: nothing interrupts, nothing is missed. SIGINT means nothing here."""
_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 20, 0.005
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 1.0
_WARN_AGAIN_SECONDS = 1.0
_CLOCKS_AGREE_SECONDS = 1.0
_OOM_SCORE, _MAX_OOM_SCORE = 500, 1000


class Supervisor:
    """
    One attempt from its start, which making it is, to its ending.

    `cause` is why it ends. From `kill_at` on, whatever is left is killed, again and again until nothing is. From
    `warn_at` on, each process that has a handler for the warning gets it once; at `end_at` the job has made room.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        now = time.monotonic()
        self.spec, self.started_at = spec, time.time()
        self.cause, self.kill_at, self.pause = "exited", inf, _FIRST_PAUSE_SECONDS
        self.timeout_at = now + (spec["timeout_seconds"] or inf)
        self.warning: int | None = spec.get("warning_signal")
        self.warn_at = self.timeout_at - self._warning_seconds() if self.warning else inf
        self.warned: set[int] = set()
        self.end_at = inf
        self.lease_at = now if spec["lease_file"] and spec["lease_seconds"] else inf
        self.renewed = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.oom_kills_before = _machine_oom_kills()
        self.signals = libc.signal_fd(SIGNALS)
        self.poller = select.poll()
        self.poller.register(self.signals, select.POLLIN)
        head, tail = spec["log_head_bytes"], spec["log_tail_bytes"]
        self.log = joblog.open_log(spec.get("log_mode", "file"), head, tail, self.poller)
        self.tree, self.failure = _start(spec, self.log.stdout, self.started_at)
        self.log.started()

    def watch(self) -> None:
        """Return when the job's process has ended and nothing of it is left."""
        while not self._is_gone():
            self._act(time.monotonic())
            self._wait()

    def ending(self) -> dict[str, object]:
        """What exit.json says."""
        code = os.waitstatus_to_exitcode(self.tree.status or 0)
        failure = os.read(self.failure, select.PIPE_BUF).decode(errors="replace")
        if failure:
            self.cause, code = "not_started", int(failure[:3])
        elif code == -signal.SIGKILL and self.cause == "exited" and self.tree.oom_kills:
            self.cause = "out_of_memory"
        return {
            "exit_code": code if code >= 0 else 128 - code,
            "signal": -code if code < 0 else None,
            "cause": self.cause,
            "error": failure[4:] or self._about_memory(code),
            "peak_memory_mib": self.tree.peak_memory_mib,
            "cpu_seconds": round(self.tree.cpu_seconds, 3),
            "started_at": self.started_at,
            "ended_at": time.time(),
            "log_bytes": self.log.finish(),
        }

    def _is_gone(self) -> bool:
        """What the job leaves behind has a grace only if the job was told to end: it may be saving its work."""
        self.tree.reap()
        if self.tree.is_gone():
            return True
        if self.tree.childless or (self.tree.status is not None and self.cause == "exited"):
            self.kill_at = min(self.kill_at, time.monotonic())
        return False

    def _act(self, now: float) -> None:
        if now >= self.warn_at:
            self._warn(now)
        if now >= self.end_at:
            self.end_at = inf
            self._end("cancelled", self.spec["grace_seconds"])
        if now >= self.timeout_at:
            self.timeout_at = inf
            self._end("timed_out", self.spec["grace_seconds"])
        if now >= self.lease_at:
            self._look_at_lease(now)
        if now >= self.kill_at:
            self.tree.kill()
            self.kill_at = now + self.pause
            self.pause = min(2 * self.pause, _LONGEST_PAUSE_SECONDS)
        if now >= self.log.look_at:
            self.log.look(now)

    def _wait(self) -> None:
        due = min(self.warn_at, self.end_at, self.timeout_at, self.lease_at, self.kill_at, self.log.look_at)
        milliseconds = None if due == inf else max(0, ceil((due - time.monotonic()) * 1000))
        for fd, _ in self.poller.poll(milliseconds):
            if fd == self.signals:
                self._hear()
            else:
                self.log.ready(time.monotonic())

    def _hear(self) -> None:
        for number in libc.waiting_signals(self.signals):
            if number == signal.SIGTERM:
                self._end("cancelled", self.spec["grace_seconds"])
            elif number == signal.SIGHUP:
                self._make_room(time.monotonic())
            elif number in (signal.SIGUSR1, signal.SIGUSR2):
                self.tree.signal(number)

    def _make_room(self, now: float) -> None:
        """Warn now and end it when its warning is over. Asking again changes nothing."""
        self.end_at = min(self.end_at, now + self._warning_seconds())
        if self.warning and self.cause == "exited":
            self.warn_at = min(self.warn_at, now)

    def _warn(self, now: float) -> None:
        """Whoever is still loading has no handler yet and is warned as soon as it has one."""
        self.warned |= self.tree.warn(self.warning or 0, besides=self.warned)
        self.warn_at = now + _WARN_AGAIN_SECONDS

    def _warning_seconds(self) -> float:
        return self.spec.get("warning_seconds", 0.0) if self.warning else 0.0

    def _end(self, cause: str, grace_seconds: float) -> None:
        """TERM to all, KILL after the grace. The first cause stands; a later one can only shorten the grace."""
        self.warn_at = inf
        self.tree.reap()
        if self.tree.status is None and self.cause == "exited":
            self.cause = cause
            self.tree.terminate()
        self.kill_at = min(self.kill_at, time.monotonic() + grace_seconds)

    def _look_at_lease(self, now: float) -> None:
        """A lease file that cannot be read renews nothing; without any the attempt's start counts."""
        limit = self.spec["lease_seconds"]
        self.lease_at = now + min(1.0, limit / 4)
        clock = time.clock_gettime(time.CLOCK_BOOTTIME)
        with suppress(OSError, ValueError):
            renewed = float(files.read(self.spec["lease_file"]))
            self.renewed = renewed if renewed <= clock + _CLOCKS_AGREE_SECONDS else self.renewed
        if clock - self.renewed > limit:
            self._end("fenced", self.spec["fence_grace_seconds"])

    def _about_memory(self, code: int) -> str | None:
        if self.tree.oom_kills:
            return f"The kernel killed {self.tree.oom_kills} processes of the job for lack of memory."
        if code != -signal.SIGKILL or self.cause != "exited":
            return None
        others = _machine_oom_kills() - self.oom_kills_before
        if others > 0:
            return f"Killed while this machine ran out of memory ({others} processes were killed): perhaps for that."
        return None


def supervise(run_dir: str) -> int:
    """
    Run the attempt of a run dir to its end: 0, and exit.json says how it ended.

    111: another supervisor has it. 112: it was started before, and an attempt starts once. Then nothing was touched.
    """
    libc.block(SIGNALS)
    os.chdir(run_dir)
    if not _locked():
        return TAKEN
    if os.access("state.json", os.F_OK) or os.access("exit.json", os.F_OK):
        return STARTED_BEFORE
    if os.getsid(0) != os.getpid():
        os.setsid()
    libc.adopt_orphans()
    _write_ending(_run())
    return 0


def main(run_dir: str) -> int:
    """As `supervise`. If the supervisor itself fails, supervisor.err says where; the job ends with it."""
    try:
        return supervise(run_dir)
    except Exception:  # noqa: BLE001  nobody else could tell
        import traceback

        with open(f"{run_dir}/supervisor.err", "w") as file:
            traceback.print_exc(file=file)
        return CRASHED


def _locked() -> bool:
    """Take the lock for life. Whoever only looks whether it is held has it for an instant, so try more than once."""
    lock = os.open("lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            files.hold_reserve(lock)
            return True
    return False


def _run() -> dict[str, object]:
    """How it ended, or why it could not be started."""
    started_at = time.time()
    try:
        supervisor = Supervisor(files.get("spec.json") or {})
    except (OSError, KeyError) as error:
        return {
            "exit_code": command.CANNOT_RUN,
            "signal": None,
            "cause": "not_started",
            "error": f"The supervisor could not start the job: {type(error).__name__}: {error}.",
            "peak_memory_mib": 0,
            "cpu_seconds": 0.0,
            "started_at": started_at,
            "ended_at": time.time(),
            "log_bytes": 0,
        }
    supervisor.watch()
    return supervisor.ending()


def _start(spec: Mapping[str, Any], stdout: int, started_at: float) -> tuple[Tree, int]:
    """
    Fork the job, and let its command run only when state.json is there: what ran once is known to have run.

    From the descriptor that is returned comes, after the job's end, why its command did not run, if it did not.
    """
    failure, failed = os.pipe2(os.O_CLOEXEC)
    go, started = os.pipe2(os.O_CLOEXEC)
    supervisor, group = os.getpid(), _cgroup(spec)
    pid, group = _fork(group)
    if pid == 0:
        os.close(started)
        command.become_job(spec, supervisor=supervisor, stdout=stdout, go=go, failed=failed)
    os.setpgid(pid, pid)
    tree = Tree(pid, spec["attempt"], group)
    try:
        _offer_to_oom_killer(pid)
        files.put("state.json", _state(tree, started_at))
        os.write(started, b"g")
    except OSError as error:
        command.tell(failed, f"{command.CANNOT_RUN} The job could not be started: {error}.")
    for fd in (go, started, failed):
        os.close(fd)
    return tree, failure


def _cgroup(spec: Mapping[str, Any]) -> cgroup.Cgroup | None:
    return cgroup.make(spec["attempt"], spec["memory_max_mib"]) if spec.get("cgroup", True) else None


def _fork(group: cgroup.Cgroup | None) -> tuple[int, cgroup.Cgroup | None]:
    """The child, which is 0 in itself, and its cgroup: one may be made and yet not be entered, then it goes without."""
    if group is None:
        return os.fork(), None
    try:
        return group.fork(), group
    except OSError:
        group.remove()
        return os.fork(), None


def _offer_to_oom_killer(pid: int) -> None:
    """When memory runs out, the job goes before its supervisor and the worker."""
    with suppress(OSError):
        score = min(own_oom_score() + _OOM_SCORE, _MAX_OOM_SCORE)
        files.write(f"/proc/{pid}/oom_score_adj", str(score))


def _state(tree: Tree, started_at: float) -> dict[str, object]:
    return {
        "supervisor_pid": os.getpid(),
        "supervisor_start": proc.start_of(os.getpid()),
        "pid": tree.pid,
        "start": proc.start_of(tree.pid),
        "boot_id": proc.boot_id(),
        "cgroup": tree.cgroup and tree.cgroup.path,
        "started_at": started_at,
    }


def _write_ending(ending: Mapping[str, object]) -> None:
    """A full disk does not lose the ending: it waits for room."""
    while True:
        try:
            return files.put("exit.json", ending, durable=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if not files.use_reserve():
                time.sleep(_LONGEST_PAUSE_SECONDS)


def _machine_oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since boot, anywhere on this machine."""
    try:
        vmstat = files.read("/proc/vmstat")
        at = vmstat.index("\noom_kill ")
        return int(vmstat[at + 10 : vmstat.index("\n", at + 10)])
    except (OSError, ValueError):
        return 0


@cache
def own_oom_score() -> int:
    return int(files.read("/proc/self/oom_score_adj"))


def reset_signals() -> None:
    """A job starts with every signal at its default: Python itself ignores two, and `nohup` one."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


if __name__ == "__main__":
    reset_signals()
    os._exit(main(sys.argv[1]))
