"""`levare submit`: what it sends and what it prints."""

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from levare.cli.submit import SECTIONS, submit
from tests.pure.scripted import (
    JOB,
    Api,
    a_job,
    a_why,
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
    answer = a_why(job=None, reasons=[reason]) | {"accepted": True}
    api = Api().on("POST /v1/jobs", answer)

    result = levare_run(api, "submit", "--dry-run", "--", "x")

    lines = result.stdout.splitlines()
    assert lines[:2] == ["It would be accepted, and would wait; for how long cannot be told.", "Nothing tells."]
    assert lines[2:5] == ["", "Why it waits", "  - Asks for 4 GPUs; 2 are free."]
    assert api.asked[0].url.params["dry_run"] == "true"
    assert json.loads(levare_run(api, "submit", "--dry-run", "--json", "--", "x").stdout) == answer


def test_a_dry_run_of_an_array_says_how_many_elements_would_start():
    message = "2 of its elements start at the next decision, others as room comes."
    estimate = {"typical": "2030-01-01T12:00:00Z", "latest": "2030-01-01T12:00:00Z", "message": message}
    api = Api().on("POST /v1/jobs", a_why(job=None, verdict="starts-now", estimate=estimate) | {"accepted": True})

    told = levare_run(api, "submit", "--dry-run", "--array", "3", "--", "x").stdout

    assert " ".join(told.splitlines()) == f"It would be accepted, and would start at once. {message}"


def test_submit_names_secrets_seeds_and_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    api = Api().on("POST /v1/jobs", a_job())
    said = "--secret API_KEY=HUB --secret TOKEN --seed 7 --data train=imagenet@v3 --data val=./val"

    result = levare_run(api, "submit", *said.split(), "--", "true")

    assert result.exit_code == 0, result.stderr
    env = api.body()["env"]
    assert (env["API_KEY"], env["TOKEN"]) == ({"secret": "HUB"}, {"secret": "TOKEN"})
    assert (env["LEVARE_SEED"], env["LEVARE_DATA"]) == ("7", f"train=imagenet@v3,val={tmp_path}/val")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("--secret API_KEY=hub", "'API_KEY=hub' is not a variable and the name of a secret such as API_KEY=HUB_KEY"),
        ("--secret API_KEY=HUB --env API_KEY=x", "API_KEY is given twice, by --env and as the secret HUB"),
        ("--data a,b", "'a,b' is not an id such as imagenet@v3, NAME=ID, or a path such as ./data"),
        ("--seed -1", "-1 is not in the range"),
    ],
)
def test_a_secret_a_seed_or_data_that_cannot_be_meant_is_refused(said: str, told: str):
    result = levare_run(Api(), "submit", *said.split(), "--", "true")

    assert result.exit_code == 2
    assert told in " ".join(result.stderr.split())


def test_submit_sends_what_jobs_rarely_ask_for():
    api = Api().on("POST /v1/jobs", a_job())
    said = "--scratch 2TiB --gpu-model H100 --resource licence=2 --resource port=1 --require zone=a --require disk=nvme"
    more = "--prefer rack=7 --avoid node=atlas --nodes 4 --spread --retry-on exit:64-78 --retry-on lost --backoff 1m"
    rest = "--memory-growth 1.5 --no-preempt --min-runtime 2h --signal-before sigusr1@60s --only-between 22:00-06:00"
    more += " --retries 2"

    result = levare_run(
        api, "submit", *said.split(), *more.split(), *rest.split(), "--deadline", "2190-01-01T00:00Z", "--", "true"
    )

    assert result.exit_code == 0, result.stderr
    assert {name: value for name, value in api.body().items() if name not in ("command", "env", "cwd", "code")} == {
        "scratch_mib": 2097152,
        "gpu_model": "H100",
        "resources": {"licence": 2, "port": 1},
        "require": {"zone": "a", "disk": "nvme"},
        "prefer": {"rack": "7"},
        "avoid": {"node": "atlas"},
        "nodes": 4,
        "spread": True,
        "retries": 2,
        "retry_on": ["exit:64-78", "lost"],
        "backoff_seconds": 60,
        "memory_growth": 1.5,
        "preemptible": False,
        "min_runtime_seconds": 7200,
        "warning_signal": "USR1",
        "warning_seconds": 60,
        "deadline": "2190-01-01T00:00:00+00:00",
        "only_between": "22:00-06:00",
    }


