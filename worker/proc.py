"""What /proc says of processes."""
# ruff: noqa: PTH116, PTH208

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

from worker import files

_MOST_ENVIRON = 2**21


def start_of(pid: int) -> int:
    """When a process started, in clock ticks since boot (field 22 of its stat): with its pid it names one process."""
    return int(files.read(f"/proc/{pid}/stat").rpartition(")")[2].split()[19])


@cache
def boot_id() -> str:
    """Changes with each boot of the machine: nothing of another boot is alive."""
    return files.read("/proc/sys/kernel/random/boot_id").strip()


def descendants(pid: int) -> set[int]:
    """Children, their children and so on, as far as they can be seen at this instant."""
    found: set[int] = set()
    ahead = [pid]
    while ahead:
        new = set(_children(ahead.pop())) - found
        found |= new
        ahead.extend(new)
    return found


def marked(attempt: str) -> Iterator[int]:
    """This user's processes whose environment says that they belong to the attempt, however far they went."""
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and is_marked(int(name), attempt):
            yield int(name)


def is_marked(pid: int, attempt: str) -> bool:
    with suppress(OSError):
        if os.stat(f"/proc/{pid}").st_uid == os.getuid():
            return variable(pid, "LEVARE_ATTEMPT") == attempt
    return False


def variable(pid: int, name: str) -> str:
    """
    What a process was started with; empty where it has no such variable, or is not ours to read.

    Nothing else of its environment stays in our memory: there may be secrets in it that we were not given.
    """
    with suppress(OSError), _wiped(f"/proc/{pid}/environ") as (found, end):
        begin = found.find(f"\0{name}=".encode(), 0, end)
        if begin >= 0:
            value = begin + len(name) + 2
            return found[value : found.find(b"\0", value)].decode(errors="replace")
    return ""


@contextmanager
def _wiped(path: str) -> Iterator[tuple[bytearray, int]]:
    """A file of the kernel behind a NUL and before one, and where it ends; its memory is blank again afterwards."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    data, size = bytearray(_MOST_ENVIRON), 1
    try:
        with memoryview(data) as view:
            while size < _MOST_ENVIRON - 1 and (more := os.readv(fd, [view[size:-1]])):
                size += more
        yield data, size
    finally:
        os.close(fd)
        data[:size] = bytes(size)


def handles(pid: int, number: int) -> bool:
    """Whether a process does not leave a signal to the system: it catches it, or blocks it and waits for it."""
    with suppress(OSError):
        lines = dict(line.split(":", 1) for line in files.read(f"/proc/{pid}/status").splitlines() if ":" in line)
        return bool((int(lines["SigBlk"], 16) | int(lines["SigCgt"], 16)) >> (number - 1) & 1)
    return False


def _children(pid: int) -> list[int]:
    """Each thread has a list of its own; a kernel built without these lists shows none."""
    children = ""
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            children += files.read(f"/proc/{pid}/task/{thread}/children")
    return [int(child) for child in children.split()]
