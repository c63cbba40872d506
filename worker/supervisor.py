"""
The process beside each attempt: it starts the command, keeps its limits, ends all of it, and writes how it ended.

Run as `python -I -S -E worker/supervisor.py RUN_DIR`, or forked by the fork-server. It outlives the worker, and the
job does not outlive it. SIGTERM cancels; SIGUSR1 and SIGUSR2 are passed on to the job.
"""
# pathlib costs more to import than all else here
# ruff: noqa: PTH100, PTH120, PTH123

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from math import ceil, inf

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from worker import cgroup, command, files, joblog, libc, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAKEN, STARTED_BEFORE, CRASHED = 111, 112, 113
SIGNALS = libc.signal_set(
    (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP)
)
"""Blocked and read from a descriptor: nothing interrupts, nothing is missed. SIGINT and SIGHUP mean nothing here."""
_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 20, 0.005
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 1.0
_STOP_PASSES = 100
_CLOCKS_AGREE_SECONDS = 1.0
_OOM_SCORE, _MAX_OOM_SCORE = 500, 1000


class Supervisor:
    """
    One attempt, from its start to its ending.

    `cause` is why it ends, `status` how its process ended. From `kill_at` on, whatever is left is killed, again and
    again until nothing is.
    """

    def __init__(self, spec: Mapping[str, Any]) -> None:
        now = time.monotonic()
        self.spec, self.started_at = spec, time.time()
        self.pid, self.childless = 0, False
        self.status: int | None = None
        self.cause, self.kill_at, self.pause = "exited", inf, _FIRST_PAUSE_SECONDS
        self.timeout_at = now + (spec["timeout_seconds"] or inf)
        self.lease_at = now if spec["lease_file"] and spec["lease_seconds"] else inf
        self.renewed = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.peak_mib, self.cpu_seconds, self.oom_kills = 0, 0.0, 0
        self.oom_kills_before = _machine_oom_kills()
        self.signals = libc.signal_fd(SIGNALS)
        self.poller = select.poll()
        self.poller.register(self.signals, select.POLLIN)
        head, tail = spec["log_head_bytes"], spec["log_tail_bytes"]
        self.log = joblog.open_log(spec.get("log_mode", "file"), head, tail, self.poller)
        self.cgroup = cgroup.make(spec["attempt"], spec["memory_max_mib"]) if spec.get("cgroup", True) else None
        self.failure, self.failed = os.pipe2(os.O_CLOEXEC)

    def start(self) -> None:
        """Fork the job. Its command runs only when state.json is there: what ran once is known to have run."""
        supervisor = os.getpid()
        go, started = os.pipe2(os.O_CLOEXEC)
        self.pid = os.fork()
        if self.pid == 0:
            os.close(started)
            command.become_job(self.spec, supervisor=supervisor, stdout=self.log.stdout, go=go, failed=self.failed)
        self.log.started()
        try:
            self._introduce(supervisor)
            os.write(started, b"g")
        except OSError as error:
            command.tell(self.failed, f"{command.CANNOT_RUN} The job could not be started: {error}.")
        for fd in (go, started, self.failed):
            os.close(fd)

    def watch(self) -> None:
        """Return when the job's process has ended and nothing of it is left."""
        while not self._gone():
            self._act(time.monotonic())
            self._wait()

    def ending(self) -> dict[str, object]:
        """What exit.json says."""
        code = os.waitstatus_to_exitcode(self.status or 0)
        failure = os.read(self.failure, select.PIPE_BUF).decode(errors="replace")
        if failure:
            self.cause, code = "not_started", int(failure[:3])
        elif code == -signal.SIGKILL and self.cause == "exited" and self.oom_kills:
            self.cause = "out_of_memory"
        return {
            "exit_code": code if code >= 0 else 128 - code,
            "signal": -code if code < 0 else None,
            "cause": self.cause,
            "error": failure[4:] or self._about_memory(code),
            "peak_memory_mib": self.peak_mib,
            "cpu_seconds": round(self.cpu_seconds, 3),
            "started_at": self.started_at,
            "ended_at": time.time(),
            "log_bytes": self.log.finish(),
        }

    def _introduce(self, supervisor: int) -> None:
        """Give the job its process group, its cgroup and its place before the OOM killer, and write down who it is."""
        os.setpgid(self.pid, self.pid)
        if self.cgroup and not _accepted(self.cgroup.add, self.pid):
            self.cgroup.remove()
            self.cgroup = None
        _accepted(
            files.write, f"/proc/{self.pid}/oom_score_adj", str(min(own_oom_score() + _OOM_SCORE, _MAX_OOM_SCORE))
        )
        files.put("state.json", self._state(supervisor))

    def _state(self, supervisor: int) -> dict[str, object]:
        return {
            "supervisor_pid": supervisor,
            "supervisor_start": tree.start_of(supervisor),
            "pid": self.pid,
            "start": tree.start_of(self.pid),
            "boot_id": tree.boot_id(),
            "cgroup": self.cgroup and self.cgroup.path,
            "started_at": self.started_at,
        }

    def _gone(self) -> bool:
        self._reap()
        if self.status is None or not self.childless:
            return False
        self._measure()
        return self._leave_cgroup()

    def _leave_cgroup(self) -> bool:
        return self.cgroup is None or self.cgroup.remove()

    def _reap(self) -> None:
        """What the job left behind has its own grace only if the job was told to end: it may be saving its work."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self.pid:
                    self.status = ended[1]
                    self.kill_at = time.monotonic() if self.cause == "exited" else self.kill_at
        except ChildProcessError:
            self.childless = True

    def _measure(self) -> None:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_seconds, self.peak_mib = usage.ru_utime + usage.ru_stime, ceil(usage.ru_maxrss / 1024)
        if self.cgroup:
            self.cpu_seconds = max(self.cpu_seconds, self.cgroup.cpu_seconds())
            self.peak_mib = max(self.peak_mib, self.cgroup.peak_memory_mib())
            self.oom_kills = self.cgroup.oom_kills()

    def _act(self, now: float) -> None:
        if now >= self.timeout_at:
            self.timeout_at = inf
            self._end("timed_out", self.spec["grace_seconds"])
        if now >= self.lease_at:
            self._look_at_lease(now)
        if now >= self.kill_at:
            self._kill_all(now)
        if now >= self.log.look_at:
            self.log.look(now)

    def _wait(self) -> None:
        due = min(self.timeout_at, self.lease_at, self.kill_at, self.log.look_at)
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
            elif number in (signal.SIGUSR1, signal.SIGUSR2):
                self._signal_group(number)

    def _end(self, cause: str, grace_seconds: float) -> None:
        """TERM to everything, KILL after the grace. The first cause stands; a later one can only shorten the grace."""
        self._reap()
        if self.status is None and self.cause == "exited":
            self.cause = cause
            self._terminate_all()
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

    def _members(self) -> set[int]:
        """Everything of the attempt but the supervisor."""
        found = tree.descendants(os.getpid()) or set(tree.marked(self.spec["attempt"]))
        return found.union(self.cgroup.pids() if self.cgroup else ())

    def _terminate_all(self) -> None:
        """Each process hears it once: for some the second SIGTERM means to drop everything."""
        outside = [pid for pid in self._members() if _group_of(pid) != self.pid]
        self._signal_group(signal.SIGTERM)
        for pid in outside:
            _send(pid, signal.SIGTERM)

    def _kill_all(self, now: float) -> None:
        """Stop all, then kill all: what is stopped forks no more. Orphans come to us and meet the next round."""
        if self.cgroup:
            self.cgroup.kill()
        stopped: set[int] = set()
        for _ in range(_STOP_PASSES):
            new = self._members() - stopped
            if not new:
                break
            stopped |= new
            for pid in new:
                _send(pid, signal.SIGSTOP)
        for pid in stopped:
            _send(pid, signal.SIGKILL)
        self.kill_at = now + self.pause
        self.pause = min(2 * self.pause, _LONGEST_PAUSE_SECONDS)

    def _signal_group(self, number: int) -> None:
        """Only while the job's process is not reaped can nobody else have its number."""
        if self.status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def _about_memory(self, code: int) -> str | None:
        if self.oom_kills:
            return f"The kernel killed {self.oom_kills} processes of the job for lack of memory."
        others = _machine_oom_kills() - self.oom_kills_before
        if code == -signal.SIGKILL and self.cause == "exited" and others > 0:
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
        supervisor.start()
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


def _accepted(write: Callable[..., object], *args: object) -> bool:
    """Whether the kernel let us; where it does not, the attempt goes without."""
    try:
        write(*args)
    except OSError:
        return False
    return True


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _group_of(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


def _machine_oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since boot, anywhere on this machine."""
    vmstat = files.read("/proc/vmstat")
    at = vmstat.find("\noom_kill ")
    return int(vmstat[at + 10 : vmstat.find("\n", at + 10)]) if at >= 0 else 0


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
