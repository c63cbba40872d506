"""What is read of NVIDIA GPUs, over an NVML that is made up: all counters, and any of them refused."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from worker.probe import nvml
from worker.probe.nvml import Card

MIB = 2**20


class NvmlError(Exception):
    pass


def lacking(*_: Any) -> Any:
    raise NvmlError("Not Supported")


def a_field(field: int, value: float, kind: int, code: int = 0) -> SimpleNamespace:
    members = dict.fromkeys(("dVal", "uiVal", "ulVal", "ullVal", "sllVal", "siVal", "usVal"), 0)
    named = list(members)[kind]
    return SimpleNamespace(
        fieldId=field, nvmlReturn=code, valueType=kind, value=SimpleNamespace(**members | {named: value})
    )


class FakeNvml(SimpleNamespace):
    """A healthy device that has everything; what is asked of it is in `asked`."""

    NVMLError = NvmlError
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    NVML_MEMORY_ERROR_TYPE_CORRECTED, NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 0, 1, 0
    NVML_PCIE_UTIL_TX_BYTES, NVML_PCIE_UTIL_RX_BYTES = 0, 1
    NVML_FI_DEV_MEMORY_TEMP, NVML_FI_DEV_PCIE_COUNT_TX_BYTES, NVML_FI_DEV_PCIE_COUNT_RX_BYTES = 82, 197, 198

    def __init__(self) -> None:
        self.bytes = 0
        self.xids = [79, 48]
        answers: dict[str, Callable[..., Any]] = {
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetUUID": lambda of: f"GPU-{of}".encode(),
            "nvmlDeviceGetName": lambda _: "NVIDIA Test",
            "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=80 * 2**30, used=3 * 2**30),
            "nvmlDeviceGetUtilizationRates": lambda _: SimpleNamespace(gpu=55, memory=20),
            "nvmlDeviceGetPowerUsage": lambda _: 350_000,
            "nvmlDeviceGetEnforcedPowerLimit": lambda _: 700_000,
            "nvmlDeviceGetTotalEnergyConsumption": lambda _: 7500,
            "nvmlDeviceGetTemperature": lambda *_: 41,
            "nvmlDeviceGetClockInfo": lambda _, clock: {1: 1980, 2: 2619}[clock],
            "nvmlDeviceGetCurrentClocksEventReasons": lambda _: 0x4 | 0x20,
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _: 0x8,
            "nvmlDeviceGetPerformanceState": lambda _: 0,
            "nvmlDeviceGetFanSpeed": lambda _: 33,
            "nvmlDeviceGetTotalEccErrors": lambda _, kind, __: 5 - 3 * kind,
            "nvmlDeviceGetCurrPcieLinkGeneration": lambda _: 5,
            "nvmlDeviceGetCurrPcieLinkWidth": lambda _: 16,
            "nvmlDeviceGetEncoderUtilization": lambda _: [3, 1000],
            "nvmlDeviceGetDecoderUtilization": lambda _: [4, 1000],
            "nvmlDeviceGetPcieThroughput": lambda _, way: 1024 * (7 + way),
            "nvmlDeviceGetFieldValues": lambda _, fields: self.fields(fields),
            "nvmlDeviceGetComputeRunningProcesses": lambda _: [
                SimpleNamespace(pid=7, usedGpuMemory=2**30),
                SimpleNamespace(pid=8, usedGpuMemory=None),
            ],
            "nvmlDeviceGetGraphicsRunningProcesses": lambda _: [SimpleNamespace(pid=7, usedGpuMemory=2**30)],
            "nvmlEventSetCreate": lambda: "events",
            "nvmlDeviceRegisterEvents": lambda *_: None,
            "nvmlEventSetWait_v2": lambda *_: SimpleNamespace(eventData=self.xids.pop(0)) if self.xids else lacking(),
        }
        super().__init__(**answers, nvmlEventTypeXidCriticalError=8)
        self.questions = sorted(answers)

    def fields(self, wanted: list[int]) -> list[SimpleNamespace]:
        self.bytes += 10 * MIB
        values = {82: a_field(82, 66, 1), 197: a_field(197, self.bytes, 3), 198: a_field(198, 2 * self.bytes, 3)}
        return [values[field] for field in wanted]


TOLD_BY = {
    "nvmlDeviceGetUtilizationRates": {"utilisation_percent", "memory_utilisation_percent"},
    "nvmlDeviceGetPowerUsage": {"power_watts"},
    "nvmlDeviceGetEnforcedPowerLimit": {"power_limit_watts"},
    "nvmlDeviceGetTotalEnergyConsumption": {"energy_joules"},
    "nvmlDeviceGetTemperature": {"temperature_celsius"},
    "nvmlDeviceGetClockInfo": {"sm_clock_mhz", "memory_clock_mhz"},
    "nvmlDeviceGetCurrentClocksEventReasons": set(),  # the older name serves
    "nvmlDeviceGetCurrentClocksThrottleReasons": set(),  # the newer name serves
    "nvmlDeviceGetPerformanceState": {"performance_state"},
    "nvmlDeviceGetFanSpeed": {"fan_percent"},
    "nvmlDeviceGetTotalEccErrors": {"ecc_corrected", "ecc_uncorrected"},
    "nvmlDeviceGetCurrPcieLinkGeneration": {"pcie_generation"},
    "nvmlDeviceGetCurrPcieLinkWidth": {"pcie_width"},
    "nvmlDeviceGetEncoderUtilization": {"encoder_percent"},
    "nvmlDeviceGetDecoderUtilization": {"decoder_percent"},
    "nvmlDeviceGetPcieThroughput": set(),  # the device counts its bytes
    "nvmlDeviceGetFieldValues": {"memory_temperature_celsius"},  # PCIe is asked otherwise
    "nvmlDeviceGetComputeRunningProcesses": set(),
    "nvmlDeviceGetGraphicsRunningProcesses": set(),
    "nvmlEventSetCreate": {"xid", "xid_errors"},
    "nvmlDeviceRegisterEvents": {"xid", "xid_errors"},
    "nvmlEventSetWait_v2": set(),  # nothing has happened
}


def counters(fake: FakeNvml) -> dict[str, float]:
    """Of the second sample, for what is of a time needs a time."""
    card = Card(fake, 0)
    card.sample(0)
    return card.sample(1)["counters"]


def test_all_that_is_promised_of_a_gpu_is_read() -> None:
    found = counters(FakeNvml())

    assert found.pop("pcie_sent_mib_per_second") > 0
    assert found.pop("pcie_received_mib_per_second") > 0
    assert found == {
        "utilisation_percent": 55,
        "memory_utilisation_percent": 20,
        "memory_used_mib": 3072,
        "memory_total_mib": 81920,
        "power_watts": 350,
        "power_limit_watts": 700,
        "energy_joules": 7.5,
        "temperature_celsius": 41,
        "memory_temperature_celsius": 66,
        "sm_clock_mhz": 1980,
        "memory_clock_mhz": 2619,
        "fan_percent": 33,
        "performance_state": 0,
        "throttle_reasons": 0x24,
        "throttled_by_power_percent": 100,
        "throttled_by_heat_percent": 100,
        "throttled_by_hardware_percent": 0,
        "ecc_corrected": 5,
        "ecc_uncorrected": 2,
        "pcie_generation": 5,
        "pcie_width": 16,
        "encoder_percent": 3,
        "decoder_percent": 4,
        "xid_errors": 2,
        "xid": 48,
        "processes": 2,
    }


@pytest.mark.parametrize("refused", sorted(TOLD_BY))
@pytest.mark.parametrize("how", ["not supported", "no such function"])
def test_a_counter_that_is_refused_drops_no_other(refused: str, how: str) -> None:
    whole, fake = counters(FakeNvml()), FakeNvml()
    setattr(fake, refused, lacking) if how == "not supported" else delattr(fake, refused)

    assert whole.keys() - counters(fake).keys() == TOLD_BY[refused]


def test_every_question_that_may_be_refused_is_refused_in_a_test() -> None:
    identity = {f"nvmlDeviceGet{name}" for name in ("HandleByIndex", "UUID", "Name", "MemoryInfo")}

    assert set(FakeNvml().questions) == TOLD_BY.keys() | identity


def test_a_field_that_is_refused_drops_no_other() -> None:
    fake = FakeNvml()
    whole = fake.fields
    fake.fields = lambda wanted: [  # pyright: ignore[reportAttributeAccessIssue]
        SimpleNamespace(**vars(each) | {"nvmlReturn": 3 if each.fieldId == 197 else 0}) for each in whole(wanted)
    ]

    found = counters(fake)

    assert {"memory_temperature_celsius", "pcie_received_mib_per_second"} <= found.keys()
    assert "pcie_sent_mib_per_second" not in found


def test_a_device_that_does_not_count_its_bytes_is_asked_for_its_throughput() -> None:
    fake = FakeNvml()
    fake.nvmlDeviceGetFieldValues = lacking

    found = counters(fake)

    assert (found["pcie_sent_mib_per_second"], found["pcie_received_mib_per_second"]) == (7, 8)


def test_what_is_asked_seldom_holds_until_it_is_asked_again() -> None:
    fake = FakeNvml()
    card = Card(fake, 3)
    card.sample(0)
    fake.nvmlDeviceGetFanSpeed = lambda _: 99

    fans = [card.sample(turn)["counters"]["fan_percent"] for turn in range(1, 12)]

    assert fans == [33] * 6 + [99] * 5  # the fourth device has its turn in the seventh second


def test_a_process_that_computes_and_draws_counts_once() -> None:
    assert Card(FakeNvml(), 0).sample(0)["processes"] == {7: 1024, 8: 0}


def test_where_nobody_may_see_processes_that_is_said() -> None:
    fake = FakeNvml()
    fake.nvmlDeviceGetComputeRunningProcesses = fake.nvmlDeviceGetGraphicsRunningProcesses = lacking

    sample = Card(fake, 0).sample(0)

    assert sample["processes"] is None
    assert "processes" not in sample["counters"]


FAKE_PYNVML = """
class NVMLError(Exception): pass
class NVMLError_LibraryNotFound(NVMLError): pass

