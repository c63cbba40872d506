"""The guides, as somebody who reads them: every command in them is run. What each takes for granted stands here."""

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.end_to_end.reading import DOCS, Reader, steps
from tests.fleet import Fleet, eventually, fleet

TRAINING = """
import levare
levare.params(lr=0.1)
levare.log(step=1, stage="train", loss=0.1)
levare.log(step=1, stage="val", accuracy=0.9, score=1)
"""
SCRIPTS = ("train.py", "prepare.py", "evaluate.py", "report_crash.py", "clean_up.py", "tell.py", "report.py", "part.sh")
SETTINGS = {
    "LEVARE_NODE": "atlas",
    "LEVARE_SIMULATED_GPUS": "2x24GiB",
    "LEVARE_CHANNEL_NETWORKS": "127.0.0.0/8",
    "LEVARE_SECRET_HUB_KEY": "a",
    "LEVARE_SECRET_WANDB_API_KEY": "b",
}
ELSEWHERE = {
    "dossiers.md": "tests/end_to_end/test_failures.py, tests/pure/test_dossiers.py",
    "gangs.md": "tests/end_to_end/test_gangs.py",
    "gpus.md": "tests/end_to_end/test_gpu_truth.py",
    "reproducing.md": "tests/end_to_end/test_reruns.py",
    "scheduling.md": "tests/situations.py writes it",
    "scheduling-benchmarks.md": "campaigns of hours",
    "client.md": "tests/end_to_end/test_generated_client.py",
    "commands.md": "tests/pure/test_cli.py",
}
"""Guides of which the commands are run, or what they show is made, by others."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("guides"), **SETTINGS) as deployment:
        deployment.start_all()
        yield deployment


class Listener(BaseHTTPRequestHandler):
    """Takes what it is told."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the base names it
        """Says nothing."""


@pytest.fixture(scope="module")
def listener() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def reader(running: Fleet, tmp_path: Path, listener: str) -> Iterator[Reader]:
    """Somebody to whom it is all new: what the guide before has declared is gone, and what it submitted too."""
    reader = Reader(running, tmp_path, listener)
    for name in SCRIPTS:
        reader.write(name, "#!/bin/sh\n" if name.endswith(".sh") else TRAINING)
    yield reader
    plan = running.client.post("/v1/plan", json={"objects": [], "effect": False}).raise_for_status().json()
    running.client.post("/v1/revisions", json={"plan": plan}).raise_for_status()
    for state in ("blocked", "waiting", "placed", "starting", "running"):
        for job in running.client.get(f"/v1/jobs?state={state}").json()["items"]:
            running.cancel(job["id"])


def two_trainings(reader: Reader) -> None:
    """Under the ids that guides write, of a family and a schedule."""
    job = {"name": "resnet-50", "team": "vision", "project": "imagenet", "cwd": str(reader.folder)}
    for written in ("k3v9x2m1qa", "7c0q4m2z9d"):
        reader.ids[written] = reader.running.submit(sys.executable, "train.py", **job)
    reader.running.await_end(*reader.ids.values())
    reader.ids = {"k3v9x2m1qa-2": f"{reader.ids['7c0q4m2z9d']}-1", **reader.ids}
    a_schedule(reader)


def a_schedule(reader: Reader) -> None:
    wanted = {"cron": "0 3 * * *", "job": {"command": ["python", "train.py"], "cwd": str(reader.folder)}}
    reader.running.client.put("/v1/schedules/nightly", json=wanted).raise_for_status()
    made = reader.running.client.get("/v1/schedules/nightly")
    reader.ids["12-9f1c3a520b6e4c1e"] = made.headers["etag"].strip('"')
    reader.write("nightly.json", json.dumps({**wanted, "cron": "0 4 * * *"}))


