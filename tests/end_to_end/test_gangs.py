"""Gangs and preemption on real workers, where a test decides in the place of beat, through the same writes."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from sqlalchemy import update

from levare import settings
from levare.model import Placement, Preemption, Request
from levare.store import attempts, wishes
from levare.store.engine import Database
from levare.store.tables import attempts as attempts_table
from levare.store.tables import jobs as jobs_table
from tests.conftest import BACKENDS
from tests.fleet import ROOT, Fleet, eventually, fleet

FAR_AWAY = "2099-01-01T00:00:00Z"
GRACE_SECONDS = 2


class Decider:
    """Two nodes on one machine, and the decisions of a test."""

    def __init__(self, running: Fleet) -> None:
        configured = settings.load(running.environment)
        self.running, self.database = running, Database(configured.database)
        self.second = {
            "LEVARE_HOME": str(running.home / "second"),
            "LEVARE_NODE": "n2",
            "LEVARE_DATABASE": configured.database,
            "LEVARE_REDIS": configured.redis_url,
        }

    def submit(self, *command: str, columns: Mapping[str, Any], **wish: Any) -> str:
        """A job that beat leaves alone, for its time is far away, with columns that only a test can set."""
        wish = {"start_after": FAR_AWAY, "env": {"PYTHONPATH": str(ROOT)}, "grace_seconds": GRACE_SECONDS, **wish}
        job_id = self.running.submit(*command, **wish)
        self.change(job_id, columns)
        return job_id

    def change(self, job_id: str, columns: Mapping[str, Any]) -> None:
        with self.database.writing() as connection:
            connection.execute(update(jobs_table).where(jobs_table.c.id == job_id).values(**columns))

    def start_gang(self, *command: str, **wish: Any) -> str:
        """On both nodes at once; beat tells them at its next look."""
        job_id = self.submit(*command, columns={"nodes": 2}, **wish)
        parts = [Placement(job_id, node, Request(nodes=2), rank=rank) for rank, node in enumerate(("n1", "n2"))]
        now = datetime.now(UTC)
        with self.database.writing() as connection:
            connection.execute(update(jobs_table).where(jobs_table.c.id == job_id).values(state="waiting"))
            attempts.place(connection, parts, {}, now=now)
            untold = update(attempts_table).where(attempts_table.c.job_id == job_id)
            connection.execute(untold.values(sent_at=now - timedelta(minutes=1)))
        return job_id

    def preempt(self, job_id: str) -> None:
        attempt_id = f"{job_id}-{self.running.job(job_id)['attempt']}"
        with self.database.writing() as connection:
            asked = [Preemption(attempt_id, job_id, "urgent", "Makes room for urgent.")]
            assert wishes.preempt(connection, asked, now=datetime.now(UTC))

    def log(self, job_id: str, attempt: int, rank: int) -> str:
        params = {"attempt": attempt, "rank": rank}
        return self.running.client.get(f"/v1/jobs/{job_id}/logs", params=params).raise_for_status().text


@pytest.fixture(scope="module", params=BACKENDS)
def fleet_of_two(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_database_url: Callable[[str], str]
) -> Iterator[Decider]:
    database = {} if request.param == "sqlite" else {"LEVARE_DATABASE": make_database_url(request.param)}
    with fleet(tmp_path_factory.mktemp("gangs"), **database) as running:
        running.start_all()
        decider = Decider(running)
        Path(decider.second["LEVARE_HOME"]).mkdir()
        running.start("worker:2", **decider.second)
        running.await_ready(nodes=2)
        yield decider
        decider.database.dispose()


def states(running: Fleet, job_id: str) -> list[str]:
    return [attempt["state"] for attempt in running.attempts(job_id)]


def test_the_parts_of_a_gang_meet_on_two_nodes(fleet_of_two: Decider):
    job_id = fleet_of_two.start_gang(sys.executable, str(ROOT / "examples/gang/meet.py"))

    (job,) = fleet_of_two.running.await_end(job_id)

    assert (job["state"], job["node"]) == ("succeeded", "n1")
    assert fleet_of_two.log(job_id, 1, 0) == "rank 0 on n1 met rank 1 on n2\n"
    assert fleet_of_two.log(job_id, 1, 1) == "rank 1 on n2 met rank 0 on n1\n"
    parts = [(part["id"], part["rank"], part["state"]) for part in fleet_of_two.running.attempts(job_id)]
    assert parts == [(f"{job_id}-1", 0, "succeeded"), (f"{job_id}-1.1", 1, "succeeded")]


def test_a_part_that_fails_ends_the_others_within_their_grace(fleet_of_two: Decider):
    script = """
import os, signal, sys, time
if os.environ["NODE_RANK"] == "1":
    time.sleep(2)
    sys.exit(3)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(120)
