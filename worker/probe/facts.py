"""What this machine offers to the fleet."""

from collections.abc import Sequence
from dataclasses import dataclass

from levare.model import Device
from levare.settings import Settings
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


def gpus(settings: Settings) -> Gpus:
    """The GPUs of this machine; with LEVARE_SIMULATED_GPUS those instead."""
    return Simulated(settings.node, settings.simulated_gpus) if settings.simulated_gpus else Nvidia()


def facts(settings: Settings, found: Gpus) -> Facts:
    """What the node offers: as set, or else as found. Waits for real GPUs, a minute at most."""
    return Facts(settings.cpus, settings.memory_mib or memory_mib(), found.devices(), found.is_simulated)
