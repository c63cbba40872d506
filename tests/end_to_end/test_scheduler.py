"""What the scheduler promises, seen from outside: real processes, and jobs that tell what they saw themselves."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from levare.cli.witness import Ledger
from tests.conftest import BACKENDS
from tests.fleet import ROOT, Fleet, eventually, fleet

OURS = {"PYTHONPATH": str(ROOT)}
TRAIN = str(ROOT / "examples/preemptible/train.py")
AT_ONCE = {"min_runtime_seconds": 0}
WARNED = {"warning_signal": "USR1", "warning_seconds": 30}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One node with four GPUs, for all tests that leave nothing behind."""
    with fleet(tmp_path_factory.mktemp("scheduler")) as deployment:
        deployment.start_all()
        yield deployment


@pytest.fixture(params=BACKENDS)
def eight_gpus(
    request: pytest.FixtureRequest, tmp_path: Path, make_database_url: Callable[[str], str]
) -> Iterator[Fleet]:
    database = {} if request.param == "sqlite" else {"LEVARE_DATABASE": make_database_url(request.param)}
    with fleet(tmp_path, LEVARE_SIMULATED_GPUS="8x80GiB", **database) as deployment:
        deployment.start_all()
        yield deployment


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def sleep(running: Fleet, seconds: float, **wish: Any) -> str:
    """A job of a family of its own, so that nothing but its limit tells how long it takes."""
    return running.submit("sleep", str(seconds), **{"name": uuid4().hex[:8], "grace_seconds": 2, **wish})


def end(running: Fleet, *job_ids: str) -> None:
    for job_id in job_ids:
        running.cancel(job_id)
    running.await_end(*job_ids)


def states(running: Fleet, job_id: str) -> list[str]:
    return [attempt["state"] for attempt in running.attempts(job_id)]


def why(running: Fleet, job_id: str) -> dict[str, float | None]:
    """The reasons that somebody is told, with what is asked for."""
    reasons = running.client.get(f"/v1/jobs/{job_id}/why").raise_for_status().json()["reasons"]
    return {reason["code"]: reason["asked"] for reason in reasons}