def an_alert(reader: Reader) -> None:
    """Of a job that has failed, and a channel that takes what it is told."""
    job = reader.running.python("raise ValueError('broken')", name="broken")
    found = eventually(lambda: reader.running.client.get(f"/v1/alerts?job={job}").json()["items"], within=60)
    reader.ids |= {"17": str(found[0]["number"]), "k3v9x2m1qa": job}
    webhook = {"webhook": {"url": reader.listener}}
    reader.running.client.put("/v1/channels/ops", json=webhook).raise_for_status()
    a_schedule(reader)


def a_folder_of_manifests(reader: Reader) -> None:
    """As the guide's own examples have it."""
    examples = re.findall(r"```yaml\n(.*?)```", (DOCS / "manifest.md").read_text(), re.DOTALL)
    [whole] = [example for example in examples if example.startswith("# yaml-language-server")]
    [staged] = [example for example in examples if "environments:" in example]
    [with_checkout] = [example for example in examples if "CHECKOUT:" in example]
    reader.write("levare.yaml", whole)
    reader.write("fleet/levare.yaml", staged)
    reader.write("fleet/train.yaml", with_checkout.replace("GPUS: 4", "OTHER: 4").replace("${GPUS}", "${OTHER}"))


def a_revision(reader: Reader) -> None:
    a_folder_of_manifests(reader)
    reader.running.client.put("/v1/teams/vision", json={"weight": 3.0}).raise_for_status()
    newest = reader.running.client.get("/v1/revisions").json()["items"][0]["number"]
    reader.ids["rollback 11"] = f"rollback {newest} --yes"


def a_past(reader: Reader) -> None:
    two_trainings(reader)
    a_folder_of_manifests(reader)
    for team in ("vision", "speech"):
        reader.running.client.put(f"/v1/teams/{team}", json={"weight": 1.0}).raise_for_status()


def a_waiting_file(reader: Reader) -> None:
    reader.write("params.csv", "lr,seed\n0.1,1\n0.01,2\n")
    for written in ("k3v9x2m1qa", "a1b2c3d4e5"):
        reader.ids[written] = reader.running.python("import time; time.sleep(600)", gpus=1)


BEFORE: Mapping[str, Callable[[Reader], None]] = {
    "first-run.md": lambda _: None,
    "training.md": lambda _: None,
    "operating.md": lambda _: None,
    "sharing.md": lambda _: None,
    "schedules.md": lambda _: None,
    "triggers.md": lambda _: None,
    "monitoring.md": an_alert,
    "monitoring-samples.md": two_trainings,
    "manifest.md": a_folder_of_manifests,
    "manifest-changes.md": a_revision,
    "pools.md": lambda _: None,
    "security.md": lambda _: None,
    "metrics.md": two_trainings,
    "pipelines.md": a_waiting_file,
    "preemption.md": lambda _: None,
    "simulating.md": a_past,
    "secrets.md": lambda _: None,
    "report.md": two_trainings,
    "audit.md": lambda _: None,
    "api.md": a_schedule,
}


@pytest.mark.parametrize("guide", BEFORE)
def test_every_command_of_the_guide_does_what_it_says(guide: str, reader: Reader):
    BEFORE[guide](reader)
    reader.read((DOCS / guide).read_text())


def test_no_guide_is_left_out():
    with_commands = {path.name for path in DOCS.glob("*.md") if any(steps(path.read_text()))}

    assert with_commands == {*BEFORE, *ELSEWHERE}


def test_what_was_backed_up_is_there_again_where_it_is_put_back(running: Fleet, reader: Reader, tmp_path: Path):
    [backup] = [step for step in steps((DOCS / "operating.md").read_text()) if "VACUUM INTO" in step.command]
    job = running.submit("true")
    running.await_end(job)
    reader.do(backup)
    home = tmp_path / "restored"
    home.mkdir()
    (tmp_path / "backup.db").rename(home / "levare.db")

    with fleet(home, **SETTINGS) as restored:
        restored.start_all()
        assert restored.job(job)["state"] == "succeeded"
        assert restored.await_end(restored.submit("true"))[0]["state"] == "succeeded"
