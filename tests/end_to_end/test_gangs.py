"""Gangs and preemption, decided by beat and carried out on two nodes."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from levare import settings
from tests.conftest import BACKENDS
from tests.fleet import ROOT, Fleet, eventually, fleet

GRACE_SECONDS = 2
OURS = {"PYTHONPATH": str(ROOT)}


class TwoNodes:
    """Two workers on one machine, each with four simulated GPUs."""

    def __init__(self, running: Fleet) -> None:
        self.running = running
        configured = settings.load(running.environment)
        self._second = {
            "LEVARE_HOME": str(running.home / "second"),
            "LEVARE_NODE": "n2",
            "LEVARE_DATABASE": configured.database,
            "LEVARE_REDIS": configured.redis_url,
        }
        (running.home / "second").mkdir()

    def start(self, node: str) -> None:
        self.running.start("worker") if node == "n1" else self.running.start("worker:2", **self._second)

    def restart(self, node: str) -> None:
        self.running.kill("worker" if node == "n1" else "worker:2")
        self.start(node)

    def gang(self, *command: str, **wish: Any) -> str:
        wishes = {"nodes": 2, "gpus": 1, "env": OURS, "grace_seconds": GRACE_SECONDS, **wish}
        return self.running.submit(*command, **wishes)

    def log(self, job_id: str, attempt: int = 1, rank: int = 0) -> str:
        params = {"attempt": attempt, "rank": rank}
        return self.running.client.get(f"/v1/jobs/{job_id}/logs", params=params).raise_for_status().text

    @contextmanager
    def only_n1(self) -> Iterator[None]:
        """Nothing new starts on n2."""
        self._set("draining")
        try:
            yield
        finally:
            self._set("ready")

    def _set(self, state: str) -> None:
        self.running.client.put("/v1/nodes/n2/state", json={"state": state}).raise_for_status()


@pytest.fixture(scope="module", params=BACKENDS)
def nodes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_database_url: Callable[[str], str]
) -> Iterator[TwoNodes]:
    database = {} if request.param == "sqlite" else {"LEVARE_DATABASE": make_database_url(request.param)}
    with fleet(tmp_path_factory.mktemp("gangs"), **database) as running:
        running.start_all()
        both = TwoNodes(running)
        both.start("n2")
        running.await_ready(nodes=2)
        yield both


def states(running: Fleet, job_id: str) -> list[str]:
    return [attempt["state"] for attempt in running.attempts(job_id)]


def test_the_parts_of_a_gang_meet_on_two_nodes(nodes: TwoNodes):
    job_id = nodes.gang(sys.executable, str(ROOT / "examples/gang/meet.py"))

    (job,) = nodes.running.await_end(job_id)

    parts = nodes.running.attempts(job_id)
    first, second = (part["node"] for part in parts)
    assert (job["state"], job["node"], {first, second}) == ("succeeded", first, {"n1", "n2"})
    assert [(part["id"], part["rank"]) for part in parts] == [(f"{job_id}-1", 0), (f"{job_id}-1.1", 1)]
    assert nodes.log(job_id, rank=0) == f"rank 0 on {first} met rank 1 on {second}\n"
    assert nodes.log(job_id, rank=1) == f"rank 1 on {second} met rank 0 on {first}\n"


ALL_REDUCE = """
import os
import torch.distributed as dist
from torch import ones
rank, size = int(os.environ["NODE_RANK"]), int(os.environ["WORLD_SIZE"])
dist.init_process_group("gloo", rank=rank, world_size=size)
ranks = ones(1) * (rank + 1)
dist.all_reduce(ranks)
print(f"rank {rank}: {ranks.item():g}", flush=True)
dist.destroy_process_group()
"""


def test_torch_adds_up_over_two_nodes(nodes: TwoNodes):
    if not find_spec("torch"):
        pytest.skip("torch is not installed")
    job_id = nodes.gang(sys.executable, "-c", ALL_REDUCE, env=OURS | {"GLOO_SOCKET_IFNAME": "lo"})

    (job,) = nodes.running.await_end(job_id)

    assert job["state"] == "succeeded", nodes.log(job_id)
    assert "rank 0: 3\n" in nodes.log(job_id, rank=0)
    assert "rank 1: 3\n" in nodes.log(job_id, rank=1)


def test_a_part_that_fails_ends_the_others_within_their_grace(nodes: TwoNodes):
    script = """
import os, signal, sys, time
if os.environ["NODE_RANK"] == "1":
    time.sleep(2)
    sys.exit(3)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(120)
"""
    running = nodes.running
    job_id = nodes.gang(sys.executable, "-c", script)
    running.await_state(job_id, "running")
    eventually(lambda: "failed" in states(running, job_id))
    failed_at = monotonic()

    (job,) = running.await_end(job_id)

    assert monotonic() - failed_at < GRACE_SECONDS + 5
    assert (job["state"], job["exit_code"], job["reason"]) == ("failed", 3, "Exited with code 3.")
    first, second = running.attempts(job_id)
    assert (first["state"], second["state"]) == ("cancelled", "failed")
    assert first["reason"] == f"Another part of the gang ended: rank 1 on {second['node']} failed with exit code 3."
    assert not running.job_processes(job_id)


def test_a_cancelled_gang_ends_on_both_nodes(nodes: TwoNodes):
    running = nodes.running
    job_id = nodes.gang("sleep", "120")
    running.await_state(job_id, "running")

    running.cancel(job_id)

    assert running.await_end(job_id, within=GRACE_SECONDS + 5)[0]["state"] == "cancelled"
    assert states(running, job_id) == ["cancelled", "cancelled"]


def test_a_part_that_ends_while_its_worker_is_dead_still_ends_the_others(nodes: TwoNodes, tmp_path: Path):
    go = tmp_path / "go"
    script = f"""