"""
    running = fleet_of_two.running
    job_id = fleet_of_two.start_gang(sys.executable, "-c", script)
    running.await_state(job_id, "running")
    eventually(lambda: "failed" in states(running, job_id))
    failed_at = monotonic()

    (job,) = running.await_end(job_id)

    assert monotonic() - failed_at < GRACE_SECONDS + 5
    assert (job["state"], job["exit_code"], job["reason"]) == ("failed", 3, "Exited with code 3.")
    first, second = running.attempts(job_id)
    assert (first["state"], second["state"]) == ("cancelled", "failed")
    assert first["reason"] == "Another part of the gang ended: rank 1 on n2 failed with exit code 3."
    assert not running.job_processes(job_id)


def test_a_cancelled_gang_ends_on_both_nodes(fleet_of_two: Decider):
    running = fleet_of_two.running
    job_id = fleet_of_two.start_gang("sleep", "120")
    running.await_state(job_id, "running")

    running.cancel(job_id)

    assert running.await_end(job_id, within=GRACE_SECONDS + 5)[0]["state"] == "cancelled"
    assert states(running, job_id) == ["cancelled", "cancelled"]


def test_a_part_that_ends_while_its_worker_is_dead_still_ends_the_others(fleet_of_two: Decider, tmp_path: Path):
    go = tmp_path / "go"
    script = f"""
import os, sys, time
while os.environ["NODE_RANK"] == "0" or not os.path.exists({str(go)!r}): time.sleep(0.05)
sys.exit(5)
"""
    running = fleet_of_two.running
    job_id = fleet_of_two.start_gang(sys.executable, "-c", script)
    running.await_state(job_id, "running")

    running.kill("worker:2")
    go.touch()
    running.start("worker:2", **fleet_of_two.second)

    (job,) = running.await_end(job_id)
    assert (job["state"], job["exit_code"]) == ("failed", 5)
    assert states(running, job_id) == ["cancelled", "failed"]


def preemptible(decider: Decider, *options: str) -> str:
    """A training that beat places and places again, as it does any other."""
    script = str(ROOT / "examples/preemptible/train.py")
    columns = {"warning_signal": "USR1", "warning_seconds": 60, "start_after": datetime.now(UTC)}
    return decider.submit(sys.executable, script, *options, columns=columns)


def final_line(log: str) -> str:
    return next(line for line in log.splitlines() if line.startswith("final: "))


def test_a_preempted_training_saves_makes_room_and_goes_on_where_it_was(fleet_of_two: Decider):
    running = fleet_of_two.running
    running.client.put("/v1/nodes/n2/state", json={"state": "draining"}).raise_for_status()  # checkpoints lie on a node
    try:
        undisturbed = preemptible(fleet_of_two, "--seconds-per-step", "0")
        job_id = preemptible(fleet_of_two, "--seconds-per-step", "0.01", "--save-every", "10")
        eventually(lambda: (running.job(job_id)["progress"] or 0) > 0.05)

        fleet_of_two.preempt(job_id)

        (job, whole) = running.await_end(job_id, undisturbed)
    finally:
        running.client.put("/v1/nodes/n2/state", json={"state": "ready"}).raise_for_status()
    assert (job["state"], whole["state"], job["attempt"]) == ("succeeded", "succeeded", 2)
    first, second = running.attempts(job_id)
    assert (first["state"], first["exit_code"], first["reason"]) == ("preempted", 143, "Makes room for urgent.")
    assert (first["preempted_for"], second["state"]) == ("urgent", "succeeded")
    saved = re.search(r"saved after step (\d+)", fleet_of_two.log(job_id, 1, 0))
    assert saved
    assert f"resumed after step {saved[1]}\n" in fleet_of_two.log(job_id, 2, 0)
    assert final_line(fleet_of_two.log(job_id, 2, 0)) == final_line(fleet_of_two.log(undisturbed, 1, 0))


def test_the_warning_of_a_preempted_job_outlives_its_worker(fleet_of_two: Decider):
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
    running = fleet_of_two.running
    columns = {"warning_signal": "USR1", "warning_seconds": 4, "start_after": datetime.now(UTC)}
    job_id = fleet_of_two.submit(sys.executable, "-c", script, columns=columns, retries=0)
    running.await_state(job_id, "running")
    eventually(lambda: "ready" in fleet_of_two.log(job_id, 1, 0))
    node = running.job(job_id)["node"]

    fleet_of_two.preempt(job_id)
    eventually(lambda: "told" in fleet_of_two.log(job_id, 1, 0))
    name = "worker" if node == "n1" else "worker:2"
    running.kill(name)
    running.start(name, **({} if node == "n1" else fleet_of_two.second))

    eventually(lambda: states(running, job_id)[0] == "preempted")
    heard = json.loads(fleet_of_two.log(job_id, 1, 0).splitlines()[-1])
    assert 4 <= heard["SIGTERM"] - heard["SIGUSR1"] < 6
    running.cancel(job_id)
    running.await_end(job_id)


def test_a_checkpoint_is_noticed_while_the_training_runs(fleet_of_two: Decider):
    script = """
import os, pathlib, time
print("started", flush=True)
(pathlib.Path(os.environ["LEVARE_CHECKPOINTS"]) / "weights").write_text("all of them")
time.sleep(120)
"""
    running = fleet_of_two.running
    job_id = running.python(script)
    running.await_state(job_id, "running")

    eventually(lambda: running.attempts(job_id)[0]["safe_at"])

    (attempt,) = running.attempts(job_id)
    assert attempt["safe_at"] >= attempt["started_at"]
    running.cancel(job_id)
    running.await_end(job_id)
