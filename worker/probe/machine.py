"""The machine as a whole: CPU, memory, disks, network, and its GPUs as far as they are read."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

import psutil

from worker.probe.rates import Rates
from worker.probe.reading import Reading

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


class Machine:
    """Samples the machine. CPU and rates are those since the last sample. Not for several threads at once."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._rates = Rates()
        self.sample(())

    def sample(self, readings: Sequence[Reading]) -> dict[str, float]:
        memory = psutil.virtual_memory()
        numbers = {
            "cpu_percent": psutil.cpu_percent(None),
            "load_1m": os.getloadavg()[0],
            "memory_used_mib": (memory.total - memory.available) / 2**20,
            "memory_total_mib": memory.total / 2**20,
            "swap_used_mib": psutil.swap_memory().used / 2**20,
            **self._disk(),
            **self._traffic(),
            **_gpus(readings),
        }
        return {name: round(number, 2) for name, number in numbers.items()}

    def _disk(self) -> dict[str, float]:
        """Of the mount that holds LEVARE_HOME; free is what an ordinary user may still fill."""
        usage = psutil.disk_usage(str(_existing(self._home)))
        return {"disk_free_gib": usage.free / 2**30, "disk_used_percent": usage.percent}

    def _traffic(self) -> dict[str, float]:
        at = monotonic()
        rates = {name: self._rates.per_second("machine", name, mib, at) for name, mib in _totals_mib().items()}
        return {f"{name}_mib_per_second": rate for name, rate in rates.items() if rate is not None}


def memory_mib() -> int:
    """The memory of this machine, or of the container that this process is confined to."""
    total = psutil.virtual_memory().total
    for path in _LIMITS:
        with suppress(OSError, ValueError):
            total = min(total, int(Path(path).read_text()))
    return total // 2**20


def _totals_mib() -> dict[str, float]:
    disks = psutil.disk_io_counters(nowrap=False)
    cards = [card for name, card in psutil.net_io_counters(pernic=True, nowrap=False).items() if name != "lo"]
    totals = {
        "network_in": sum(card.bytes_recv for card in cards),
        "network_out": sum(card.bytes_sent for card in cards),
    }
    if disks:
        totals |= {"disk_read": disks.read_bytes, "disk_write": disks.write_bytes}
    return {name: count / 2**20 for name, count in totals.items()}


def _gpus(readings: Sequence[Reading]) -> dict[str, float]:
    return {
        f"gpu{reading.device.index}_{name}": number for reading in readings for name, number in reading.counters.items()
    }


def _existing(path: Path) -> Path:
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())
