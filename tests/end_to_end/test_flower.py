"""Flower shows every attempt under its own id, on the right queue, with the right state."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import BACKENDS
from tests.fleet import Fleet, eventually, fleet, free_port


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module", params=BACKENDS)
def running(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    port: int,
    make_database_url: Callable[[str], str],
) -> Iterator[Fleet]:
    settings = {"LEVARE_FLOWER_PORT": str(port), "LEVARE_DATABASE": make_database_url(request.param)}
    with fleet(tmp_path_factory.mktemp("flower"), **settings) as deployment:
        deployment.start("redis", "web", "beat", "flower")
        eventually(lambda: "flower.started" in deployment.output("flower"), within=60)
        deployment.start("worker")
        deployment.await_ready()
        yield deployment


@pytest.fixture
def flower(running: Fleet, port: int) -> Iterator[httpx.Client]:
    password = (running.home / "secret").read_text()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=("levare", password), timeout=20) as client:
        eventually(lambda: answers(client))
        eventually(lambda: "levare@n1" in client.get("/api/workers").json())
        yield client


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/api/workers").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def listed(flower: httpx.Client, attempt_id: str) -> dict[str, str]:
    return flower.get("/api/tasks").json().get(attempt_id) or {}


def shows(flower: httpx.Client, attempt_id: str, state: str) -> bool:
    return listed(flower, attempt_id).get("state") == state


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def start(running: Fleet, gate: Path, code: int = 0) -> str:
    """A GPU job that ends when the gate is opened."""
    script = f"import os, sys, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.05)\nsys.exit({code})"
    job_id = running.python(script, gpus=1)
    running.await_state(job_id, "running")
    return job_id


@pytest.mark.parametrize(("code", "state"), [(0, "SUCCESS"), (3, "FAILURE")])
def test_an_attempt_is_listed_with_queue_and_state_from_start_to_end(
    running: Fleet, flower: httpx.Client, gate: Path, code: int, state: str
):
    attempt_id = f"{start(running, gate, code)}-1"

    eventually(lambda: shows(flower, attempt_id, "STARTED"))
    assert eventually(lambda: listed(flower, attempt_id).get("routing_key")) == "gpu.n1"
    gate.touch()

    eventually(lambda: shows(flower, attempt_id, state))
    assert listed(flower, attempt_id)["name"] == "levare.run"


@pytest.mark.parametrize("victim", ["flower", "worker"])
def test_an_attempt_is_still_shown_rightly_after_a_restart_of(
    running: Fleet, flower: httpx.Client, gate: Path, victim: str
):
    attempt_id = f"{start(running, gate)}-1"
    eventually(lambda: shows(flower, attempt_id, "STARTED"))

    joined = running.output("worker").count("node.joined")
    running.kill(victim)
    running.start(victim)
    eventually(lambda: answers(flower))
    eventually(lambda: shows(flower, attempt_id, "STARTED"), within=40)
    if victim == "worker":
        eventually(lambda: running.output("worker").count("node.joined") > joined)
    gate.touch()

    eventually(lambda: shows(flower, attempt_id, "SUCCESS"), within=40)
    assert listed(flower, attempt_id)["routing_key"] == "gpu.n1"


def test_the_queues_of_a_worker_that_came_after_it_are_listed(flower: httpx.Client):
    listed_queues = flower.get("/api/queues/length").json()["active_queues"]

    assert {each["name"] for each in listed_queues} == {"cpu.n1", "gpu.n1"}


def test_flower_is_closed_and_read_only(running: Fleet, flower: httpx.Client, gate: Path):
    attempt_id = f"{start(running, gate)}-1"

    assert httpx.get(f"{flower.base_url}/api/tasks").status_code == httpx.codes.UNAUTHORIZED
    assert httpx.get(str(flower.base_url)).status_code == httpx.codes.UNAUTHORIZED
    refused = flower.post(f"/api/task/revoke/{attempt_id}", params={"terminate": "true"})

    assert refused.status_code == httpx.codes.FORBIDDEN
    gate.touch()
    assert running.await_end(attempt_id.rpartition("-")[0])[0]["state"] == "succeeded"


def test_terminate_in_flower_cancels_the_job_where_that_is_allowed(tmp_path: Path, gate: Path, database_url: str):
    port = free_port()
    settings = {"LEVARE_FLOWER_PORT": str(port), "LEVARE_FLOWER_ACTIONS": "1", "LEVARE_DATABASE": database_url}
    with fleet(tmp_path, **settings) as running:
        running.start_all()
        running.start("flower")
        auth = ("levare", (running.home / "secret").read_text())
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=auth, timeout=20) as flower:
            eventually(lambda: answers(flower))
            attempt_id = f"{start(running, gate)}-1"
            eventually(lambda: shows(flower, attempt_id, "STARTED"))

            assert flower.post(f"/api/task/revoke/{attempt_id}", params={"terminate": "true"}).status_code == 200

            job = running.await_end(attempt_id.rpartition("-")[0])[0]
            assert job["state"] == "cancelled"
            eventually(lambda: shows(flower, attempt_id, "REVOKED"))
