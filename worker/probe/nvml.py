"""
Reads the NVIDIA GPUs and prints a line of JSON a second, until nobody reads them.

A process of its own, because a call into a driver that is in trouble may never return: then
only this process hangs, and its parent (`worker.probe.nvidia`) ends it. A counter that a device
does not have is left out, and so is a device that has fallen off its bus. What changes seldom, or
takes long to ask, is asked every 10 s, each device in a second of its own.

    {"devices": [{"uuid", "index", "model", "memory_mib", "counters": {name: number}, "processes": {pid: MiB} | null}]}
    {"error": "why there are no GPUs"}      and exit status 3 if there will never be any
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any

NEVER = 3
SLOW_SECONDS = 10
_MIB = 2**20
_MOST_EVENTS = 100
_POWER, _HEAT, _HARDWARE = 0x4 | 0x80, 0x20 | 0x40, 0x8  # bits of the reasons for which clocks are held down

Counters = dict[str, float]
Question = Callable[[], Any]


def main() -> int:
    try:
        nvml: Any = import_module("pynvml")
    except ImportError as error:
        return _give_up(f"the package nvidia-ml-py cannot be loaded: {error}", NEVER)
    try:
        nvml.nvmlInit()
        _report(nvml)
    except BrokenPipeError:
        return 0
    except nvml.NVMLError as error:
        return _give_up(f"NVML: {error}", NEVER if isinstance(error, nvml.NVMLError_LibraryNotFound) else 1)
    return 0


def _report(nvml: Any) -> None:
    cards = [card for index in range(nvml.nvmlDeviceGetCount()) if (card := _card(nvml, index))]
    turn = 0
    while True:
        begin = time.monotonic()
        _print({"devices": [card.sample(turn) for card in cards]})
        turn += 1
        time.sleep(max(0.0, 1 - (time.monotonic() - begin)))


def _card(nvml: Any, index: int) -> "Card | None":
    return _known(nvml, lambda: Card(nvml, index))


class Card:
    """One device: what it is, and what it counts. What it refuses is left out, and nothing else with it."""

    def __init__(self, nvml: Any, index: int) -> None:
        self._nvml, self._index = nvml, index
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)
        self._facts = {
            "uuid": _text(nvml.nvmlDeviceGetUUID(self._handle)),
            "index": index,
            "model": _text(nvml.nvmlDeviceGetName(self._handle)),
            "memory_mib": nvml.nvmlDeviceGetMemoryInfo(self._handle).total // _MIB,
        }
        self._slow: Counters = {}
        self._counted: dict[int, tuple[int, float]] = {}
        self._xids = Xids(nvml, self._handle)

    def sample(self, turn: int) -> dict[str, Any]:
        """What it says now; in its own turn of ten also what is asked seldom, which holds until the next."""
        fields = self._fields()
        if turn == 0 or (turn + self._index) % SLOW_SECONDS == 0:
            self._slow = self._answers(self._seldom())
        processes = self._processes()
        counters = {**self._answers(self._often()), **self._slow, **fields, **self._xids.counters()}
        if processes is not None:
            counters["processes"] = len(processes)
        return {**self._facts, "counters": counters, "processes": processes}

    def _often(self) -> Iterator[tuple[str, Question]]:
        nvml, of = self._nvml, self._handle
        yield "utilisation", lambda: _busy(nvml.nvmlDeviceGetUtilizationRates(of))
        yield "memory", lambda: _memory(nvml.nvmlDeviceGetMemoryInfo(of))
        yield "power_watts", lambda: nvml.nvmlDeviceGetPowerUsage(of) / 1000
        yield "energy_joules", lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(of) / 1000
        yield "temperature_celsius", lambda: nvml.nvmlDeviceGetTemperature(of, nvml.NVML_TEMPERATURE_GPU)
        yield "sm_clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(of, nvml.NVML_CLOCK_SM)
        yield "memory_clock_mhz", lambda: nvml.nvmlDeviceGetClockInfo(of, nvml.NVML_CLOCK_MEM)
        yield "throttling", lambda: _throttling(self._reasons())

    def _seldom(self) -> Iterator[tuple[str, Question]]:
        nvml, of = self._nvml, self._handle
        yield "power_limit_watts", lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(of) / 1000
        yield "performance_state", lambda: _state(nvml.nvmlDeviceGetPerformanceState(of))
        yield "fan_percent", lambda: nvml.nvmlDeviceGetFanSpeed(of)
        yield "ecc_corrected", lambda: self._ecc(nvml.NVML_MEMORY_ERROR_TYPE_CORRECTED)
        yield "ecc_uncorrected", lambda: self._ecc(nvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED)
        yield "pcie_generation", lambda: nvml.nvmlDeviceGetCurrPcieLinkGeneration(of)
        yield "pcie_width", lambda: nvml.nvmlDeviceGetCurrPcieLinkWidth(of)
        yield "encoder_percent", lambda: nvml.nvmlDeviceGetEncoderUtilization(of)[0]
        yield "decoder_percent", lambda: nvml.nvmlDeviceGetDecoderUtilization(of)[0]
        if not self._counted:  # it takes 20 ms each, so only where the device does not count bytes
            yield "pcie_sent_mib_per_second", lambda: self._pcie(nvml.NVML_PCIE_UTIL_TX_BYTES)
            yield "pcie_received_mib_per_second", lambda: self._pcie(nvml.NVML_PCIE_UTIL_RX_BYTES)

    def _fields(self) -> Counters:
        """What newer drivers tell in one question."""
        values: Mapping[int, float] = _known(self._nvml, self._field_values) or {}
        nvml, at = self._nvml, time.monotonic()
        found: Counters = {}
        hot = values.get(getattr(nvml, "NVML_FI_DEV_MEMORY_TEMP", -1))
        if hot:
            found["memory_temperature_celsius"] = hot
        for name, way in (("sent", "TX"), ("received", "RX")):
            field = getattr(nvml, f"NVML_FI_DEV_PCIE_COUNT_{way}_BYTES", -1)
            if field in values:
                found |= self._rate(f"pcie_{name}_mib_per_second", field, int(values[field]), at)
        return found

    def _field_values(self) -> dict[int, float]:
        nvml = self._nvml
        names = ("MEMORY_TEMP", "PCIE_COUNT_TX_BYTES", "PCIE_COUNT_RX_BYTES")
        wanted = [field for name in names if (field := getattr(nvml, f"NVML_FI_DEV_{name}", None)) is not None]
        answers = nvml.nvmlDeviceGetFieldValues(self._handle, wanted)
        return {each.fieldId: _value(each) for each in answers if each.nvmlReturn == 0}

    def _rate(self, name: str, field: int, count: int, at: float) -> Counters:
        before, then = self._counted.get(field, (count, at))
        self._counted[field] = (count, at)
        return {name: (count - before) / _MIB / (at - then)} if at > then and count >= before else {}

    def _reasons(self) -> int:
        """As drivers before 535 called it, too."""
        nvml = self._nvml
        new, old = "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"
        try:
            return getattr(nvml, new)(self._handle)
        except (nvml.NVMLError, AttributeError):
            return getattr(nvml, old)(self._handle)

    def _ecc(self, kind: int) -> int:
        return self._nvml.nvmlDeviceGetTotalEccErrors(self._handle, kind, self._nvml.NVML_VOLATILE_ECC)

    def _pcie(self, way: int) -> float:
        return self._nvml.nvmlDeviceGetPcieThroughput(self._handle, way) / 1024

    def _answers(self, questions: Iterator[tuple[str, Question]]) -> Counters:
        found: Counters = {}
        for name, question in questions:
            answer = _known(self._nvml, question)
            if answer is not None:
                found |= answer if isinstance(answer, dict) else {name: answer}
        return found

    def _processes(self) -> dict[int, int] | None:
        """A process that computes and draws stands in both lists with the same memory."""
        nvml = self._nvml
        names = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetGraphicsRunningProcesses")
        answers = [_known(nvml, lambda name=name: getattr(nvml, name)(self._handle)) for name in names]
        if all(answer is None for answer in answers):
            return None
        used: dict[int, int] = {}
        for process in (process for answer in answers for process in answer or ()):
            used[process.pid] = max(used.get(process.pid, 0), (process.usedGpuMemory or 0) // _MIB)
        return used


class Xids:
    """Errors that the driver reports of a device, since this process began: how many, and the number of the last."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml = nvml
        self._events = _known(nvml, lambda: self._registered(handle))
        self._count, self._last = 0, 0

    def counters(self) -> Counters:
        """Empty where the driver does not report them."""
        if self._events is None:
            return {}
        for _ in range(_MOST_EVENTS):
            event = _known(self._nvml, lambda: self._nvml.nvmlEventSetWait_v2(self._events, 0))
            if event is None:
                break
            self._count, self._last = self._count + 1, int(event.eventData)
        return {"xid_errors": self._count, "xid": self._last}

    def _registered(self, handle: Any) -> Any:
        events = self._nvml.nvmlEventSetCreate()
        self._nvml.nvmlDeviceRegisterEvents(handle, self._nvml.nvmlEventTypeXidCriticalError, events)
        return events


