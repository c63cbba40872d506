"""`levare submit` and `rerun`: what they send and what they print."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.pure.scripted import (
    JOB,
    Api,
    a_job,
    an_ended_job,
    levare_run,
)


def test_submit_prints_the_id_and_nothing_else():
    api = Api().on("POST /v1/jobs", a_job())

    result = levare_run(api, "submit", "--", "python", "train.py", "--lr", "0.1")

    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{JOB}\n", "")
    assert api.body()["command"] == ["python", "train.py", "--lr", "0.1"]


def test_submit_needs_no_dashes_before_a_command_with_options():
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--gpus", "1", "python", "train.py", "--gpus", "8", "--json")

    assert api.body()["command"] == ["python", "train.py", "--gpus", "8", "--json"]
    assert api.body()["gpus"] == 1


def test_submit_sends_every_option_in_the_units_of_the_api():
    api = Api().on("POST /v1/jobs", a_job())
    said = "--name n --team t --project p --priority 9 --gpus 2 --gpu-memory 20GiB --cpus 4 --memory 64G"
    needs = "--needs a1 --needs a2 --needs a3:failure --needs a4:success"
    more = "--retries 3 --timeout 1h30m --grace 2m --on-lost requeue --cwd /data --at 2030-01-02T12:00:00+02:00"

    result = levare_run(api, "submit", *said.split(), *needs.split(), *more.split(), "--", "true")

    assert result.exit_code == 0, result.stderr
    body = api.body()
    del body["env"]
    assert body == {
        "command": ["true"],
        "name": "n",
        "team": "t",
        "project": "p",
        "priority": 9,
        "gpus": 2,
        "gpu_memory_mib": 20480,
        "cpus": 4,
        "memory_mib": 65536,
        "needs": ["a1", "a2", {"job": "a3", "on": "failure"}, "a4"],
        "retries": 3,
        "timeout_seconds": 5400,
        "grace_seconds": 120,
        "on_lost": "requeue",
        "cwd": "/data",
        "start_after": "2030-01-02T10:00:00+00:00",
    }


def test_submit_sends_a_zero_that_was_said():
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--priority", "0", "--grace", "0", "--", "true")

    assert (api.body()["priority"], api.body()["grace_seconds"]) == (0, 0)


def test_submit_sends_this_place_and_only_the_named_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    for name in ("VIRTUAL_ENV", "CONDA_DEFAULT_ENV", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", "/venv/bin:/usr/bin")
    monkeypatch.setenv("CONDA_PREFIX", "/conda")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    monkeypatch.setenv("TOKEN", "a=b")
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--env", "SEED=7", "--env", "TOKEN", "--env", "CONDA_PREFIX=", "--", "true")

    assert api.body()["cwd"] == str(tmp_path)
    assert api.body()["env"] == {"PATH": "/venv/bin:/usr/bin", "CONDA_PREFIX": "", "SEED": "7", "TOKEN": "a=b"}


@pytest.mark.parametrize(("said", "sent"), [("", ""), ("data", "{here}/data"), ("/data", "/data")])
def test_submit_makes_a_directory_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str, sent: str):
    monkeypatch.chdir(tmp_path)
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--cwd", said, "--", "true")

    assert api.body()["cwd"] == sent.format(here=tmp_path)


def test_submit_at_a_time_from_now_or_in_this_machines_zone():
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--at", "+30m", "--", "true")
    levare_run(api, "submit", "--at", "2030-07-01 20:00", "--", "true")

    soon, later = (datetime.fromisoformat(api.body(place)["start_after"]) for place in (0, 1))
    assert timedelta(minutes=29) < soon - datetime.now(UTC) <= timedelta(minutes=30)
    assert later == datetime(2030, 7, 1, 20).astimezone()  # local time is what is meant


def test_a_dry_run_says_why_it_would_wait():
    reason = {"code": "gpus-busy", "kind": "will-wait", "message": "Asks for 4 GPUs; 2 are free.", "asked": 4}
    answer = {"accepted": True, "state": "waiting", "reasons": [reason]}
    api = Api().on("POST /v1/jobs", answer)

    result = levare_run(api, "submit", "--dry-run", "--", "x")

    assert result.stdout == "It would be accepted, and be waiting at first.\n  - Asks for 4 GPUs; 2 are free.\n"
    assert api.asked[0].url.params["dry_run"] == "true"
    assert json.loads(levare_run(api, "submit", "--dry-run", "--json", "--", "x").stdout) == answer


def test_rerun_sends_the_same_request_again():
    old = an_ended_job(
        "failed", 1, needs=["a1"], gpu_memory_mib=20480, timeout_seconds=60, start_after="2030-01-01T00:00:00Z"
    )
    api = Api().on(f"GET /v1/jobs/{JOB}", old).on("POST /v1/jobs", a_job(id="n3w"))

    result = levare_run(api, "rerun", JOB)

    assert result.stdout == "n3w\n"
    asked = "command name team project priority gpus gpu_memory_mib cpus memory_mib needs retries timeout_seconds"
    names = [*asked.split(), "grace_seconds", "env", "cwd", "on_lost"]
    assert api.body() == {name: old[name] for name in names}


def test_a_need_of_an_unknown_outcome_is_a_misuse():
    result = levare_run(Api(), "submit", "--needs", "a1:maybe", "--", "true")

    assert result.exit_code == 2
    assert "'a1:maybe' is not JOB, JOB:failure or JOB:always" in result.stderr
