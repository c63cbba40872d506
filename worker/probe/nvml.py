"""
Reads the NVIDIA GPUs and prints a line of JSON a second, until nobody reads them.

A process of its own, because a call into a driver that is in trouble may never return: then
only this process hangs, and its parent (`worker.probe.nvidia`) ends it. A counter that a device
does not have is left out, and so is a device that has fallen off its bus.

    {"devices": [{"uuid", "index", "model", "memory_mib", "counters": {name: number}, "processes": {pid: MiB} | null}]}
    {"error": "why there are no GPUs"}      and exit status 3 if there will never be any
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

NEVER = 3
_MIB = 2**20


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
    devices = list(_devices(nvml))
    while True:
        _print({"devices": [_sample(nvml, handle, facts) for handle, facts in devices]})
        time.sleep(1)


def _devices(nvml: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    for index in range(nvml.nvmlDeviceGetCount()):
        facts = _known(nvml, lambda index=index: _facts(nvml, index))
        if facts:
            yield facts


def _facts(nvml: Any, index: int) -> tuple[Any, dict[str, Any]]:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    return handle, {
        "uuid": _text(nvml.nvmlDeviceGetUUID(handle)),
        "index": index,
        "model": _text(nvml.nvmlDeviceGetName(handle)),
        "memory_mib": nvml.nvmlDeviceGetMemoryInfo(handle).total // _MIB,
    }


def _sample(nvml: Any, handle: Any, facts: dict[str, Any]) -> dict[str, Any]:
    questions: dict[str, Callable[[], float]] = {
        "utilisation_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "memory_used_mib": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used / _MIB,
        "power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "energy_joules": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1000,
        "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
    }
    answers = {name: _known(nvml, question) for name, question in questions.items()}
    counters = {name: answer for name, answer in answers.items() if answer is not None}
    return {**facts, "counters": counters, "processes": _processes(nvml, handle)}


def _processes(nvml: Any, handle: Any) -> dict[int, int] | None:
    """A process that computes and draws stands in both lists with the same memory."""
    lists = (nvml.nvmlDeviceGetComputeRunningProcesses, nvml.nvmlDeviceGetGraphicsRunningProcesses)
    answers = [_known(nvml, lambda ask=ask: ask(handle)) for ask in lists]
    if all(answer is None for answer in answers):
        return None
    used: dict[int, int] = {}
    for process in (process for answer in answers for process in answer or ()):
        used[process.pid] = max(used.get(process.pid, 0), (process.usedGpuMemory or 0) // _MIB)
    return used


def _known(nvml: Any, question: Callable[[], Any]) -> Any:
    """The answer, or None where the device or the driver has none."""
    try:
        return question()
    except (nvml.NVMLError, AttributeError):  # an older driver or an older package lacks the function
        return None


def _text(text: str | bytes) -> str:
    return text.decode() if isinstance(text, bytes) else text


def _give_up(error: str, status: int) -> int:
    _print({"error": error})
    return status


def _print(line: dict[str, Any]) -> None:
    os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())