def _busy(rates: Any) -> Counters:
    memory = getattr(rates, "memory", None)
    return {"utilisation_percent": rates.gpu} | ({} if memory is None else {"memory_utilisation_percent": memory})


def _memory(info: Any) -> Counters:
    return {"memory_used_mib": info.used / _MIB, "memory_total_mib": info.total / _MIB}


def _throttling(reasons: int) -> Counters:
    """The bits as they come, and in percent of the time, which is all or nothing of a second, what held it down."""
    return {
        "throttle_reasons": reasons,
        "throttled_by_power_percent": 100 * bool(reasons & _POWER),
        "throttled_by_heat_percent": 100 * bool(reasons & _HEAT),
        "throttled_by_hardware_percent": 100 * bool(reasons & _HARDWARE),
    }


def _state(state: int) -> int | None:
    """From 0, the fastest, to 15; a device that does not know its state says 32."""
    return state if 0 <= state < 16 else None  # noqa: PLR2004 - there are sixteen


def _value(field: Any) -> float:
    """A field says which member of its union holds: double, unsigned int, long, long long, and signed ones."""
    members = ("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal")
    return getattr(field.value, members[field.valueType])


def _known(nvml: Any, question: Question) -> Any:
    """The answer, or None where the device or the driver has none."""
    try:
        return question()
    except (nvml.NVMLError, AttributeError, TypeError, ValueError, IndexError):
        return None  # an older driver or an older package lacks the function, or gives less than it should


def _text(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text


def _give_up(error: str, status: int) -> int:
    _print({"error": error})
    return status


def _print(line: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
