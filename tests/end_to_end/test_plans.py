"""Plans as people make them: the example of a fleet from file to file, what is refused, and ten thousand objects."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from levare.cli import levare as command_line
from levare.client import Client
from tests.end_to_end.serving import Api, refused, serving

ROOT = Path(__file__).parents[2]
FLEET = ROOT / "examples" / "fleet"
JOB = {"command": ["true"]}


def levare(api: Api, *args: str, code: int = 0) -> str:
    """What it says to its reader; what it has to complain about, if it is to fail."""
    with Client(api.url, api.settings.token_file.read_text()) as client:
        done = CliRunner().invoke(command_line, args, obj=client)
    assert done.exit_code == code, (args, done.output[-2000:])
    return done.stderr if code == 1 else done.stdout


def declared(api: Api) -> Any:
    return json.loads(levare(api, "export", "--json"))


def test_the_example_goes_from_file_to_fleet_and_back(api: Api, tmp_path: Path, make_database_url):
    file, saved, exported = str(FLEET / "levare.yaml"), str(tmp_path / "a.plan"), str(tmp_path / "levare.yaml")
    shown = levare(api, "plan", file, "--env", "production", "-o", saved, code=2)
    assert "+ schedule nightly" in shown
    assert "nightly: never -> " in shown

    assert "Applied as revision 1" in levare(api, "apply", saved, "--yes", "--reason", "The first fleet.")
    assert "No changes" in levare(api, "plan", file, "--env", "production")
    assert "No drift" in levare(api, "drift")
    then = declared(api)
    levare(api, "teams", "set", "vision", "--weight", "5")
    levare(api, "schedules", "pause", "nightly", "--reason", "No data.")

    drift = levare(api, "drift", code=2)
    assert "~ team vision  (revision 2 by admin," in drift
    assert "weight: 2.0 -> 5.0" in drift
    assert "paused: (none) -> true" in drift
    assert "~ team vision" in levare(api, "drift", file, "--env", "production", code=2)
    levare(api, "rollback", "1", "--yes")

    assert declared(api)["digest"] == then["digest"]
    assert "No drift" in levare(api, "drift", file, "--env", "production")
    history = json.loads(levare(api, "history", "--json"))["items"]
    assert [row["origin"] for row in history] == ["rollback", "edit", "edit", "apply"]
    assert history[-1]["reason"] == "The first fleet."
    assert "~ team vision" in levare(api, "history", "2")
    levare(api, "export", "-o", exported)
    assert "No changes" in levare(api, "plan", exported)
    with serving(tmp_path / "elsewhere", make_database_url("sqlite")) as other:
        assert levare(other, "plan", exported, code=2).count("\n+ ") == len(then["objects"]) - 1
        levare(other, "apply", exported, "--yes")
        assert (declared(other)["objects"], declared(other)["digest"]) == (then["objects"], then["digest"])


def test_a_plan_that_is_out_of_date_or_was_changed_by_hand_is_refused(local_api: Api, tmp_path: Path):
    manifest, saved = tmp_path / "levare.yaml", tmp_path / "a.plan"
    manifest.write_text("version: 1\nteams: {vision: {weight: 2}}\n")
    levare(local_api, "plan", str(manifest), "-o", str(saved), code=2)
    assert saved.stat().st_mode & 0o777 == 0o600
    plan = json.loads(saved.read_text())
    plan["changes"][0]["after"]["weight"] = 100.0
    by_hand = tmp_path / "b.plan"
    by_hand.write_text(json.dumps(plan))

    assert "plan is not as it was made" in levare(local_api, "apply", str(by_hand), "--yes", code=1)
    levare(local_api, "teams", "set", "speech", "--weight", "3")
    told = levare(local_api, "apply", str(saved), "--yes", code=1)

    assert "revision 1 by admin changed team speech" in told
    assert "Plan again" in told
    assert [each["name"] for each in declared(local_api)["objects"]] == ["speech"]
    levare(local_api, "apply", str(manifest), code=2)  # nobody is there to ask
    assert local_api.get("/v1/lock")["owner"] is None


def test_while_somebody_has_the_lock_nobody_else_applies(local_api: Api, tmp_path: Path):
    manifest = tmp_path / "levare.yaml"
    manifest.write_text("version: 1\nteams: {vision: {weight: 2}}\n")
    lock = {"id": "somebody-1", "seconds": 600, "reason": "A release."}
    assert local_api.client.put("/v1/lock", json=lock).json()["owner"] == "admin"

    assert "admin has held the lock since" in levare(local_api, "apply", str(manifest), "--yes", code=1)
    refused(local_api.client.put("/v1/lock", json=lock | {"id": "somebody-2"}), 409, "locked")
    levare(local_api, "apply", str(manifest), "--yes", "--break-lock")

    assert local_api.get("/v1/lock")["id"] is None


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"kind": "team", "name": "a", "document": {"weight": -1}}, "team.a.weight"),
        ({"kind": "schedule", "name": "a", "document": {"cron": "0 3 * * *"}}, "schedule.a.job"),
        ({"kind": "trigger", "name": "a", "document": {"when": {}, "job": JOB}}, "trigger.a.when"),
        ({"kind": "channel", "name": "a", "document": {}}, "channel.a.webhook"),
        ({"kind": "window", "name": "a", "document": {"nodes": ["n"]}}, "window.a.starts"),
    ],
)
def test_what_no_put_would_take_no_plan_takes(refusing_api: Api, wanted: dict[str, Any], field: str):
    answer = refusing_api.client.post("/v1/plan", json={"objects": [wanted]})

    assert answer.status_code == 422, answer.text
    assert field in [each["field"] for each in answer.json()["errors"]]


def test_what_is_missed_is_told(refusing_api: Api):
    refused(refusing_api.client.post("/v1/plan", json={}), 422, "contradiction")
    refused(refusing_api.client.post("/v1/plan", json={"rollback_to": 99}), 404, "not-found")
    refused(refusing_api.client.get("/v1/revisions/99"), 404, "not-found")


def test_ten_thousand_objects_are_planned_and_applied(local_api: Api):
    schedules = [
        {"kind": "schedule", "name": f"s{n}", "document": {"cron": f"{n % 60} 3 * * *", "job": JOB}}
        for n in range(9000)
    ]
    teams = [{"kind": "team", "name": f"t{n}", "document": {"weight": 2}} for n in range(1000)]
    wanted = {"objects": [*schedules, *teams]}
    plan = local_api.client.post("/v1/plan", json=wanted, timeout=120).json()

    made = local_api.client.post("/v1/revisions", json={"plan": plan}, timeout=120)

    assert made.json() == {
        "revision": 1,
        "digest": plan["declared_after"],
        "created": 10_000,
        "updated": 0,
        "removed": 0,
    }
    again = local_api.client.post("/v1/plan", json=wanted, timeout=120).json()
    assert again["changes"] == []


def test_the_workflow_plans_a_change_and_applies_it_by_its_commands(local_api: Api, tmp_path: Path):
    """As a runner would: the `run:` of each step, in order, in a checkout of its own."""
    workflow = YAML(typ="safe").load((ROOT / "deploy" / "ci" / "manifest.yaml").read_text())
    checkout = tmp_path / "checkout"
    (checkout / "fleet").mkdir(parents=True)
    (checkout / "fleet" / "levare.yaml").write_text("version: 1\nteams: {vision: {weight: 2}}\n")
    for command in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "One"],
    ):
        subprocess.run(["git", *command], cwd=checkout, check=True, capture_output=True)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    posted = tmp_path / "posted"
    for name, script in {
        "levare": f"exec {sys.executable} -c 'from levare.cli import main; main()' \"$@\"",
        "gh": f'cat "${{@: -1}}" >> {posted}',
        "pip": "exit 0",
    }.items():
        (bin_ / name).write_text(f"#!/bin/bash\n{script}\n")
        (bin_ / name).chmod(0o755)

    assert run_job(workflow, "plan", local_api, checkout, bin_) == 0
    assert "+ team vision" in posted.read_text()
    assert local_api.get("/v1/revisions")["items"] == []
    assert run_job(workflow, "apply", local_api, checkout, bin_) == 0
    [made] = local_api.get("/v1/revisions")["items"]
    assert (made["created"], made["dirty"], len(made["commit"])) == (1, False, 40)
    (checkout / "fleet" / "levare.yaml").write_text("version: 1\nteams: {vision: {weight: -2}}\n")
    assert run_job(workflow, "plan", local_api, checkout, bin_) == 1
    assert local_api.get("/v1/revisions")["items"] == [made]


def run_job(workflow: Any, name: str, api: Api, checkout: Path, bin_: Path) -> int:
    """The code of the first step that fails, or 0."""
    known = {key: value for key, value in os.environ.items() if not key.startswith("LEVARE_")}
    outside = {"LEVARE_URL": api.url, "LEVARE_TOKEN": api.settings.token_file.read_text(), "PR": "7", "GH_TOKEN": "x"}
    outside |= {"GITHUB_STEP_SUMMARY": str(checkout.parent / "summary"), "GITHUB_SHA": "0" * 40}
    outside |= {"RUNNER_TEMP": str(checkout.parent)}
    outside |= {key: str(value) for key, value in workflow["env"].items() if "${{" not in str(value)}
    for step in workflow["jobs"][name]["steps"]:
        if "run" not in step:
            continue
        done = subprocess.run(
            ["bash", "-eo", "pipefail", "-c", step["run"]],
            cwd=checkout,
            env=known | outside | {"PATH": f"{bin_}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            return done.returncode
    return 0
