"""A real NVIDIA GPU: what jobs on it use is seen and theirs alone, and strangers on it are made way for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fleet import Fleet, eventually, fleet

HOLD = """
import sys, torch
held = torch.ones(int(sys.argv[1]), 2**18, device="cuda")
print("up", flush=True)
sys.stdin.read()
"""
TRAIN = """
import os, sys, time, torch
assert torch.cuda.device_count() == 1, os.environ["CUDA_VISIBLE_DEVICES"]
held = torch.ones(int(sys.argv[1]), 2**18, device="cuda")
weights, until = torch.randn(4096, 4096, device="cuda"), time.monotonic() + 10
while time.monotonic() < until:
    for _ in range(50):
        weights = torch.tanh(weights @ weights)
    torch.cuda.synchronize()
print(os.environ["CUDA_VISIBLE_DEVICES"])
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    if not shutil.which("nvidia-smi"):
        pytest.skip("no NVIDIA GPU")
    pytest.importorskip("torch")
    with fleet(tmp_path_factory.mktemp("gpu"), LEVARE_SIMULATED_GPUS="") as deployment:
        deployment.start_all()
        yield deployment


def device(running: Fleet) -> dict[str, Any]:
    return running.client.get("/v1/nodes/n1").raise_for_status().json()["devices"][0]


def await_ownership(running: Fleet, wanted: str) -> dict[str, Any]:
    eventually(lambda: device(running)["ownership"] == wanted, within=60, every=0.2)
    return device(running)


def test_a_training_is_told_what_it_used_of_its_gpu(running: Fleet):
    await_ownership(running, "free")
    job = running.python(TRAIN.replace("sys.argv[1]", "2048"), gpus=1)

    (ended,) = running.await_end(job, within=120)

    (attempt,) = running.attempts(job)
    assert ended["state"] == "succeeded", running.log(job)
    assert running.log(job).decode().strip() == device(running)["uuid"]
    assert attempt["gpu_utilisation_percent"] > 30
    assert attempt["gpu_memory_mib"] > 2048
    assert attempt["energy_joules"] > 500


def test_two_jobs_that_share_a_gpu_are_told_their_own_memory(running: Fleet):
    await_ownership(running, "free")
    jobs = [running.python(TRAIN.replace("sys.argv[1]", mib), gpus=1, gpu_memory_mib=16384) for mib in ("1024", "4096")]

    assert {job["state"] for job in running.await_end(*jobs, within=120)} == {"succeeded"}

    (small,), (large,) = (running.attempts(job) for job in jobs)
    assert large["gpu_memory_mib"] - small["gpu_memory_mib"] == pytest.approx(3072, abs=256)


def test_a_stranger_on_the_gpu_is_made_way_for(running: Fleet):
    await_ownership(running, "free")
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
    command = [sys.executable, "-c", HOLD, "512"]
    with subprocess.Popen(command, env=ours, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as stranger:
        assert stranger.stdout
        assert stranger.stdout.readline() == "up\n"

        note = await_ownership(running, "foreign")["note"]
        job = running.submit("true", gpus=1)
        reasons = running.client.get(f"/v1/jobs/{job}/why").json()["reasons"]

        assert str(stranger.pid) in note
        assert {reason["code"]: reason["message"] for reason in reasons}["gpu-foreign"] == note
        stranger.communicate()
    assert running.await_end(job, within=60)[0]["state"] == "succeeded"
