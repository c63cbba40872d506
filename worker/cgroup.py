"""One cgroup v2 per attempt, where this user may make one: it holds every process of the attempt, whatever they do."""
# ruff: noqa: PTH102, PTH106

import errno
import os
import signal
from contextlib import suppress
from functools import cache

from worker import files, libc

_MIB = 2**20


class Cgroup:
    """The directory of one attempt's cgroup. Memory is limited and measured where its parent has that controller."""

    def __init__(self, path: str, *, has_memory: bool = False) -> None:
        self.path = path
        self.has_memory = has_memory

    def fork(self) -> int:
        """As os.fork, with the child in this cgroup from its first instruction. Needs Linux 5.7."""
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return libc.fork_into(folder)
        finally:
            os.close(folder)

    def pids(self) -> list[int]:
        return [int(pid) for pid in self._read("cgroup.procs").split()]

    def kill(self) -> None:
        """End everything in it at once, also what is just being forked; before Linux 5.14 one process after another."""
        try:
            files.write(f"{self.path}/cgroup.kill", "1")
        except OSError:
            for pid in self.pids():
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)

    def remove(self) -> bool:
        """Whether nothing lives in it any more; then it is gone too."""
        try:
            os.rmdir(self.path)
        except FileNotFoundError:
            return True
        except OSError:
            if self._number("cgroup.events", "populated"):
                return False
            self._remove_nested()
        return True

    def limit_memory(self, mib: int) -> None:
        """Beyond it the kernel ends all of the attempt, not one process that the others then wait for."""
        files.write(f"{self.path}/memory.max", str(mib * _MIB))
        files.write(f"{self.path}/memory.oom.group", "1")

    def peak_memory_mib(self) -> int:
        return -(-int(self._read("memory.peak") or 0) // _MIB) if self.has_memory else 0

    def oom_kills(self) -> int:
        return self._number("memory.events", "oom_kill") if self.has_memory else 0

    def cpu_seconds(self) -> float:
        return self._number("cpu.stat", "usage_usec") / 1e6

    def _remove_nested(self) -> None:
        """A job may make cgroups of its own below; empty they are nobody's."""
        for folder, _, _ in os.walk(self.path, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)

    def _number(self, name: str, key: str) -> int:
        """Of a file with a key and a number on each line."""
        words = self._read(name).split()
        return int(words[words.index(key) + 1]) if key in words else 0

    def _read(self, name: str) -> str:
        try:
            return files.read(f"{self.path}/{name}")
        except OSError:
            return ""


def make(attempt: str, memory_max_mib: int | None) -> Cgroup | None:
    """A new cgroup below our own, or None where that is not allowed: the attempt then goes without."""
    parent = own()
    if parent is None:
        return None
    cgroup = Cgroup(f"{parent.path}/levare-{attempt}", has_memory=parent.has_memory)
    try:
        _make_empty(cgroup.path)
        if memory_max_mib and cgroup.has_memory:
            cgroup.limit_memory(memory_max_mib)
    except OSError:
        return None
    return cgroup


@cache
def own() -> Cgroup | None:
    """This process's cgroup, with memory accounted below it where that may be asked for. Looked up once."""
    try:
        path = (_mount() + _place()).rstrip("/")
        with suppress(OSError):
            files.write(f"{path}/cgroup.subtree_control", "+memory")
        return Cgroup(path, has_memory="memory" in files.read(f"{path}/cgroup.subtree_control").split())
    except OSError:
        return None


def _make_empty(path: str) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:  # of a supervisor that was killed before it started anything
        os.rmdir(path)
        os.mkdir(path)


def _mount() -> str:
    """Where cgroup v2 is mounted whole: alone, or beside v1."""
    for line in files.read("/proc/self/mountinfo").splitlines():
        fields = line.split()
        if fields[fields.index("-") + 1] == "cgroup2" and fields[3] == "/":
            return fields[4]
    raise FileNotFoundError(errno.ENOENT, "cgroup v2 is not mounted")


def _place() -> str:
    for line in files.read("/proc/self/cgroup").splitlines():
        if line.startswith("0::"):
            return line[3:]
    raise FileNotFoundError(errno.ENOENT, "this process has no cgroup v2")
