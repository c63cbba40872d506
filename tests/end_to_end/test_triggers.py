"""Triggers seen from outside: real processes, an event by HTTP, a file that somebody drops."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from levare.store.engine import Database
from levare.store.tables_triggers import watches
from tests.fleet import ROOT, Fleet, eventually, fleet

RETRAIN = ROOT / "examples/retrain"
OURS = {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
SAY = "import os; print(os.environ['LEVARE_EVENT']); print(os.environ['LEVARE_PARAM_DATASET'])"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("triggers")) as deployment:
        deployment.start_all()
        yield deployment


def declare(running: Fleet, name: str, **definition: Any) -> None:
    answer = running.client.put(f"/v1/triggers/{name}", json=definition)
    assert answer.status_code == 200, answer.text


def send(running: Fleet, **event: Any) -> None:
    whole = {"specversion": "1.0", "source": "/tests", "type": "data.ready", **event}
    headers = {"content-type": "application/cloudevents+json"}
    assert running.client.post("/v1/events", content=json.dumps(whole), headers=headers).is_success


def happened(running: Fleet, name: str) -> list[dict[str, Any]]:
    return running.client.get(f"/v1/triggers/{name}/activations").raise_for_status().json()["items"]


def ran(running: Fleet, name: str, count: int = 1) -> list[dict[str, Any]]:
    def runs() -> list[dict[str, Any]]:
        return [each for each in happened(running, name) if each["outcome"] == "run"]

    eventually(lambda: len(runs()) >= count, within=60)
    return runs()


def test_an_event_by_http_starts_a_job_that_sees_its_data_and_only_once(running: Fleet):
    job = {"command": [sys.executable, "-c", SAY]}
    when = {"event": {"type": "data.*", "where": {"data.dataset": "$(touch /tmp/x)"}}}
    declare(running, "event", when=when, job=job, parameters={"dataset": {"from": "data.dataset"}})
    for _ in range(3):
        send(running, id="a1", data={"dataset": "$(touch /tmp/x)"})

    [activation] = ran(running, "event")
    running.await_end(activation["job"])

    event, dataset = running.log(activation["job"]).decode().splitlines()
    assert json.loads(event)["data"] == {"dataset": "$(touch /tmp/x)"}
    assert dataset == "$(touch /tmp/x)"
    assert len(happened(running, "event")) == 1


def test_an_event_that_came_while_no_beat_ran_is_not_lost_and_not_doubled(running: Fleet):
    declare(running, "patient", when={"event": {"type": "patient"}}, job={"command": ["true"]})
    running.kill("beat", number=signal.SIGKILL)
    for number in range(3):
        send(running, type="patient", id=f"p{number}")
    running.start("beat", "beat:2")

    assert len(ran(running, "patient", 3)) == 3
    running.kill("beat:2")
    jobs = {each["job"] for each in happened(running, "patient")}
    assert len(jobs) == 3
    running.await_end(*jobs)


def test_a_resource_is_read_from_the_heartbeats(running: Fleet):
    when = {"resource": {"resource": "disk", "above": 0.01, "for_seconds": 1}}
    declare(running, "full", when=when, job={"command": ["true"]})

    [activation] = ran(running, "full")

    assert activation["event"]["subject"] == "n1"
    running.await_end(activation["job"])


def levare(running: Fleet, *arguments: str) -> str:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
    command = [sys.executable, "-c", "from levare.cli import main; main()", *arguments]
    environment = ours | OURS | {"LEVARE_HOME": str(running.home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_command_line_declares_sends_pauses_and_tells(running: Fleet, tmp_path: Path):
    file = tmp_path / "cli.yaml"
    file.write_text("when: {event: {type: 'cli.*'}}\njob: {command: [pwd], cwd: /}\nbrakes: {per_day: 1}\n")

    levare(running, "triggers", "set", "cli", str(file))
    levare(running, "events", "send", "cli.a", "--id", "1", "--data", '{"n": 1}')
    running.await_end(ran(running, "cli")[0]["job"])
    levare(running, "triggers", "pause", "cli", "--reason", "Enough.")
    levare(running, "events", "send", "cli.b", "--id", "2")
    eventually(lambda: len(happened(running, "cli")) == 2)

    assert "Paused by admin: Enough." in levare(running, "triggers", "activations", "cli")
    assert "was held: Paused by admin" in levare(running, "triggers", "why", "cli")
    assert "1 run for 2 occurrences" in levare(running, "triggers", "simulate", "cli", "--since", "1h")
    assert "cli.b" in levare(running, "events", "--type", "cli.b")
    assert "paused by admin" in levare(running, "triggers")


def retraining(folder: Path, **files: Any) -> dict[str, Any]:
    """The example as it stands, in a folder of the test."""
    found = YAML(typ="safe").load((RETRAIN / "retrain.yaml").read_text())
    found["when"]["files"] |= {"path": str(folder / "incoming" / "*.csv"), "quiet_seconds": 1, "interval_seconds": 1}
    found["when"]["files"] |= files
    for job in found["pipeline"]["jobs"]:
        job |= {"cwd": str(ROOT), "env": OURS | {name: str(folder / "models") for name in job.get("env", {})}}
    return found


@pytest.mark.parametrize("node", ["n1", None])
def test_a_file_that_is_dropped_retrains_and_promotes_what_is_better(running: Fleet, tmp_path: Path, node: str | None):
    incoming, name = tmp_path / "incoming", f"retrain-{node}"
    incoming.mkdir()
    declare(running, name, **retraining(tmp_path, **({"node": node} if node else {})))
    eventually(lambda: is_watched(running, name), within=30)

    for count, said in ((600, "promoted"), (601, ""))[: 2 if node else 1]:
        command = [sys.executable, str(RETRAIN / "drop.py"), str(incoming), str(count)]
        subprocess.run(command, check=True, env=os.environ | OURS)
        newest = ran(running, name, 1 if count == 600 else 2)[0]
        steps = steps_of(running, newest["pipeline"])
        running.await_end(*steps.values(), within=120)
        logs = {step: running.log(job).decode() for step, job in steps.items()}
        assert {step: running.job(job)["state"] for step, job in steps.items()} == dict.fromkeys(
            ("prepare", "train", "evaluate", "promote"), "succeeded"
        ), logs
        assert f"{count} digits of 1 files" in logs["prepare"]
        assert said in logs["promote"]
    assert json.loads((tmp_path / "models" / "model.json").read_text())["accuracy"] > 0.5


def steps_of(running: Fleet, pipeline: str) -> dict[str, str]:
    found = running.client.get(f"/v1/pipelines/{pipeline}").raise_for_status().json()
    return {step["step"]: step["job"] for step in found["steps"]}


def is_watched(running: Fleet, name: str) -> bool:
    """Whether somebody has taken the first look."""
    database = Database(f"sqlite:///{running.home / 'levare.db'}")
    with database.reading() as connection:
        found = connection.execute(watches.select().where(watches.c.trigger == name)).first()
    database.dispose()
    return found is not None
