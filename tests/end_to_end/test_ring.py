"""From a submit to its history, through every process."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from tests.conftest import BACKENDS
from tests.fleet import ROOT, Fleet, eventually, fleet


@pytest.fixture(scope="module", params=BACKENDS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, make_database_url: Callable[[str], str]
) -> Iterator[Fleet]:
    """One deployment for all of these tests, on SQLite and on PostgreSQL."""
    database = {} if request.param == "sqlite" else {"LEVARE_DATABASE": make_database_url(request.param)}
    with fleet(tmp_path_factory.mktemp("ring"), **database) as deployment:
        deployment.start_all()
        yield deployment


def test_the_digits_example_learns_and_leaves_its_history(running: Fleet):
    script = str(ROOT / "examples/digits/train.py")
    job_id = running.submit(sys.executable, script, "--seconds-per-epoch", "0.2", gpus=1)

    (job,) = running.await_end(job_id)

    (attempt,) = running.attempts(job_id)
    metrics = running.client.get(f"/v1/jobs/{job_id}/metrics").json()
    assert (job["state"], job["progress"]) == ("succeeded", 1.0)
    assert attempt["exit_code"] == 0
    assert attempt["peak_memory_mib"] > 20
    assert attempt["cpu_seconds"] > 0
    assert attempt["gpu_utilisation_percent"] > 0
    assert attempt["energy_joules"] > 0
    assert running.client.get(f"/v1/jobs/{job_id}").json()["energy_joules"] == attempt["energy_joules"]
    assert metrics["summary"]["val"]["accuracy"]["last"] > 0.9
    assert attempt["points"] == len(metrics["items"])


def test_what_a_job_has_used_is_charged_to_its_team(running: Fleet):
    job_id = running.python("import time; time.sleep(1)", gpus=2, team="charged")
    running.await_end(job_id)

    (attempt,) = running.attempts(job_id)
    team = running.client.get("/v1/teams/charged").json()
    held = datetime.fromisoformat(attempt["ended_at"]) - datetime.fromisoformat(attempt["placed_at"])
    assert held.total_seconds() > 1
    assert team["used_gpu_hours"] == pytest.approx(2.05 * held.total_seconds() / 3600, abs=1e-5)
    assert team["period_gpu_hours"] == pytest.approx(2 * held.total_seconds() / 3600, abs=1e-5)
    assert (team["running"], team["queued"], team["gpus"]) == (0, 0, 0)


def test_a_job_sees_its_gpus_and_none_of_our_secrets(running: Fleet):
    script = "import json, os; print(json.dumps(dict(os.environ)))"
    job_id = running.python(script, gpus=2, env={"MINE": "yes"})
    running.await_end(job_id)

    seen = json.loads(running.log(job_id))
    devices = seen["CUDA_VISIBLE_DEVICES"].split(",")
    (attempt,) = running.attempts(job_id)
    assert devices == [gpu["uuid"] for gpu in attempt["gpus"]]
    assert (len(devices), seen["MINE"], seen["LEVARE_ATTEMPT"]) == (2, "yes", f"{job_id}-1")
    assert not {"PYTHONPATH", "LEVARE_DATABASE", "LEVARE_REDIS", "LEVARE_TOKEN", "LEVARE_HOME"} & set(seen)


def test_a_job_without_gpus_sees_none(running: Fleet):
    job_id = running.python("import os; print(repr(os.environ['CUDA_VISIBLE_DEVICES']))")
    running.await_end(job_id)

    assert running.log(job_id) == b"''\n"


def test_a_failed_job_is_tried_again_as_often_as_it_asked_and_keeps_its_checkpoints(running: Fleet):
    script = """
