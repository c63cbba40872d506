"""What this machine offers to the fleet."""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from levare.model import Device
from levare.settings import Settings
from worker.probe.machine import memory_mib
from worker.probe.nvidia import Nvidia
from worker.probe.simulated import Simulated

Gpus = Nvidia | Simulated

_LONGEST_LABEL = 63


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
    """The GPUs of this machine; with LEVARE_SIMULATED_GPUS those instead."""
    return Simulated(settings.node, settings.simulated_gpus) if settings.simulated_gpus else Nvidia()


def facts(settings: Settings, found: Gpus) -> Facts:
    """What the node offers: as set, or else as found. Waits for real GPUs, a minute at most."""
    devices, memory = found.devices(), settings.memory_mib or memory_mib()
    return Facts(settings.cpus, memory, devices, found.is_simulated, labels(settings, devices), scratch_mib(settings))


def labels(settings: Settings, devices: Sequence[Device]) -> Mapping[str, str]:
    """Those that are set, and `node` and, where there is one, `gpu`: the model of the first, as a label may be."""
    model = re.sub(r"[^a-z0-9._-]+", "-", devices[0].model.lower()).strip("._-") if devices else ""
    own = {"gpu": model[:_LONGEST_LABEL]} if model else {}
    return {**settings.labels, "node": settings.node, **own}


def scratch_mib(settings: Settings) -> int:
    """Disk space for jobs: as set, or else what is free now where LEVARE_HOME lies."""
    if settings.scratch_mib is not None:
        return settings.scratch_mib
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    return shutil.disk_usage(settings.home).free >> 20
