"""Nodes that fall silent, beats that die."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from levare import settings
from levare.cli.witness import Ledger
from tests.fleet import Fleet, eventually, fleet

LOST_AFTER = 8
SENT = ("placed", "starting", "running", "succeeded")


class TwoNodes:
    """Two workers that share SQL and Redis, each with a home of its own."""

    def __init__(self, deployment: Fleet) -> None:
        self.deployment = deployment
        configured = settings.load(deployment.environment)
        second = deployment.home / "second"
        second.mkdir()
        self._second = {
            "LEVARE_HOME": str(second),
            "LEVARE_NODE": "n2",
            "LEVARE_DATABASE": configured.database,
            "LEVARE_REDIS": configured.redis_url,
        }

    def start(self, node: str) -> None:
        if node == "n1":
            self.deployment.start("worker")
        else:
            self.deployment.start("worker:2", **self._second)

    def kill(self, node: str) -> None:
        self.deployment.kill("worker" if node == "n1" else "worker:2")

    def state(self, node: str) -> str:
        return self.deployment.client.get(f"/v1/nodes/{node}").json()["state"]


@pytest.fixture
def nodes(tmp_path: Path, database_variable: dict[str, str]) -> Iterator[TwoNodes]:
    with fleet(tmp_path, LEVARE_LOST_AFTER=str(LOST_AFTER), **database_variable) as deployment:
        deployment.start_all()
        both = TwoNodes(deployment)
        both.start("n2")
        deployment.await_ready(nodes=2)
        yield both


def test_a_job_that_may_be_requeued_runs_again_elsewhere_and_never_twice_at_once(nodes: TwoNodes, ledger: Ledger):
    running = nodes.deployment
    job_id = running.submit(sys.executable, *ledger.arguments(seconds=15), gpus=1, on_lost="requeue", grace_seconds=1)
    first = running.await_state(job_id, "running")["node"]

    nodes.kill(first)

    eventually(lambda: running.job(job_id)["attempt"] == 2, within=LOST_AFTER * 3)
    again = running.await_state(job_id, "running")
    assert again["node"] != first
    assert [attempt["state"] for attempt in running.attempts(job_id)] == ["lost", "running"]
    assert not ledger.twice()
    assert running.await_end(job_id)[0]["state"] == "succeeded"
    assert ledger.starts() == {job_id: 2}


def test_a_job_that_is_kept_holds_its_gpu_and_ends_where_it_ran(nodes: TwoNodes, ledger: Ledger):
    running = nodes.deployment
    job_id = running.submit(sys.executable, *ledger.arguments(seconds=LOST_AFTER * 2), gpus=1)
    node = running.await_state(job_id, "running")["node"]

    nodes.kill(node)
    eventually(lambda: nodes.state(node) == "lost", within=LOST_AFTER * 3)
    assert running.job(job_id)["state"] == "running"
    nodes.start(node)

    job = running.await_end(job_id)[0]
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert ledger.starts() == {job_id: 1}


def test_of_two_beats_the_other_places_the_next_job_within_five_seconds(running: Fleet, ledger: Ledger):
    running.await_end(running.submit("true"))
    running.start("beat:2")
    eventually(lambda: "leadership.observed" in running.output("beat:2"))

    running.kill("beat")
    began = time.monotonic()
    job_id = running.submit(sys.executable, *ledger.arguments())
    running.await_state(job_id, *SENT, within=10)
    taken = time.monotonic() - began

    assert taken < 5
    running.await_state(job_id, "succeeded")
    assert "leadership.taken" in running.output("beat:2")