@pytest.mark.parametrize("option", [("--retry-on", "lost"), ("--backoff", "30s"), ("--memory-growth", "1.5")])
def test_how_it_is_tried_again_means_nothing_without_retries(option: tuple[str, str]):
    result = levare_run(api := Api(), "submit", *option, "--", "true")

    assert (result.exit_code, api.asked) == (2, [])
    assert f"so {option[0]} means nothing; give --retries N too" in result.stderr


def test_submit_sends_nothing_that_was_not_said():
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--", "true")

    assert api.body().keys() - {"code"} == {"command", "env", "cwd"}


@pytest.mark.parametrize(
    ("option", "value", "hint"),
    [
        ("--resource", "licence", "such as licence=3"),
        ("--resource", "licence=0", "from 1 to 1000000"),
        ("--require", "zone", "such as disk=nvme"),
        ("--avoid", "zone=a b", "such as disk=nvme"),
        ("--retry-on", "oom", "out_of_memory"),
        ("--retry-on", "exit:300", "exit:64-78"),
        ("--memory-growth", "5", "1<=x<=4"),
        ("--signal-before", "KILL@60s", "such as USR1@60s"),
        ("--signal-before", "USR1", "such as USR1@60s"),
        ("--signal-before", "USR1@0s", "such as USR1@60s"),
        ("--only-between", "22-6", "such as 22:00-06:00"),
        ("--only-between", "06:00-06:00", "two different times"),
        ("--only-between", "22:00-24:00", "such as 22:00-06:00"),
        ("--nodes", "0", "1<=x<=64"),
        ("--memory", "10", "'10' has no unit and would be 10 MiB: write 10GiB or 10MiB"),
        ("--gpu-memory", "63", "63 MiB: write 63GiB or 63MiB"),
        ("--scratch", "1.5", "write 1.5GiB or 1.5MiB"),
    ],
)
def test_what_an_option_does_not_take_is_refused_with_an_example(option: str, value: str, hint: str):
    api = Api()

    result = levare_run(api, "submit", option, value, "--", "true")

    assert (result.exit_code, api.asked) == (2, [])
    assert value in result.stderr
    assert hint in result.stderr


@pytest.mark.parametrize("option", ["--require", "--prefer", "--avoid", "--resource"])
def test_a_name_that_is_given_twice_is_refused(option: str):
    result = levare_run(Api(), "submit", option, "a=1", option, "a=2", "--", "true")

    assert result.exit_code == 2
    assert "'a' is given twice, as 1 and 2" in result.stderr


def test_the_help_of_submit_tells_every_option_once_in_its_section():
    text = levare_run(Api(), "submit", "--help").stdout

    heads = ("What it needs:", "When it starts:", "How it ends:", "Options:")
    assert sorted(heads, key=text.index) == list(heads)
    declared = {option for param in submit.params for option in param.opts if option.startswith("--")}
    told = re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE)
    assert sorted(told) == sorted({*declared, "--help"})
    assert {name for names in SECTIONS.values() for name in names} <= {param.name for param in submit.params}


def test_a_need_of_an_unknown_outcome_is_a_misuse():
    result = levare_run(Api(), "submit", "--needs", "a1:maybe", "--", "true")

    assert result.exit_code == 2
    assert "'a1:maybe' is not JOB, JOB:failure or JOB:always" in result.stderr


def test_submit_tells_of_the_checkout_that_it_is_called_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    git = ["git", "-C", str(tmp_path), "-c", "user.name=ann", "-c", "user.email=ann@example.org"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("print(1)")
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *arguments], check=True)

    def code() -> dict[str, object]:
        api = Api().on("POST /v1/jobs", a_job())
        levare_run(api, "submit", "--", "true")
        return api.body()["code"]

    clean = code()
    (tmp_path / "train.py").write_text("print(2)")
    changed = code()

    assert (clean["dirty"], clean["diff"], clean["root"]) == (False, None, str(tmp_path))
    assert (changed["commit"], changed["dirty"]) == (clean["commit"], True)
    assert changed["diff"]


def test_the_id_of_the_data_is_a_variable_of_the_job():
    api = Api().on("POST /v1/jobs", a_job())

    levare_run(api, "submit", "--data", "imagenet@v3", "--", "true")

    assert api.body()["env"]["LEVARE_DATA"] == "imagenet@v3"