import os, sys, time
while os.environ["NODE_RANK"] == "0" or not os.path.exists({str(go)!r}): time.sleep(0.05)
sys.exit(5)
"""
    running = nodes.running
    job_id = nodes.gang(sys.executable, "-c", script)
    running.await_state(job_id, "running")

    go.touch()
    nodes.restart(running.attempts(job_id)[1]["node"])

    (job,) = running.await_end(job_id)
    assert (job["state"], job["exit_code"]) == ("failed", 5)
    assert states(running, job_id) == ["cancelled", "failed"]


def weak(nodes: TwoNodes, *command: str, warning_seconds: int = 60, **wish: Any) -> str:
    """A job that may be preempted at once, after its warning."""
    warning = {"warning_signal": "USR1", "warning_seconds": warning_seconds, "min_runtime_seconds": 0}
    return nodes.running.submit(*command, gpus=4, env=OURS, **warning, **wish)


def urgent(nodes: TwoNodes) -> str:
    return nodes.running.submit("sleep", "1", gpus=4, priority=9)


def final_line(log: str) -> str:
    return next(line for line in log.splitlines() if line.startswith("final: "))


def test_a_preempted_training_saves_makes_room_and_goes_on_where_it_was(nodes: TwoNodes):
    running, script = nodes.running, str(ROOT / "examples/preemptible/train.py")
    undisturbed = running.submit(sys.executable, script, "--seconds-per-step", "0", env=OURS)
    with nodes.only_n1():
        job_id = weak(nodes, sys.executable, script, "--seconds-per-step", "0.01", "--save-every", "10")
        eventually(lambda: (running.job(job_id)["progress"] or 0) > 0.05)

        stronger = urgent(nodes)

        whole, first_in, job = running.await_end(undisturbed, stronger, job_id)
    assert [each["state"] for each in (whole, first_in, job)] == ["succeeded"] * 3
    first, second = running.attempts(job_id)
    assert (first["state"], first["exit_code"], first["preempted_for"]) == ("preempted", 143, stronger)
    assert second["started_at"] > first_in["finished_at"] > first["ended_at"]
    saved = re.search(r"saved after step (\d+)", nodes.log(job_id))
    assert saved
    assert f"resumed after step {saved[1]}\n" in nodes.log(job_id, 2)
    assert final_line(nodes.log(job_id, 2)) == final_line(nodes.log(undisturbed))


def test_the_warning_of_a_preempted_job_outlives_its_worker(nodes: TwoNodes):
    script = """
import json, signal, time
told = {}
def hear(number, _):
    told[signal.Signals(number).name] = time.monotonic()
    if number == signal.SIGTERM:
        print(json.dumps(told)); raise SystemExit(9)
for number in (signal.SIGUSR1, signal.SIGTERM): signal.signal(number, hear)
print("ready", flush=True)
while True: time.sleep(0.1); told and print("told", flush=True)
"""
    running = nodes.running
    with nodes.only_n1():
        job_id = weak(nodes, sys.executable, "-c", script, warning_seconds=4)
        running.await_state(job_id, "running")
        eventually(lambda: "ready" in nodes.log(job_id))

        stronger = urgent(nodes)
        eventually(lambda: "told" in nodes.log(job_id))
        nodes.restart("n1")

        eventually(lambda: states(running, job_id)[0] == "preempted")
        running.await_end(stronger)
        running.cancel(job_id)
        running.await_end(job_id)
    heard = json.loads(nodes.log(job_id).splitlines()[-1])
    assert 3.5 < heard["SIGTERM"] - heard["SIGUSR1"] < 6  # as the job itself heard them


def test_a_gang_makes_room_on_all_of_its_nodes_and_starts_again(nodes: TwoNodes):
    running = nodes.running
    job_id = nodes.gang("sleep", "120", gpus=4, min_runtime_seconds=0)
    running.await_state(job_id, "running")

    running.await_end(urgent(nodes))

    eventually(lambda: states(running, job_id)[:2] == ["preempted", "preempted"])
    running.await_state(job_id, "running")
    assert [part["id"] for part in running.attempts(job_id)[2:]] == [f"{job_id}-2", f"{job_id}-2.1"]
    running.cancel(job_id)
    running.await_end(job_id)


def test_a_checkpoint_is_noticed_while_the_training_runs(nodes: TwoNodes):
    script = """
import os, pathlib, time
(pathlib.Path(os.environ["LEVARE_CHECKPOINTS"]) / "weights").write_text("all of them")
time.sleep(120)
"""
    running = nodes.running
    job_id = running.python(script)
    running.await_state(job_id, "running")

    eventually(lambda: running.attempts(job_id)[0]["safe_at"])

    (attempt,) = running.attempts(job_id)
    assert attempt["safe_at"] >= attempt["started_at"]
    running.cancel(job_id)
    running.await_end(job_id)
