"""What /proc says of processes."""
# ruff: noqa: PTH116, PTH208

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

from worker import files


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
            return f"LEVARE_ATTEMPT={attempt}" in files.read(f"/proc/{pid}/environ").split("\0")
    return False


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
