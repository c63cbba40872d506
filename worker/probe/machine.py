"""The machine as a whole: CPU, memory, disks, network, and its GPUs as far as they are read."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

import psutil

from worker import files
from worker.probe import kernel
from worker.probe.kernel import Times
from worker.probe.mounts import Mounts
from worker.probe.rates import Rates
from worker.probe.reading import Reading

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_MOST_CORES = 256
_SELDOM_SECONDS = 10.0
_MIB = 2**20

Sample = dict[str, float]


class Machine:
    """
    Samples the machine. CPU and rates are those since the last sample. Not for several threads at once.

    What cannot be read is left out, and nothing else with it. What costs more, or changes seldom, is read every 10 s.
    """

    def __init__(self, home: Path) -> None:
        self._rates = Rates()
        self._cpus: Mapping[str, Times] = {}
        self._mounts = Mounts(home)
        self._seldom: Sample = {}
        self._seldom_at = float("-inf")
        self.sample(())

    def close(self) -> None:
        self._mounts.close()

    def sample(self, readings: Sequence[Reading]) -> Sample:
        """By its name with its unit; of cores by their number, of mounts by their path, of GPUs by their index."""
        numbers: Sample = {}
        for part in (self._cpu, _load, _memory, self._disks, self._network, self._held):
            numbers |= _tried(part)
        return {name: round(number, 2) for name, number in (numbers | _gpus(readings)).items()}

    def _cpu(self) -> Sample:
        before, self._cpus = self._cpus, kernel.cpu_times(files.read("/proc/stat"))
        both = ((name, before.get(name, now), now) for name, now in self._cpus.items())
        busy = {name: percent for name, then, now in both if (percent := _busy(then, now)) is not None}
        all_of_them = busy.pop("cpu", None)
        cores = {f"{name}_percent": percent for name, percent in list(busy.items())[:_MOST_CORES]}
        found: Sample = {} if all_of_them is None else {"cpu_percent": all_of_them}
        return found | ({"cpu_busiest_percent": max(cores.values())} if cores else {}) | cores

    def _disks(self) -> Sample:
        """In all, and of each mount whose disk counts: what lies on a file server does not."""
        at, disks = monotonic(), kernel.disks(files.read("/proc/diskstats"))
        found: Sample = {}
        total = kernel.total_io(disks.values(), self._mounts.disks())
        if total:
            found |= self._per_second("disk", total.read, "disk_read_mib_per_second", at)
            found |= self._per_second("disk", total.written, "disk_write_mib_per_second", at)
        for device, place in self._mounts.devices().items():
            if device in disks:
                _, io = disks[device]
                found |= self._per_second("disk", io.read, f"mount_read_mib_per_second:{place}", at)
                found |= self._per_second("disk", io.written, f"mount_write_mib_per_second:{place}", at)
        return found

    def _network(self) -> Sample:
        at, traffic = monotonic(), kernel.traffic(files.read("/proc/net/dev"))
        return {
            **self._per_second("network", traffic.received, "network_in_mib_per_second", at),
            **self._per_second("network", traffic.sent, "network_out_mib_per_second", at),
            **self._per_second("network", traffic.errors, "network_errors_per_second", at, unit=1),
            **self._per_second("network", traffic.drops, "network_drops_per_second", at, unit=1),
        }

    def _per_second(self, owner: str, count: float, name: str, at: float, *, unit: float = _MIB) -> Sample:
        rate = self._rates.per_second(owner, name, count / unit, at)
        return {} if rate is None else {name: rate}

    def _held(self) -> Sample:
        """What is read seldom, as it was last."""
        if monotonic() >= self._seldom_at + _SELDOM_SECONDS:
            self._seldom_at = monotonic()
            self._seldom = {**_tried(_processes), **_tried(_open_files)}
        return {**self._seldom, **self._mounts.spaces(), **_tried(_uptime)}


def memory_mib() -> int:
    """The memory of this machine, or of the container that this process is confined to."""
    total = psutil.virtual_memory().total
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            total = min(total, int(Path(path).read_text()))
    return total // 2**20


def _tried(part: Callable[[], Sample]) -> Sample:
    """A kernel may lack a file, or a container hide it."""
    try:
        return part()
    except (OSError, ValueError, LookupError):
        return {}


def _busy(before: Times, now: Times) -> float | None:
    passed = now.all - before.all
    return 100 * max(0, now.busy - before.busy) / passed if passed > 0 else None


def _load() -> Sample:
    return kernel.load(files.read("/proc/loadavg"))


def _memory() -> Sample:
    return kernel.memory_mib(files.read("/proc/meminfo"))


def _processes() -> Sample:
    with os.scandir("/proc") as entries:
        return {"processes": sum(entry.name.isdigit() for entry in entries)}


def _open_files() -> Sample:
    """Of the whole machine."""
    return {"open_files": int(files.read("/proc/sys/fs/file-nr").split()[0])}


def _uptime() -> Sample:
    return {"uptime_seconds": float(files.read("/proc/uptime").split()[0])}


def _gpus(readings: Sequence[Reading]) -> Sample:
    return {
        f"gpu{reading.device.index}_{name}": number for reading in readings for name, number in reading.counters.items()
    }
