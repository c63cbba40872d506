"""GPUs that exist only in the bookkeeping, and behave so that a demo looks alive and a test can tell what to expect."""

from collections.abc import Sequence
from dataclasses import replace
from math import pi, sin
from time import time
from zlib import crc32

from levare.model import Device
from levare.written import simulated_devices
from worker.probe.reading import Reading
from worker.probe.tracked import Tracked

_IDLE_WATTS, _FULL_WATTS = 60.0, 700.0
_COOL_CELSIUS, _HOT_CELSIUS = 31.0, 78.0
_USED_PART = 0.8


class Simulated:
    """Devices of no machine. Each is idle, or busy while an attempt holds some of it."""

    is_simulated = True

    def __init__(self, node: str, described: str) -> None:
        self._devices = [
            Device(f"SIM-{node}-{index}", index, memory_mib, "Simulated GPU")
            for index, memory_mib in enumerate(simulated_devices(described))
        ]
        self._joules = {device.uuid: 0.0 for device in self._devices}
        self._read_at: float | None = None

    def devices(self) -> Sequence[Device]:
        return self._devices

    def readings(self, tracked: Sequence[Tracked]) -> list[Reading]:
        """An attempt uses 80% of what it holds, and its supervisor stands for its processes."""
        at = time()
        elapsed, self._read_at = max(0.0, at - (self._read_at or at)), at
        return [self._counted(_reading(device, tracked, at), elapsed) for device in self._devices]

    def _counted(self, reading: Reading, elapsed: float) -> Reading:
        """With the energy of all readings: the power of each for the time since the one before."""
        uuid = reading.device.uuid
        self._joules[uuid] += reading.counters["power_watts"] * elapsed
        return replace(reading, counters={**reading.counters, "energy_joules": self._joules[uuid]})

    def close(self) -> None:
        """There is nothing to close."""


def utilisation_percent(uuid: str, at: float) -> float:
    """A wave from 70 to 98%, slower or faster and earlier or later by UUID; the same in the same second."""
    seed = crc32(uuid.encode())
    period, phase = 20 + seed % 40, (seed >> 8) % 360 / 180 * pi
    return 84 + 14 * sin(2 * pi * int(at) / period + phase)


def _reading(device: Device, tracked: Sequence[Tracked], at: float) -> Reading:
    used = {
        one.supervisor_pid: round(one.devices[device.uuid] * _USED_PART)
        for one in tracked
        if device.uuid in one.devices
    }
    busy = utilisation_percent(device.uuid, at) if used else 0.0
    return Reading(
        device,
        {
            "utilisation_percent": busy,
            "memory_used_mib": sum(used.values()),
            "power_watts": _IDLE_WATTS + (_FULL_WATTS - _IDLE_WATTS) * busy / 100,
            "temperature_celsius": _COOL_CELSIUS + (_HOT_CELSIUS - _COOL_CELSIUS) * busy / 100,
        },
        used,
    )
