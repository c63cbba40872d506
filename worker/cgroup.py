"""One cgroup v2 per attempt, where this user may make one: it holds every process of the attempt, whatever they do."""
# pathlib costs more to import than all else here
# ruff: noqa: PTH102, PTH106, PTH123

import errno
import os
import signal
from contextlib import suppress
from functools import cache

_MIB = 2**20


class Cgroup:
    """The directory of one attempt's cgroup. Only what its controllers offer is limited and measured."""

    def __init__(self, path: str) -> None:
        self.path = path

    def enter(self) -> None:
        self._write("cgroup.procs", "0")

    def limit_memory(self, mib: int) -> None:
        """Beyond it the kernel ends all of the attempt, not one process that the others then wait for."""
        with suppress(OSError):
            self._write("memory.max", str(mib * _MIB))
            self._write("memory.oom.group", "1")

    def pids(self) -> list[int]:
        return [int(pid) for pid in self._read("cgroup.procs").split()]

    def kill(self) -> None:
        """End everything in it at once, also what is just being forked; before Linux 5.14 one process after another."""
        try:
            self._write("cgroup.kill", "1")
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
            if self._number("cgroup.events", "populated") != 0:
                return False
            self._remove_nested()
        return True

    def cpu_seconds(self) -> float:
        return self._number("cpu.stat", "usage_usec") / 1e6

    def peak_memory_mib(self) -> int:
        return -(-int(self._read("memory.peak") or 0) // _MIB)

    def oom_kills(self) -> int:
        return self._number("memory.events", "oom_kill")

    def _remove_nested(self) -> None:
        for folder, _, _ in os.walk(self.path, topdown=False):
            with suppress(OSError):
                os.rmdir(folder)

    def _number(self, name: str, key: str) -> int:
        return next((int(line[len(key) :]) for line in self._read(name).splitlines() if line.startswith(f"{key} ")), 0)

    def _read(self, name: str) -> str:
        try:
            with open(f"{self.path}/{name}") as file:
                return file.read()
        except OSError:
            return ""

    def _write(self, name: str, text: str) -> None:
        fd = os.open(f"{self.path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


def make(attempt: str, memory_max_mib: int | None) -> Cgroup | None:
    """A new cgroup below our own, or None where that is not allowed: the attempt then goes without."""
    try:
        path = f"{own()}/levare-{attempt}"
        with suppress(FileNotFoundError):
            os.rmdir(path)  # of a supervisor that was killed before it started anything
        os.mkdir(path)
    except OSError:
        return None
    cgroup = Cgroup(path)
    if memory_max_mib:
        cgroup.limit_memory(memory_max_mib)
    return cgroup


@cache
def own() -> str:
    """The directory of this process's cgroup v2, with memory accounted below it where that may be asked for."""
    path = (_mount() + _place()).rstrip("/")
    with suppress(OSError), open(f"{path}/cgroup.subtree_control", "w") as file:
        file.write("+memory")
    return path


def _mount() -> str:
    """Where cgroup v2 is mounted whole: alone, or beside v1."""
    with open("/proc/self/mountinfo") as file:
        for line in file:
            fields = line.split()
            if fields[fields.index("-") + 1] == "cgroup2" and fields[3] == "/":
                return fields[4]
    raise FileNotFoundError(errno.ENOENT, "cgroup v2 is not mounted")


def _place() -> str:
    with open("/proc/self/cgroup") as file:
        for line in file:
            if line.startswith("0::"):
                return line[3:].rstrip("\n")
    raise FileNotFoundError(errno.ENOENT, "this process has no cgroup v2")
