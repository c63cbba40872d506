"""
The process beside each attempt: it starts the command, keeps its limits, ends all of it, and writes how it ended.

Run as `python -I -S -E worker/supervisor.py RUN_DIR`, or forked by the fork-server. It outlives the worker, and the
job does not outlive it. SIGTERM cancels; SIGUSR1 and SIGUSR2 are passed on to the job.
"""
# pathlib costs more to import than all else here
# ruff: noqa: PTH100, PTH110, PTH120, PTH123

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from math import ceil, inf

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from worker import cgroup, command, documents, joblog, libc, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

TAKEN, STARTED_BEFORE, CRASHED = 111, 112, 113
SIGNALS = (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP)
"""Blocked and read from a descriptor: nothing interrupts, nothing is missed. SIGINT and SIGHUP mean nothing here."""
_RESET = (*SIGNALS, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGQUIT)
_LOCK_TRIES, _LOCK_PAUSE_SECONDS = 20, 0.005
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.005, 1.0
_STOP_PASSES = 100
_CLOCKS_AGREE_SECONDS = 1.0


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
        self.told, self.tell = os.pipe2(os.O_CLOEXEC)

    def start(self) -> None:
        """Fork the job. state.json is there before its command is: what ran once is known to have run."""
        supervisor = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            self._leave_cgroup()
            raise
        if self.pid == 0:
            self._become_job(supervisor)
        os.close(self.tell)
        self.log.started()

    def watch(self) -> None:
        """Return when the job's process has ended and nothing of it is left."""
        while not self._gone():
            self._act(time.monotonic())
            self._wait()

    def ending(self) -> dict[str, object]:
        """What exit.json says."""
        code = os.waitstatus_to_exitcode(self.status or 0)
        failure = os.read(self.told, select.PIPE_BUF).decode(errors="replace")
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

    def _become_job(self, supervisor: int) -> NoReturn:
        try:
            command.tie_to(supervisor)
            command.offer_to_oom_killer()
            if self.cgroup:
                command.join(self.cgroup)
            documents.put("state.json", self._state(supervisor))
            command.execute(self.spec, self.log.stdout, _RESET)
        except command.NotStarted as error:
            self._tell(str(error))
        except Exception as error:  # noqa: BLE001  whatever it is, the parent must hear of it
            self._tell(f"{command.CANNOT_RUN} The job could not be started: {error}.")
        finally:
            os._exit(command.CANNOT_RUN)

    def _tell(self, failure: str) -> None:
        os.write(self.tell, failure.encode(errors="replace")[: select.PIPE_BUF])

    def _state(self, supervisor: int) -> dict[str, object]:
        return {
            "supervisor_pid": supervisor,
            "supervisor_start": tree.start_of(supervisor),
            "pid": os.getpid(),
            "start": tree.start_of(os.getpid()),
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
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    return
                if pid == self.pid:
                    self.status = status
                    if self.cause == "exited":
                        self.kill_at = time.monotonic()
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
        with suppress(OSError, ValueError), open(self.spec["lease_file"]) as file:
            renewed = float(file.read())
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
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    os.chdir(run_dir)
    if not _locked():
        return TAKEN
    if os.path.exists("state.json") or os.path.exists("exit.json"):
        return STARTED_BEFORE
    with suppress(PermissionError):
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
            return True
    return False


def _run() -> dict[str, object]:
    """How it ended, or why it could not be started."""
    started_at = time.time()
    try:
        supervisor = Supervisor(documents.get("spec.json") or {})
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
            return documents.put("exit.json", ending, durable=True)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            time.sleep(_LONGEST_PAUSE_SECONDS)


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _group_of(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0


def _machine_oom_kills() -> int:
    """How many processes the kernel has killed for lack of memory since boot, anywhere on this machine."""
    with suppress(OSError, IndexError, ValueError), open("/proc/vmstat") as file:
        return int(file.read().split("\noom_kill ")[1].split("\n")[0])
    return 0


if __name__ == "__main__":
    os._exit(main(sys.argv[1]))
