"""Whose the GPUs are, with real processes on simulated GPUs: others are seen, made way for, and never touched."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import select

from levare.store import tables
from levare.store.engine import Database
from tests.fleet import Fleet, eventually, fleet
from worker.probe.ledger import ORPHANED_AFTER_SECONDS

NODE = "truth"
SEEN_SECONDS = 30
START = "import time; print('up', flush=True); time.sleep(600)"
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("truth")
    with fleet(home, LEVARE_NODE=NODE, LEVARE_SIMULATED_GPUS="2x80GiB") as deployment:
        deployment.start_all()
        yield deployment


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process of nobody's on a GPU of the node, with further variables."""
    started: list[subprocess.Popen[str]] = []

    def begin(gpu: int, **environ: str) -> subprocess.Popen[str]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
        environment = clean | environ | {"CUDA_VISIBLE_DEVICES": f"SIM-{NODE}-{gpu}"}
        process = subprocess.Popen([sys.executable, "-c", START], env=environment, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline()
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def device(running: Fleet, index: int) -> dict[str, Any]:
    return running.client.get(f"/v1/nodes/{NODE}").raise_for_status().json()["devices"][index]


def await_ownership(running: Fleet, index: int, wanted: str) -> dict[str, Any]:
    eventually(lambda: device(running, index)["ownership"] == wanted, within=SEEN_SECONDS, every=0.2)
    return device(running, index)


def why(running: Fleet, job: str) -> dict[str, str]:
    reasons = running.client.get(f"/v1/jobs/{job}/why").raise_for_status().json()["reasons"]
    return {reason["code"]: reason["message"] for reason in reasons}


def shell(running: Fleet, *args: str) -> str:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
    command = [sys.executable, "-c", "from levare.cli import main; main()", *args]
    environment = ours | {"LEVARE_HOME": str(running.home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def an_ended_attempt(running: Fleet) -> str:
    job = running.submit("true", gpus=1)
    running.await_end(job)
    return f"{job}-1"


def test_a_gpu_that_a_stranger_uses_is_withheld_and_offered_again_when_it_has_gone(running: Fleet, start: Start):
    stranger = start(0)
    note = await_ownership(running, 0, "foreign")["note"]
    assert f"GPU 0 of {NODE} is used by process {stranger.pid} of " in note

    job = running.submit("sleep", "600", gpus=2)
    running.await_end(running.submit("true", gpus=1))

    assert running.job(job)["state"] == "waiting"
    assert why(running, job)["gpu-foreign"] == note
    assert note in " ".join(shell(running, "why", job).split())  # it is wrapped
    assert note in shell(running, "nodes", NODE)

    stranger.kill()
    stranger.wait()

    running.await_state(job, "running", within=SEEN_SECONDS)
    running.cancel(job)
    running.await_end(job)


def test_what_an_ended_job_left_behind_is_ended_on_demand_and_nothing_else(running: Fleet, start: Start):
    attempt = an_ended_attempt(running)
    job = running.submit("sleep", "600", gpus=1)
    running.await_state(job, "running")
    gpu = 1 - running.attempts(job)[0]["gpus"][0]["index"]
    began = time.monotonic()
    orphan = start(gpu, LEVARE_ATTEMPT=attempt)
    note = await_ownership(running, gpu, "orphan")["note"]
    assert time.monotonic() - began >= ORPHANED_AFTER_SECONDS, "it might still have been ending"
    assert f"left behind by attempt {attempt}, now over; `levare nodes reap {NODE}` ends it." in note
    assert why(running, running.submit("true", gpus=2))["gpu-orphan"] == note
    stranger, unknown = start(gpu), start(gpu, LEVARE_ATTEMPT="of-elsewhere-1")
    assert f"process {orphan.pid} (" in shell(running, "nodes", "reap", NODE, "--dry-run")
    assert orphan.poll() is None

    told = shell(running, "nodes", "reap", NODE)

    assert told.startswith(f"process {orphan.pid} (")
    assert told.endswith(f") of attempt {attempt} on GPU {gpu} ended\n")
    assert told.count("\n") == 1
    assert orphan.wait(5) == -signal.SIGTERM
    assert (stranger.poll(), unknown.poll()) == (None, None)
    assert running.job(job)["state"] == "running"
    assert (NODE, "orphan.reaped", orphan.pid, attempt) in audited(running)
    eventually(lambda: "Nothing is left" in shell(running, "nodes", "reap", NODE))
    running.cancel(job)
    running.await_end(job)


def test_a_new_worker_knows_whose_the_gpus_are_and_may_end_orphans_by_itself(running: Fleet, start: Start):
    stranger = start(0)
    attempt = an_ended_attempt(running)
    orphan = start(1, LEVARE_ATTEMPT=attempt)
    await_ownership(running, 0, "foreign")
    incarnations = running.output("worker").count('"node.joined"')

    running.kill("worker")
    running.start("worker", LEVARE_REAP_ORPHANS="1")

    eventually(lambda: running.output("worker").count('"node.joined"') > incarnations)
    assert device(running, 0)["ownership"] == "foreign"
    assert orphan.wait(SEEN_SECONDS) == -signal.SIGTERM
    assert stranger.poll() is None
    assert device(running, 0)["ownership"] == "foreign"


def audited(running: Fleet) -> list[tuple[str, str, int, str]]:
    database = Database(f"sqlite:///{running.home / 'levare.db'}")
    with database.reading() as connection:
        rows = connection.execute(select(tables.audit.c.object, tables.audit.c.action, tables.audit.c.detail)).all()
    database.dispose()
    return [(row.object, row.action, row.detail.get("pid"), row.detail.get("attempt")) for row in rows]