class Memory: total, used = 80 * 2**30, 3 * 2**30

def nvmlInit(): {init}
def nvmlDeviceGetCount(): return 3
def nvmlDeviceGetHandleByIndex(index):
    if index == 1: raise NVMLError("GPU is lost")
    return index
def nvmlDeviceGetUUID(handle): return f"GPU-{{handle}}".encode()
def nvmlDeviceGetName(handle): return "NVIDIA Test"
def nvmlDeviceGetMemoryInfo(handle): return Memory
"""


def said_by_nvml(folder: Path, init: str) -> tuple[dict, int | None]:
    (folder / "pynvml.py").write_text(FAKE_PYNVML.format(init=init))
    command = [sys.executable, "-P", str(Path(nvml.__file__))]
    with subprocess.Popen(command, env={"PYTHONPATH": str(folder)}, stdout=subprocess.PIPE) as child:
        assert child.stdout
        line = json.loads(child.stdout.readline())
        if "error" not in line:
            child.kill()
        return line, child.wait(10)


def test_a_gpu_that_has_fallen_off_its_bus_drops_no_other(tmp_path: Path) -> None:
    line, _ = said_by_nvml(tmp_path, "pass")

    assert line["devices"][0] == {
        "uuid": "GPU-0",
        "index": 0,
        "model": "NVIDIA Test",
        "memory_mib": 81920,
        "counters": {"memory_used_mib": 3072.0, "memory_total_mib": 81920.0},
        "processes": None,
    }
    assert [device["uuid"] for device in line["devices"]] == ["GPU-0", "GPU-2"]


def test_a_machine_without_nvml_is_told_from_one_in_trouble(tmp_path: Path) -> None:
    assert said_by_nvml(tmp_path, "raise NVMLError_LibraryNotFound('not found')") == (
        {"error": "NVML: not found"},
        nvml.NEVER,
    )
    assert said_by_nvml(tmp_path, "raise NVMLError('driver mismatch')") == ({"error": "NVML: driver mismatch"}, 1)
