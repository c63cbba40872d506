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
_IS_IDLE = 1  # the bit of the reason why clocks are low


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
    return Reading(device, _counters(device, sum(used.values()), busy, len(used)), used)


def _counters(device: Device, used_mib: int, busy: float, processes: int) -> dict[str, float]:
    """All that a real one counts, healthy, and as busy as that."""
    load = busy / 100
    return {
        "utilisation_percent": busy,
        "memory_utilisation_percent": busy * 0.6,
        "memory_used_mib": used_mib,
        "memory_total_mib": device.memory_mib,
        "power_watts": _IDLE_WATTS + (_FULL_WATTS - _IDLE_WATTS) * load,
        "power_limit_watts": _FULL_WATTS,
        "temperature_celsius": _COOL_CELSIUS + (_HOT_CELSIUS - _COOL_CELSIUS) * load,
        "memory_temperature_celsius": _COOL_CELSIUS + (_HOT_CELSIUS - _COOL_CELSIUS) * load * 1.1,
        "sm_clock_mhz": 345 + 1635 * (busy > 0),
        "memory_clock_mhz": 2619 if busy else 1593,
        "fan_percent": 30 + 50 * load,
        "performance_state": 0 if busy else 8,
        "throttle_reasons": 0 if busy else _IS_IDLE,
        "throttled_by_power_percent": 0,
        "throttled_by_heat_percent": 0,
        "throttled_by_hardware_percent": 0,
        "ecc_corrected": 0,
        "ecc_uncorrected": 0,
        "pcie_sent_mib_per_second": 900 * load,
        "pcie_received_mib_per_second": 2400 * load,
        "pcie_generation": 5,
        "pcie_width": 16,
        "encoder_percent": 0,
        "decoder_percent": 0,
        "xid_errors": 0,
        "xid": 0,
        "processes": processes,
    }
