"""
Reads every counter of the real NVIDIA GPUs of this machine, idle and under load, and says which are missing or odd.

For a machine with a GPU, without a network: `python benchmarks/nvml_check.py [--seconds 20] [--json]` needs this
checkout and the package nvidia-ml-py. The load is PyTorch's if that is there, else a few lines of CUDA through the
driver's own library, which every machine with a GPU has. Exit status 1 if a counter that every data-centre GPU has is
missing or implausible.
"""

import argparse
import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROBE = ROOT / "worker" / "probe" / "nvml.py"
MAY_LACK = {"fan_percent", "encoder_percent", "decoder_percent", "memory_temperature_celsius", "ecc_corrected"}
MAY_LACK |= {"ecc_uncorrected", "xid", "xid_errors", "processes"}
"""What some models or containers do not tell: passive cards have no fan, and ECC may be off."""
PLAUSIBLE = {
    "utilisation_percent": (0, 100),
    "memory_utilisation_percent": (0, 100),
    "memory_used_mib": (0, 1 << 20),
    "memory_total_mib": (1024, 1 << 20),
    "power_watts": (5, 1500),
    "power_limit_watts": (50, 1500),
    "energy_joules": (1, 1e12),
    "temperature_celsius": (5, 110),
    "memory_temperature_celsius": (5, 120),
    "sm_clock_mhz": (100, 4000),
    "memory_clock_mhz": (100, 20000),
    "fan_percent": (0, 100),
    "performance_state": (0, 15),
    "throttle_reasons": (0, 1 << 16),
    "throttled_by_power_percent": (0, 100),
    "throttled_by_heat_percent": (0, 100),
    "throttled_by_hardware_percent": (0, 100),
    "ecc_corrected": (0, 1e6),
    "ecc_uncorrected": (0, 1e3),
    "pcie_sent_mib_per_second": (0, 200_000),
    "pcie_received_mib_per_second": (0, 200_000),
    "pcie_generation": (1, 7),
    "pcie_width": (1, 16),
    "encoder_percent": (0, 100),
    "decoder_percent": (0, 100),
    "xid_errors": (0, 1e3),
    "xid": (0, 1e3),
    "processes": (0, 1000),
}
RISES = ("utilisation_percent", "memory_used_mib", "power_watts", "pcie_received_mib_per_second", "sm_clock_mhz")
"""What is higher under load than idle."""

TORCH = """
import time, torch
a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.float16) for _ in range(2))
host = torch.empty(256 << 20, dtype=torch.uint8, pin_memory=True)
print("loaded", flush=True)
until = time.time() + float(__import__("sys").argv[1])
while time.time() < until:
    for _ in range(20): a @ b
    host.cuda(non_blocking=True).cpu()
    torch.cuda.synchronize()
"""


def has_torch() -> bool:
    question = "import torch, sys; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", question], capture_output=True, check=False).returncode == 0


