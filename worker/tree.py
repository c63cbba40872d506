"""All processes of an attempt, as their supervisor sees and ends them."""

import os
import resource
import signal
from contextlib import suppress
from math import ceil

from worker import proc
from worker.cgroup import Cgroup

_STOP_PASSES = 100


class Tree:
    """
    The job's process and whatever came from it. As subreaper, the supervisor becomes the parent of every orphan of it.

    `status` is how the job's process ended, None while it lives; `childless` says that nothing else is left either.
    """

    def __init__(self, pid: int, attempt: str, cgroup: Cgroup | None) -> None:
        self.pid, self._attempt, self.cgroup = pid, attempt, cgroup
        self.status: int | None = None
        self.childless = False
        self.peak_memory_mib, self.cpu_seconds, self.oom_kills = 0, 0.0, 0

    def reap(self) -> None:
        try:
            while (ended := os.wait4(-1, os.WNOHANG))[0]:
                self._count(ended[2])
                if ended[0] == self.pid:
                    self.status = ended[1]
        except ChildProcessError:
            self.childless = True

    def is_gone(self) -> bool:
        """Whether nothing is left of it; then it has also been measured."""
        if self.status is None or not self.childless:
            return False
        self._measure()
        return self.cgroup is None or self.cgroup.remove()

    def signal(self, number: int) -> None:
        """To the job's process group. Only while its process is not reaped can nobody else have its number."""
        if self.status is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM to all, once: for some the second means to drop everything."""
        outside = [pid for pid in self._members() if _group_of(pid) != self.pid]
        self.signal(signal.SIGTERM)
        for pid in outside:
            _send(pid, signal.SIGTERM)

    def warn(self, number: int, *, besides: set[int]) -> set[int]:
        """Signal whoever has a handler for it; the others would die of it, a shell above the training among them."""
        awaiting = {pid for pid in self._members() - besides if proc.handles(pid, number)}
        for pid in awaiting:
            _send(pid, number)
        return awaiting

    def kill(self) -> None:
        """Stop all, then kill all: what is stopped forks no more. Orphans come to us and meet the next call."""
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

    def _members(self) -> set[int]:
        found = proc.descendants(os.getpid()) or set(proc.marked(self._attempt))
        return found.union(self.cgroup.pids() if self.cgroup else ())

    def _count(self, usage: resource.struct_rusage) -> None:
        """Of a process that was reaped, and of all that it had reaped itself."""
        self.cpu_seconds += usage.ru_utime + usage.ru_stime
        self.peak_memory_mib = max(self.peak_memory_mib, ceil(usage.ru_maxrss / 1024))

    def _measure(self) -> None:
        """What was reaped counts each by itself, and the largest process of it; a cgroup counts all, together."""
        if self.cgroup:
            self.cpu_seconds = max(self.cpu_seconds, self.cgroup.cpu_seconds())
            self.peak_memory_mib = max(self.peak_memory_mib, self.cgroup.peak_memory_mib())
            self.oom_kills = self.cgroup.oom_kills()


def _send(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _group_of(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getpgid(pid)
    return 0
