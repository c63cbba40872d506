"""Every counter that a sample may have, and what it means; units are in names, rates are since the sample before."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from typing import NamedTuple

NODE: Mapping[str, str] = {
    "cpu_percent": "How busy all CPUs are together; waiting for a disk is not being busy.",
    "cpu_busiest_percent": "How busy the busiest CPU is.",
    "load_1m": "Threads that ran or wanted to, on average over a minute.",
    "load_5m": "The same over five minutes.",
    "load_15m": "The same over a quarter of an hour.",
    "memory_used_mib": "Memory that is not available.",
    "memory_available_mib": "Memory that programs can still have without swapping.",
    "memory_cached_mib": "Memory that holds parts of files and is given back when it is wanted.",
    "memory_total_mib": "Memory in all.",
    "swap_used_mib": "Swap space in use.",
    "swap_total_mib": "Swap space in all.",
    "disk_free_gib": "Free space on the mount that holds LEVARE_HOME.",
    "disk_used_percent": "Used space there.",
    "disk_read_mib_per_second": "Read from all disks.",
    "disk_write_mib_per_second": "Written to all disks.",
    "network_in_mib_per_second": "Received by all network cards but the loopback one.",
    "network_out_mib_per_second": "Sent by them.",
    "network_errors_per_second": "Packets with errors, in and out.",
    "network_drops_per_second": "Packets that were dropped, in and out.",
    "processes": "Processes on the machine; counted every 10 s.",
    "threads": "Threads on the machine, those of the kernel included.",
    "open_files": "Open files on the machine; counted every 10 s.",
    "uptime_seconds": "Since the machine was started.",
    "heart_milliseconds": "CPU time that the sample before this one took to measure and to send.",
    "claims": "Attempts that this worker has tried to claim since it started.",
    "claims_refused": "Those of them that were not its own to start, any more or at all.",
    "samples_waiting": "Down-sampled rows that wait for SQL.",
}
"""Of a machine."""

MOUNT: Mapping[str, str] = {
    "mount_free_gib": "Free space of a mount; looked at every 10 s.",
    "mount_used_percent": "Used space of a mount.",
    "mount_read_mib_per_second": "Read from the disk of a mount; a file server has none.",
    "mount_write_mib_per_second": "Written to it.",
}
"""Of each mount of a machine, the path behind a colon: `mount_free_gib:/data`."""

CORE = "cpu{N}_percent"
"""Of each CPU, in Redis only."""

GPU: Mapping[str, str] = {
    "utilisation_percent": "Part of the time in which anything ran on it.",
    "memory_utilisation_percent": "Part of the time in which its memory was read or written.",
    "memory_used_mib": "Its memory in use.",
    "memory_total_mib": "Its memory in all.",
    "power_watts": "What it draws.",
    "power_limit_watts": "What it may draw.",
    "energy_joules": "What it has consumed since its driver was loaded.",
    "temperature_celsius": "Of the chip.",
    "memory_temperature_celsius": "Of its memory, where there is a sensor.",
    "sm_clock_mhz": "Clock of its multiprocessors.",
    "memory_clock_mhz": "Clock of its memory.",
    "fan_percent": "Speed of its fan, where it has one.",
    "performance_state": "0 is the fastest, 15 the slowest.",
    "throttle_reasons": "Bits of NVML's clock event reasons; live only.",
    "throttled_by_power_percent": "Part of the time in which its clocks were held down to save power.",
    "throttled_by_heat_percent": "Part of the time in which they were held down because it is hot.",
    "throttled_by_hardware_percent": "Part of the time in which the hardware held them down.",
    "ecc_corrected": "Memory errors that were corrected, since its driver was loaded.",
    "ecc_uncorrected": "Memory errors that were not.",
    "pcie_sent_mib_per_second": "Sent by it over PCIe.",
    "pcie_received_mib_per_second": "Received by it over PCIe.",
    "pcie_generation": "Of its link at present.",
    "pcie_width": "Lanes of its link at present.",
    "encoder_percent": "How busy its video encoder is.",
    "decoder_percent": "How busy its video decoder is.",
    "xid_errors": "Errors that its driver has reported since the worker started.",
    "xid": "Number of the last of them; 0 for none.",
    "processes": "Processes that use it.",
}
"""Of each GPU of a machine, by its index: `gpu0_power_watts`. What a GPU does not tell is left out."""

ATTEMPT: Mapping[str, str] = {
    "cpu_percent": "CPU time of its processes; 100 is one CPU.",
    "memory_mib": "Memory of its processes; what they share counts once.",
    "processes": "Processes below its supervisor.",
    "threads": "Their threads.",
    "open_files": "Their open files; counted every 10 s.",
    "read_mib_per_second": "What they read from disks.",
    "write_mib_per_second": "What they write to disks.",
    "gpu_utilisation_percent": "How busy its GPUs are, on average.",
    "gpu_memory_utilisation_percent": "How busy their memory is, on average.",
    "gpu_memory_mib": "What its own processes use of their memory.",
    "gpu_power_watts": "What its GPUs draw; of a shared one, its part.",
    "gpu_temperature_celsius": "Of the hottest of its GPUs.",
    "gpu_throttled_percent": "Part of the time in which the clocks of its GPUs were held down.",
    "energy_joules": "What its GPUs have consumed for it; of a shared one, its part.",
}
"""Of an attempt: its own processes and its own GPUs."""


class Parts(NamedTuple):
    """A name of a node's sample: the counter, and of which GPU, CPU or mount it is."""

    counter: str
    gpu: int | None = None
    core: int | None = None
    mount: str | None = None


def parts(name: str) -> Parts:
    """Take the name of a counter of a node apart."""
    counter, colon, mount = name.partition(":")
    if colon:
        return Parts(counter, mount=mount)
    numbered = _NUMBERED.fullmatch(name)
    if not numbered:
        return Parts(name)
    kind, number, rest = numbered.groups()
    return Parts(rest, gpu=int(number)) if kind == "gpu" else Parts(f"core_{rest}", core=int(number))


def is_of_node(pattern: str) -> bool:
    """Whether a node may ever tell a counter of such a name, in which `*` and `?` stand for anything."""
    before, slash, _ = pattern.partition("/")
    of_mount = before + "*" if slash else pattern
    return any(fnmatchcase(name, pattern) for name in _names()) or any(fnmatchcase(f"{n}:/", of_mount) for n in MOUNT)


def nearest(pattern: str) -> Sequence[str]:
    """The counter of a node that looks most like this, if one does."""
    known = [*NODE, *(f"{name}:*" for name in MOUNT), *(f"gpu*_{name}" for name in GPU), CORE.replace("{N}", "*")]
    return get_close_matches(re.sub(r"^(gpu|cpu)\d+_", r"\1*_", pattern), known, 1)


@cache
def _names() -> Sequence[str]:
    gpus = (f"gpu{number}_{name}" for number in range(_MOST_GPUS) for name in GPU)
    return (*NODE, *gpus, *(CORE.format(N=number) for number in range(_MOST_CORES)))


_MOST_GPUS, _MOST_CORES = 64, 1024
_NUMBERED = re.compile(r"(gpu|cpu)(\d+)_(.+)")