def driver_load(seconds: float) -> None:
    """Copies and a kernel, through libcuda alone."""
    cuda = ctypes.CDLL("libcuda.so.1")
    check = lambda code: code and sys.exit(f"CUDA error {code}")  # noqa: E731
    device, context, memory, size = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64(), 1 << 30
    check(cuda.cuInit(0))
    check(cuda.cuDeviceGet(ctypes.byref(device), 0))
    check(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device))
    check(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(size)))
    module, function = ctypes.c_void_p(), ctypes.c_void_p()
    check(cuda.cuModuleLoadData(ctypes.byref(module), KERNEL.encode()))
    check(cuda.cuModuleGetFunction(ctypes.byref(function), module, b"spin"))
    host = ctypes.create_string_buffer(size // 4)
    argument = ctypes.c_uint64(memory.value)
    arguments = (ctypes.c_void_p * 1)(ctypes.cast(ctypes.byref(argument), ctypes.c_void_p))
    print("loaded", flush=True)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for _ in range(10):
            check(cuda.cuLaunchKernel(function, 4096, 1, 1, 256, 1, 1, 0, None, arguments, None))
        check(cuda.cuCtxSynchronize())
        check(cuda.cuMemcpyHtoD_v2(memory, host, ctypes.c_size_t(len(host))))


KERNEL = """
.version 6.0
.target sm_50
.address_size 64
.visible .entry spin(.param .u64 out)
{
    .reg .u64 %rd<4>;
    .reg .u32 %r<6>;
    .reg .f32 %f<4>;
    .reg .pred %p;
    ld.param.u64 %rd1, [out];
    mov.u32 %r1, %tid.x;
    mov.u32 %r2, 0;
    mov.f32 %f1, 0f3F800000;
    mov.f32 %f2, 0f3F800001;
again:
    fma.rn.f32 %f1, %f1, %f2, %f2;
    fma.rn.f32 %f1, %f1, %f2, %f2;
    fma.rn.f32 %f1, %f1, %f2, %f2;
    fma.rn.f32 %f1, %f1, %f2, %f2;
    add.u32 %r2, %r2, 1;
    setp.lt.u32 %p, %r2, 20000;
    @%p bra again;
    mul.wide.u32 %rd2, %r1, 4;
    add.u64 %rd3, %rd1, %rd2;
    st.global.f32 [%rd3], %f1;
    ret;
}
"""


class Probe:
    """The child process that the worker runs, as the worker runs it."""

    def __init__(self) -> None:
        self._child = subprocess.Popen([sys.executable, "-P", str(PROBE)], stdout=subprocess.PIPE)
        self.begin, self.pid = time.monotonic(), self._child.pid

    def lines(self, seconds: float) -> list[list[dict[str, Any]]]:
        until, found = time.monotonic() + seconds, []
        while time.monotonic() < until:
            assert self._child.stdout
            said = json.loads(self._child.stdout.readline())
            if "error" in said:
                sys.exit(f"error: {said['error']}")
            found.append(said["devices"])
        return found

    def cpu_percent(self) -> float:
        """Of a core, since it was started, the loading of the driver included."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2].split()
        ticks = int(fields[11]) + int(fields[12])
        return 100 * ticks / os.sysconf("SC_CLK_TCK") / (time.monotonic() - self.begin)

    def close(self) -> None:
        self._child.kill()
        self._child.wait()


def highest(lines: Sequence[Sequence[dict[str, Any]]], device: int, name: str) -> float | None:
    values = [line[device]["counters"][name] for line in lines if name in line[device]["counters"]]
    return max(values, default=None)


def judged(idle: Sequence[Any], busy: Sequence[Any], device: int) -> list[dict[str, Any]]:
    rows = []
    for name, (low, high) in PLAUSIBLE.items():
        at_rest, at_work = highest(idle, device, name), highest(busy, device, name)
        if at_work is None:
            verdict = "absent, as it may be" if name in MAY_LACK else "MISSING"
        elif not low <= at_work <= high:
            verdict = f"IMPLAUSIBLE: not within {low:g} to {high:g}"
        elif device == 0 and name in RISES and at_rest is not None and at_work < at_rest:
            verdict = "IMPLAUSIBLE: lower under load"
        else:
            verdict = "good"
        rows.append({"counter": name, "idle": at_rest, "load": at_work, "verdict": verdict})
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="of load")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--load", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.load:
        driver_load(asked.seconds)
        return 0
    probe = Probe()
    idle = probe.lines(12)
    command = (
        ["-c", TORCH, str(asked.seconds)] if has_torch() else [__file__, "--load", "--seconds", str(asked.seconds)]
    )
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE) as load:
        assert load.stdout
        load.stdout.readline()
        busy = probe.lines(asked.seconds * 0.8)
        is_seen = any(str(load.pid) in (line[0]["processes"] or {}) for line in busy)
    cost = probe.cpu_percent()
    probe.close()
    devices = [judged(idle, busy, device) for device in range(len(busy[0]))]
    bad = [row for rows in devices for row in rows if row["verdict"].isupper() or row["verdict"][:3].isupper()]
    result = {
        "model": busy[0][0]["model"],
        "gpus": len(devices),
        "probe_percent_of_a_core": round(cost, 2),
        "load_is_seen_as_a_process": is_seen,
        "devices": devices,
        "bad": len(bad),
    }
    print(json.dumps(result, indent=2) if asked.json else table(result))
    return 1 if bad else 0


def table(result: dict[str, Any]) -> str:
    seen = "seen" if result["load_is_seen_as_a_process"] else "not seen"
    cost = f"the probe took {result['probe_percent_of_a_core']}% of a core"
    lines = [f"{result['gpus']} x {result['model']}; {cost}; the load was {seen} as a process of GPU 0"]
    for device, rows in enumerate(result["devices"]):
        lines += ["", f"| GPU {device} | idle | load | verdict |", "|---|---|---|---|"]
        lines += [
            f"| {row['counter']} | {_shown(row['idle'])} | {_shown(row['load'])} | {row['verdict']} |" for row in rows
        ]
    return "\n".join([*lines, "", f"{result['bad']} bad"])


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:g}"


if __name__ == "__main__":
    sys.exit(main())
