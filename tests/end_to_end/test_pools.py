"""A pool on real processes: from one worker to six and back to two, under load, with an agent that is killed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fleet import Fleet, eventually, fleet

LEVARE = Path(sys.executable).with_name("levare")
OFFERS = {"cpus": 4, "memory_mib": 4096, "simulated_gpus": "4x8GiB"}
LONG = 120


class Machine:
    """`levare node` with a home of its own beside the deployment's."""

    def __init__(self, deployment: Fleet) -> None:
        self._deployment = deployment
        self._process: subprocess.Popen[bytes] | None = None

    def levare(self, *arguments: str) -> list[str]:
        return [str(LEVARE), "node", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        others = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
        return others | {"LEVARE_HOME": str(self._deployment.home / "atlas"), "LEVARE_LOG_FORMAT": "json"}

    def join(self) -> None:
        code = self._deployment.client.post("/v1/nodes/invitations", json={}).raise_for_status().json()["code"]
        command = self.levare(
            "join", str(self._deployment.client.base_url), "-", "--name", "atlas", "--label", "zone=a"
        )
        subprocess.run(command, env=self.environment, input=f"{code}\n", text=True, check=True, capture_output=True)

    def start(self) -> None:
        with (self._deployment.home / "atlas.out").open("ab") as output:
            self._process = subprocess.Popen(
                self.levare("run"),
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def end(self, number: int = signal.SIGTERM) -> None:
        if self._process:
            self._process.send_signal(number)
            self._process.wait(30)
            self._process = None

    def workers(self) -> list[psutil.Process]:
        return [each for each in self._deployment.of_this_home() if command_of(each)[-2:] == ["-m", "worker"]]


def command_of(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path / "home") as deployment:
        deployment.home.mkdir()
        deployment.start("redis", "web", "beat")
        deployment.await_ready(nodes=0)
        yield deployment


@pytest.fixture
def machine(deployment: Fleet) -> Iterator[Machine]:
    machine = Machine(deployment)
    yield machine
    machine.end(signal.SIGKILL)


def scale(deployment: Fleet, workers: int) -> None:
    body = {"workers": workers, "offers": OFFERS, "select": {"zone": "a"}}
    deployment.client.put("/v1/pools/sim", json=body).raise_for_status()


def states(deployment: Fleet) -> dict[str, int]:
    pool = deployment.client.get("/v1/pools/sim").raise_for_status().json()
    return dict(Counter(worker["state"] for worker in pool["workers"]))


def nodes(deployment: Fleet) -> dict[str, Any]:
    found = deployment.client.get("/v1/nodes").raise_for_status().json()["items"]
    return {node["name"]: node["state"] for node in found}


def test_a_pool_goes_from_one_to_six_to_two_and_loses_no_job(deployment: Fleet, machine: Machine, tmp_path: Path):
    machine.join()
    machine.start()
    scale(deployment, 1)
    eventually(lambda: states(deployment) == {"ready": 1}, within=LONG)

    ledger, go = tmp_path / "ledger", tmp_path / "go"
    go.mkdir()
    script = f"echo $LEVARE_JOB $$ >> {ledger}; until [ -e {go}/$LEVARE_JOB ]; do sleep 0.1; done"
    jobs = [deployment.submit("sh", "-c", script, gpus=4) for _ in range(6)]
    scale(deployment, 6)
    for job in jobs:
        deployment.await_state(job, "running", within=LONG)
    eventually(lambda: states(deployment) == {"ready": 6}, within=LONG)
    began = dict(line.split() for line in ledger.read_text().splitlines())

    scale(deployment, 2)
    eventually(lambda: states(deployment) == {"ready": 2, "draining": 4}, within=LONG)
    assert {deployment.job(job)["state"] for job in jobs} == {"running"}
    leaving = [job for job in jobs if nodes(deployment)[deployment.job(job)["node"]] == "draining"]
    for job in leaving[:2]:
        (go / job).touch()
    eventually(lambda: states(deployment) == {"ready": 2, "draining": 2}, within=LONG)
    assert len(nodes(deployment)) == 4

    machine.end(signal.SIGKILL)
    eventually(lambda: not machine.workers(), within=LONG, every=0.5)
    staying = [job for job in jobs if job not in leaving[:2]]
    assert all(psutil.pid_exists(int(began[job])) for job in staying)
    machine.start()
    eventually(lambda: len(machine.workers()) == 4, within=LONG, every=0.5)

    for job in staying:
        (go / job).touch()
    ended = deployment.await_end(*jobs, within=LONG)
    assert [(job["state"], job["attempt"]) for job in ended] == [("succeeded", 1)] * 6
    assert dict(line.split() for line in ledger.read_text().splitlines()) == began
    assert len(ledger.read_text().splitlines()) == len(began) == len(jobs)
    eventually(lambda: states(deployment) == {"ready": 2} and len(nodes(deployment)) == 2, within=LONG)
    eventually(lambda: len(machine.workers()) == 2, within=LONG, every=0.5)

    last = deployment.submit("true", gpus=1)
    assert deployment.await_end(last, within=LONG)[0]["state"] == "succeeded"
    scale(deployment, 0)
    eventually(lambda: not nodes(deployment) and not machine.workers(), within=LONG, every=0.5)
    machine.end()
    assert "Ctrl-C ends it" in deployment.output("atlas")
