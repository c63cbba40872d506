"""What the kernel says of the whole machine, from the text of its files in /proc: each second, so read frugally."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from levare.machine import unescaped

_SECTOR = 512
_VIRTUAL_DISKS = ("loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd")
"""What they read and write is read and written by a disk below them, too, or is memory."""


class Times(NamedTuple):
    """Ticks of a CPU since boot."""

    busy: int
    all: int


class Io(NamedTuple):
    """Bytes of a disk since boot."""

    read: int
    written: int


class Traffic(NamedTuple):
    """Of all network cards since boot."""

    received: int
    sent: int
    errors: int
    drops: int


def cpu_times(stat: str) -> dict[str, Times]:
    """`cpu` is all of them, `cpu0` and so on each. Waiting for a disk is not being busy."""
    found: dict[str, Times] = {}
    for line in stat.splitlines():
        if not line.startswith("cpu"):
            break  # they come first
        name, *fields = line.split()
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, (*fields[:8], *"0" * (8 - len(fields[:8]))))
        busy = user + nice + system + irq + softirq + steal
        found[name] = Times(busy, busy + idle + iowait)
    return found


def memory_mib(meminfo: str) -> dict[str, float]:
    """Cached is what the kernel holds of files and gives back when it is wanted, shared memory not included."""
    lines = (line.replace(":", " ").split() for line in meminfo.splitlines())
    kib = {fields[0]: int(fields[1]) for fields in lines if len(fields) > 1}
    available = kib.get("MemAvailable", kib["MemFree"])
    cached = kib.get("Buffers", 0) + kib.get("Cached", 0) + kib.get("SReclaimable", 0) - kib.get("Shmem", 0)
    found = {
        "memory_used_mib": kib["MemTotal"] - available,
        "memory_available_mib": available,
        "memory_cached_mib": max(0, cached),
        "memory_total_mib": kib["MemTotal"],
        "swap_used_mib": kib.get("SwapTotal", 0) - kib.get("SwapFree", 0),
        "swap_total_mib": kib.get("SwapTotal", 0),
    }
    return {name: amount / 1024 for name, amount in found.items()}


def disks(diskstats: str) -> dict[tuple[int, int], tuple[str, Io]]:
    """(major, minor) -> name and bytes, partitions included."""
    found: dict[tuple[int, int], tuple[str, Io]] = {}
    for fields in map(str.split, diskstats.splitlines()):
        major, minor, name = int(fields[0]), int(fields[1]), fields[2]
        found[major, minor] = name, Io(int(fields[5]) * _SECTOR, int(fields[9]) * _SECTOR)
    return found


def total_io(found: Iterable[tuple[str, Io]], whole: Iterable[str]) -> Io | None:
    """Of all real disks; None where there is none. `whole` names the disks that are no partitions."""
    names = {name for name in whole if not name.startswith(_VIRTUAL_DISKS)}
    real = [each for name, each in found if name in names]
    return Io(sum(each.read for each in real), sum(each.written for each in real)) if real else None


def traffic(dev: str) -> Traffic:
    """Of all cards but the loopback one."""
    cards = [fields for name, fields in _cards(dev) if name != "lo"]
    sums = (sum(fields[place] for fields in cards) for place in (0, 8, 2, 10, 3, 11))
    received, sent, bad_in, bad_out, dropped_in, dropped_out = sums
    return Traffic(received, sent, bad_in + bad_out, dropped_in + dropped_out)


def load(loadavg: str) -> dict[str, float]:
    one, five, fifteen, running, _ = loadavg.split()
    return {
        "load_1m": float(one),
        "load_5m": float(five),
        "load_15m": float(fifteen),
        "threads": int(running.partition("/")[2]),
    }


def mounts(mountinfo: str) -> dict[tuple[int, int], str]:
    """(major, minor) of what is mounted -> where, of what can be filled; of several places of one the shortest."""
    found: dict[tuple[int, int], str] = {}
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        _, _, device, _, place, options, *_ = left.split()
        major, _, minor = device.partition(":")
        key, place = (int(major), int(minor)), unescaped(place)
        kind, source = right.split()[:2]
        is_new = len(place) < len(found.get(key, f"{place} "))
        if is_new and "rw" in options.split(",") and _keeps_files(kind, source, place):
            found[key] = place
    return found


def _keeps_files(kind: str, source: str, place: str) -> bool:
    """Of memory, only what jobs may fill: shared memory, and what somebody has mounted for files."""
    if kind == "tmpfs":
        return place == "/dev/shm" or not place.startswith(_OF_THE_SYSTEM)  # noqa: S108 - it is only looked at
    return source.startswith("/dev/") or kind in _SHARED or (kind == "overlay" and place == "/")


def _cards(dev: str) -> Iterator[tuple[str, list[int]]]:
    for line in dev.splitlines()[2:]:
        name, _, fields = line.partition(":")
        yield name.strip(), [int(field) for field in fields.split()]


_SHARED = frozenset(
    ["nfs", "nfs4", "cifs", "smb3", "ceph", "lustre", "gpfs", "beegfs", "9p", "virtiofs", "zfs", "btrfs"]
)
_OF_THE_SYSTEM = ("/dev", "/run", "/sys", "/proc", "/var/lib/docker", "/var/lib/containers", "/var/lib/kubelet")
