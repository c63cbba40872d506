"""Nodes that fall silent, beats that die."""

import sys
import time
from pathlib import Path

import pytest

from tests.fleet import Fleet, eventually, fleet
from tests.ledger import Ledger

LOST_AFTER = 8


@pytest.fixture
def two_nodes(tmp_path: Path):
    """n1 has four GPUs, n2 has none of its own home's jobs; both share SQL and Redis."""
    with fleet(tmp_path, LEVARE_LOST_AFTER=str(LOST_AFTER)) as deployment:
        second = tmp_path / "second"
        second.mkdir()
        deployment.start_all()
        database = f"sqlite:///{tmp_path / 'levare.db'}"
        deployment.start(
            "worker:2",
            LEVARE_HOME=str(second),
            LEVARE_NODE="n2",
            LEVARE_DATABASE=database,
            LEVARE_REDIS=redis_url(deployment),
        )
        deployment.await_ready(nodes=2)
        yield deployment


def redis_url(deployment: Fleet) -> str:
    from levare import settings

    return settings.load(deployment.environment).redis_url


def worker_of(node: str) -> str:
    return {"n1": "worker", "n2": "worker:2"}[node]


def test_a_job_that_may_be_requeued_runs_again_elsewhere_and_never_twice_at_once(two_nodes: Fleet, ledger: Ledger):
    job_id = two_nodes.submit(sys.executable, *ledger.arguments(seconds=15), gpus=1, on_lost="requeue", grace_seconds=1)
    first = two_nodes.await_state(job_id, "running")["node"]

    two_nodes.kill(worker_of(first))

    eventually(lambda: two_nodes.job(job_id)["attempt"] == 2, within=LOST_AFTER * 3)
    again = two_nodes.await_state(job_id, "running")
    assert again["node"] != first
    assert [attempt["state"] for attempt in two_nodes.attempts(job_id)] == ["lost", "running"]
    assert not ledger.twice()
    assert two_nodes.await_end(job_id)[0]["state"] == "succeeded"
    assert ledger.starts() == {job_id: 2}


def test_a_job_that_is_kept_holds_its_gpu_and_ends_where_it_ran(two_nodes: Fleet, ledger: Ledger):
    job_id = two_nodes.submit(sys.executable, *ledger.arguments(seconds=LOST_AFTER * 2), gpus=1)
    node = two_nodes.await_state(job_id, "running")["node"]

    two_nodes.kill(worker_of(node))
    eventually(lambda: two_nodes.client.get(f"/v1/nodes/{node}").json()["state"] == "lost", within=LOST_AFTER * 3)
    assert two_nodes.job(job_id)["state"] == "running"
    home = {} if node == "n1" else {"LEVARE_HOME": str(two_nodes.home / "second"), "LEVARE_NODE": "n2"}
    extra = (
        {}
        if node == "n1"
        else {"LEVARE_DATABASE": f"sqlite:///{two_nodes.home / 'levare.db'}", "LEVARE_REDIS": redis_url(two_nodes)}
    )
    two_nodes.start(worker_of(node), **home, **extra)

    job = two_nodes.await_end(job_id)[0]
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert ledger.starts() == {job_id: 1}


def test_of_two_beats_the_other_places_the_next_job_within_five_seconds(tmp_path: Path, ledger: Ledger):
    with fleet(tmp_path) as deployment:
        deployment.start("redis", "web", "beat", "worker")
        deployment.await_ready()
        first = deployment.submit("true")
        deployment.await_end(first)
        deployment.start("beat:2")
        eventually(lambda: "beat: Starting" in deployment.output("beat:2"))

        deployment.kill("beat")
        began = time.monotonic()
        job_id = deployment.submit(sys.executable, *ledger.arguments())
        deployment.await_state(job_id, "succeeded", within=10)

        assert time.monotonic() - began < 5
        assert "leadership.taken" in deployment.output("beat:2")