def levare(running: Fleet, *arguments: str) -> str:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
    command = [sys.executable, "-c", "from levare.cli import main; main()", *arguments]
    environment = ours | OURS | {"LEVARE_HOME": str(running.home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def unsaved_gpu_seconds(attempt: dict[str, Any], now: datetime) -> float:
    """What ending an attempt now would lose."""
    saved = attempt["safe_at"] or attempt["placed_at"]
    return (now - instant(saved)).total_seconds() * len(attempt["gpus"])


def final_line(log: str) -> str:
    return next(line for line in log.splitlines() if line.startswith("final: "))


def log(running: Fleet, job_id: str, attempt: int) -> str:
    answer = running.client.get(f"/v1/jobs/{job_id}/logs", params={"attempt": attempt})
    return answer.raise_for_status().text


def test_an_urgent_job_ends_the_runs_that_lose_least_and_they_go_on_where_they_were(eight_gpus: Fleet, tmp_path: Path):
    running = eight_gpus
    slow = ("--steps", "1500", "--seconds-per-step", "0.012", "--save-every", "20")
    undisturbed = running.submit(sys.executable, TRAIN, "--steps", "1500", "--seconds-per-step", "0", env=OURS)
    one, three = (
        running.submit(sys.executable, TRAIN, *slow, gpus=gpus, env=OURS, name=f"gpus-{gpus}", **AT_ONCE, **WARNED)
        for gpus in (1, 3)
    )
    never_saved = sleep(running, 120, gpus=4, **AT_ONCE)
    running.await_state(never_saved, "running")

    def is_clear_who_loses_least() -> bool:
        lives = [running.attempts(job_id)[0] for job_id in (one, three, never_saved)]
        now = max(instant(life["safe_at"] or life["placed_at"]) for life in lives)
        small, large, unsaved = (unsaved_gpu_seconds(life, now) for life in lives)
        return all(life["safe_at"] for life in lives[:2]) and 2 * (small + large) < unsaved

    eventually(is_clear_who_loses_least, within=60)
    go = tmp_path / "go"
    urgent = running.submit("sh", "-c", f"until [ -e {go} ]; do sleep 0.05; done", gpus=4, priority=9)
    running.await_state(urgent, "running", within=60)
    told = why(running, three)
    go.touch()

    ended = running.await_end(undisturbed, urgent, one, three)
    assert [job["state"] for job in ended] == ["succeeded"] * 4
    assert told["gpus-busy"] == 3
    for victim in (one, three):
        first, second = running.attempts(victim)
        assert (first["state"], first["preempted_for"], second["state"]) == ("preempted", urgent, "succeeded")
        assert first["ended_at"] < running.job(urgent)["started_at"]
        saved = re.search(r"makes room: saved after step (\d+)", log(running, victim, 1))
        assert saved
        assert f"resumed after step {saved[1]}\n" in log(running, victim, 2)
        assert final_line(log(running, victim, 2)) == final_line(log(running, undisturbed, 1))
    assert states(running, never_saved) == ["running"]
    end(running, never_saved)


def test_an_array_runs_each_element_once_and_never_more_than_its_cap(running: Fleet, ledger: Ledger):
    array = {"size": 200, "cap": 3}
    job_id = running.submit(sys.executable, *ledger.arguments(seconds=0.1, slots=3), array=array)

    (job,) = running.await_end(job_id, within=60)

    assert (job["state"], job["reason"]) == ("succeeded", "All 200 elements succeeded.")
    assert ledger.starts() == {f"{job_id}_{index}": 1 for index in range(200)}
    assert (ledger.over(), ledger.twice()) == ([], [])


PIPELINE = """
name: nightly
jobs:
  - step: prepare
    command: [PYTHON, -c, "import os; open(os.environ['LEVARE_OUTPUT'] + '/data', 'w').write('data')"]
  - step: train
    command: [PYTHON, -c, "READ;
      open(os.environ['LEVARE_OUTPUT'] + '/model', 'w').write('model of ' + text('PREPARE', 'data'))"]
    gpus: 1
    needs: [prepare]
  - step: report
    command: [PYTHON, -c, "READ; print(text('PREPARE', 'data'), text('TRAIN', 'model'), sep=', ')"]
    needs: [prepare, train]
"""
READ = "import os; text = lambda step, name: open(os.environ['LEVARE_INPUT_' + step] + '/' + name).read()"
FAILING = """
jobs:
  - step: train
    command: [sh, -c, "exit 3"]
  - step: evaluate
    command: [echo, evaluated]
    needs: [train]
  - step: tidy
    command: [echo, tidied]
    needs: [{job: train, on: always}, {job: evaluate, on: always}]
"""


def test_the_steps_of_a_pipeline_hand_their_files_on(running: Fleet, tmp_path: Path):
    jobs = submitted(running, tmp_path / "nightly.yaml", PIPELINE.replace("PYTHON", sys.executable))

    ended = running.await_end(*jobs.values())

    assert [job["state"] for job in ended] == ["succeeded"] * 3, ended
    assert log(running, jobs["report"], 1) == "data, model of data\n"
    started = [running.job(jobs[step])["started_at"] for step in ("prepare", "train", "report")]
    assert started == sorted(started)


def test_a_step_that_is_always_wanted_runs_after_one_that_failed_and_one_that_was_skipped(
    running: Fleet, tmp_path: Path
):
    jobs = submitted(running, tmp_path / "failing.yaml", FAILING)

    train, evaluate, tidy = running.await_end(jobs["train"], jobs["evaluate"], jobs["tidy"])

    assert (train["state"], train["exit_code"]) == ("failed", 3)
    assert (evaluate["state"], running.attempts(jobs["evaluate"])) == ("cancelled", [])
    assert evaluate["reason"] == f"Skipped because it needs {train['id']} to succeed, and {train['id']} failed."
    assert (tidy["state"], log(running, jobs["tidy"], 1)) == ("succeeded", "tidied\n")


def submitted(running: Fleet, file: Path, text: str) -> dict[str, str]:
    """The jobs of the pipeline of this text, by step."""
    file.write_text(text.replace("READ", READ))
    pipeline = levare(running, "pipeline", "submit", str(file)).strip()
    found = json.loads(levare(running, "pipeline", "show", pipeline, "--json"))
    return {each["step"]: each["job"] for each in found["steps"]}


def test_small_jobs_start_before_a_large_one_only_where_they_do_not_delay_it(running: Fleet):
    holder = sleep(running, 120, gpus=3, timeout_seconds=8)
    running.await_state(holder, "running")
    large = sleep(running, 1, gpus=4, timeout_seconds=60)
    assert why(running, large)["gpus-busy"] == 4

    long = sleep(running, 120, gpus=1, timeout_seconds=3600)
    short = sleep(running, 1, gpus=1, timeout_seconds=3)

    running.await_state(short, "running", within=5)
    assert [running.job(job_id)["state"] for job_id in (holder, large, long)] == ["running", "waiting", "waiting"]
    running.await_state(large, "running", "succeeded")
    promised = instant(running.attempts(holder)[0]["placed_at"]) + timedelta(seconds=8)
    assert timedelta(seconds=-1) < instant(running.job(large)["started_at"]) - promised < timedelta(seconds=3)
    running.await_state(long, "running")
    assert running.job(long)["started_at"] > running.job(large)["finished_at"]
    end(running, long)


def declare(deployment: Fleet, team: str, **quota: Any) -> None:
    deployment.client.put(f"/v1/teams/{team}", json={"quota": quota}).raise_for_status()


def test_what_a_team_has_borrowed_goes_back_to_whose_quota_it_is_and_no_more(running: Fleet):
    declare(running, "borrower", gpus=2)
    declare(running, "owner", gpus=2)
    borrowing = [sleep(running, 120, gpus=1, team="borrower", **AT_ONCE) for _ in range(4)]
    for job_id in borrowing:
        running.await_state(job_id, "running")

    owned = [sleep(running, 120, gpus=1, team="owner", **AT_ONCE) for _ in range(3)]

    eventually(lambda: sorted(running.job(job_id)["state"] for job_id in owned) == ["running", "running", "waiting"])
    eventually(lambda: sum(running.job(job_id)["state"] == "waiting" for job_id in borrowing) == 2)
    third = next(job_id for job_id in owned if running.job(job_id)["state"] == "waiting")
    assert why(running, third)["gpus-busy"] == 1
    assert sorted(state for job_id in borrowing for state in states(running, job_id)) == [
        *("preempted", "preempted", "running", "running")
    ]
    assert [states(running, job_id) for job_id in owned if job_id != third] == [["running"], ["running"]]
    end(running, *borrowing, *owned)


def test_a_team_never_runs_more_jobs_at_once_than_its_quota_allows(running: Fleet, ledger: Ledger):
    declare(running, "solo", running=1)
    jobs = [running.submit(sys.executable, *ledger.arguments(seconds=0.2, slots=1), team="solo") for _ in range(8)]

    assert why(running, jobs[-1])["quota-running"] == 1

    assert {job["state"] for job in running.await_end(*jobs)} == {"succeeded"}
    assert ledger.starts() == dict.fromkeys(jobs, 1)
    assert ledger.over() == []