import os, pathlib, sys
tries = pathlib.Path(os.environ["LEVARE_CHECKPOINTS"]) / "tries"
count = int(tries.read_text()) + 1 if tries.exists() else 1
tries.write_text(str(count))
sys.exit(0 if count == 3 else 7)
"""
    job_id = running.python(script, retries=5)

    (job,) = running.await_end(job_id)

    assert (job["state"], job["attempt"]) == ("succeeded", 3)
    assert [attempt["exit_code"] for attempt in running.attempts(job_id)] == [7, 7, 0]


def test_a_job_starts_after_those_it_needs_and_is_skipped_when_one_fails(running: Fleet):
    first = running.submit("true")
    second = running.submit("true", needs=[first])
    failing = running.submit("sh", "-c", "sleep 1; exit 1")
    skipped = running.submit("true", needs=[failing])

    assert [job["state"] for job in running.await_end(first, second, skipped)] == [
        "succeeded",
        "succeeded",
        "cancelled",
    ]
    assert running.job(skipped)["reason"] == f"Skipped because it needs {failing} to succeed, and {failing} failed."
    assert running.job(second)["started_at"] > running.job(first)["finished_at"]
    assert not running.attempts(skipped)


def test_what_does_not_fit_waits_with_its_reasons_and_starts_when_there_is_room(running: Fleet):
    holder = running.submit("sleep", "60", gpus=4)
    running.await_state(holder, "running")
    waiter = running.submit("true", gpus=1)

    why = running.client.get(f"/v1/jobs/{waiter}/why").json()
    assert [(reason["code"], reason["asked"], reason["available"]) for reason in why["reasons"]] == [
        ("gpus-busy", 1, 0)
    ]
    running.cancel(holder)

    assert running.await_end(waiter)[0]["state"] == "succeeded"
    assert running.job(holder)["state"] == "cancelled"


def test_jobs_share_a_gpu_by_the_memory_they_declare(running: Fleet):
    share = {"gpus": 1, "gpu_memory_mib": 40 * 1024}
    jobs = [running.submit("sleep", "60", **share) for _ in range(3)]
    for job_id in jobs:
        running.await_state(job_id, "running")

    held = [running.attempts(job_id)[0]["gpus"][0]["uuid"] for job_id in jobs]
    assert len(set(held)) == 2
    for job_id in jobs:
        running.cancel(job_id)
    running.await_end(*jobs)


def test_the_live_samples_of_a_running_job_name_what_it_uses(running: Fleet):
    job_id = running.python("import time; block = bytearray(100 * 2**20); time.sleep(60)", gpus=1)
    running.await_state(job_id, "running")

    def latest() -> dict[str, float]:
        items = running.client.get(f"/v1/jobs/{job_id}/samples").json()["items"]
        return items[-1] if items else {}

    eventually(lambda: latest().get("memory_mib", 0) > 100)
    eventually(lambda: latest().get("gpu_utilisation_percent", 0) > 50)
    running.cancel(job_id)
    running.await_end(job_id)
    assert running.attempts(job_id)[0]["peak_memory_mib"] > 100


def test_a_node_says_where_it_is_and_what_jobs_may_ask_of_it(running: Fleet):
    node = running.client.get("/v1/nodes/n1").json()

    assert node["labels"] == {"node": "n1", "gpu": "simulated-gpu"}
    assert node["scratch_mib"] > 0
    assert node["address"]


def test_a_draining_node_takes_nothing_new_until_it_is_resumed(running: Fleet):
    running.client.put("/v1/nodes/n1/state", json={"state": "draining"}).raise_for_status()
    job_id = running.submit("true")
    reasons = running.client.get(f"/v1/jobs/{job_id}/why").json()["reasons"]
    assert "node-draining" in [reason["code"] for reason in reasons]

    running.client.put("/v1/nodes/n1/state", json={"state": "ready"}).raise_for_status()

    assert running.await_end(job_id)[0]["state"] == "succeeded"


def test_a_free_system_starts_a_job_within_two_seconds(running: Fleet):
    job_id = running.submit("sleep", "30")

    running.await_state(job_id, "running", within=2)

    running.cancel(job_id)
    running.await_end(job_id)


def test_nothing_is_left_of_jobs_that_are_over(running: Fleet):
    job_id = running.submit("sh", "-c", "setsid sleep 300 & exit 0")
    running.await_end(job_id)

    eventually(lambda: not running.job_processes(job_id))
    eventually(lambda: not list((running.home / "runs").glob(f"{job_id}*")))


def test_a_node_that_cannot_start_a_job_says_why_and_the_job_is_over(running: Fleet):
    running.await_end(running.submit("true"))
    runs = running.home / "runs"
    eventually(lambda: not list(runs.iterdir()))
    runs.rmdir()
    runs.touch()
    try:
        (job,) = running.await_end(running.submit("true"))
    finally:
        runs.unlink()

    assert job["state"] == "failed"
    assert job["reason"].startswith("Its node could not start it: [Errno")
    assert running.await_end(running.submit("true"))[0]["state"] == "succeeded"


def test_a_pipeline_hands_the_outputs_of_a_sweep_on(running: Fleet):
    write = "import os, sys; open(os.environ['LEVARE_OUTPUT'] + '/lr', 'w').write(sys.argv[1])"
    collect = """
import os, pathlib
print(sorted(path.read_text() for path in pathlib.Path(os.environ["LEVARE_INPUT_TRAIN"]).glob("*/lr")))
"""
    steps = [
        {"step": "train", "command": [sys.executable, "-c", write, "{lr}"], "array": {"grid": {"lr": [0.1, 0.2]}}},
        {"step": "collect", "command": [sys.executable, "-c", collect], "needs": ["train"]},
    ]
    made = running.client.post("/v1/pipelines", json={"jobs": steps}).raise_for_status().json()

    jobs = {each["step"]: each["job"] for each in made["steps"]}
    together = jobs["collect"]
    ended = running.await_end(jobs["train"], together)

    assert [job["state"] for job in ended] == ["succeeded", "succeeded"], ended
    assert ended[0]["reason"] == "All 2 elements succeeded."
    assert running.log(together) == b"['0.1', '0.2']\n"
