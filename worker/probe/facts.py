"""What this machine offers to the fleet."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from levare.model import Device
from levare.settings import Settings
from levare.written import gpu_label
from worker.probe.machine import memory_mib
from worker.probe.nvidia import Nvidia
from worker.probe.simulated import Simulated

Gpus = Nvidia | Simulated


@dataclass(frozen=True)
class Facts:
    cpus: int
    memory_mib: int
    devices: Sequence[Device]
    is_simulated: bool
    """Whether the devices are."""
    labels: Mapping[str, str]
    scratch_mib: int


def gpus(settings: Settings) -> Gpus:
    """The GPUs of this machine that the node offers; with LEVARE_SIMULATED_GPUS those instead."""
    simulated = settings.simulated_gpus
    return Simulated(settings.node, simulated) if simulated else Nvidia(only=settings.gpus)


def facts(settings: Settings, found: Gpus) -> Facts:
    """What the node offers: as set, or else as found. Waits for real GPUs, a minute at most."""
    devices, memory = found.devices(), settings.memory_mib or memory_mib()
    return Facts(settings.cpus, memory, devices, found.is_simulated, labels(settings, devices), scratch_mib(settings))


def labels(settings: Settings, devices: Sequence[Device]) -> Mapping[str, str]:
    """Those that are set, and `node` and, where there is one, `gpu`: the model of the first, as a label may be."""
    return {**settings.labels, "node": settings.node, **gpu_label([device.model for device in devices])}


def scratch_mib(settings: Settings) -> int:
    """Disk space for jobs: as set, or else what is free now where LEVARE_HOME lies."""
    if settings.scratch_mib is not None:
        return settings.scratch_mib
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return shutil.disk_usage(settings.home).free >> 20
