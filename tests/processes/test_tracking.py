"""The door for MLflow, asked by MLflow's own client in a process of its own, and by strangers."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from levare.settings import load
from tests.fleet import ROOT, eventually
from worker.rundir import RunDir, Spec
from worker.tracking import MOST_CONNECTIONS, Tracking

SECRET = "a-secret-of-this-attempt"
LOGGING = """
import mlflow
mlflow.set_experiment("digits")
with mlflow.start_run() as run:
    mlflow.log_params({"lr": 0.1, "epochs": 3, "nothing": None})
    mlflow.set_tag("who", "ada")
    for epoch in range(3):
        mlflow.log_metrics({"loss": 1 / (epoch + 1), "val_loss": float("nan"), "epoch": epoch}, step=epoch)
    mlflow.log_metric("time", 3.5)
    mlflow.log_text("kept", "notes.txt")
    model = mlflow.MlflowClient().create_logged_model(run.info.experiment_id, name="m", source_run_id=run.info.run_id)
    with mlflow.start_run(run_name="fold", nested=True):
        mlflow.log_metric("val_loss", 0.5, step=1)
data = mlflow.get_run(run.info.run_id).data
print(data.metrics["loss"], data.params["lr"], data.tags["who"], len(mlflow.search_runs(output_format="list")))
"""
RESUMING = """
import mlflow, sys
[run] = [each for each in mlflow.search_runs(["1"], output_format="list") if each.info.run_name == "run-1"]
with mlflow.start_run(run_id=run.info.run_id):
    mlflow.log_metric("loss", 0.125, step=9)
print(run.data.params["epochs"], run.info.status)
"""


WORKER = """
import time
from levare.settings import load
from worker.tracking import Tracking
Tracking(load()).start()
print("open", flush=True)
time.sleep(600)
"""


class Door:
    """One attempt, and workers that open its door one after the other."""

    def __init__(self, home: Path) -> None:
        self.settings = load({"LEVARE_HOME": str(home)})
        self.run = RunDir(self.settings.runs / "k3v9x2m1qa-1")
        self.output = home / "output"
        self.open()
        self.address = f"http://127.0.0.1:{(home / 'mlflow.port').read_text()}/{self.run.attempt}/{SECRET}"
        env = {"LEVARE_OUTPUT": str(self.output), "MLFLOW_TRACKING_URI": self.address}
        limits: dict[str, Any] = {"timeout_seconds": None, "log_head_bytes": 1, "log_tail_bytes": 1, "grace_seconds": 1}
        none = dict.fromkeys(("memory_max_mib", "lease_file", "lease_seconds"))
        self.run.write_spec(
            Spec(attempt=self.run.attempt, argv=["x"], env=env, cwd="/", fence_grace_seconds=1, **limits, **none)
        )

    def open(self) -> None:
        env = {"PATH": os.environ["PATH"], "LEVARE_HOME": str(self.settings.home)}
        command = [sys.executable, "-c", WORKER]
        self.worker = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
        assert self.worker.stdout
        assert self.worker.stdout.readline() == "open\n"

    def close(self) -> None:
        """As when the worker dies."""
        self.worker.kill()
        self.worker.communicate()

    def start(self, script: str) -> "subprocess.Popen[str]":
        """A script that logs to MLflow."""
        quiet = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true", "HOME": str(self.settings.home)}
        env = {"PATH": os.environ["PATH"], "MLFLOW_TRACKING_URI": self.address, **quiet}
        piped: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([sys.executable, "-c", script], cwd=self.settings.home, env=env, **piped)

    def python(self, script: str) -> str:
        return said_by(self.start(script))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run.metrics.read_text().splitlines()]

    def ask(self, path: str, method: str = "POST", **options: Any) -> httpx.Response:
        return httpx.request(method, f"{self.address}/api/2.0/mlflow/{path}", **options)


def said_by(process: "subprocess.Popen[str]") -> str:
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return said


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    opened = Door(tmp_path_factory.mktemp("door"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def logged(door: Door) -> Door:
    assert door.python(LOGGING) == f"{1 / 3} 0.1 ada 2\n"
    return door


def test_what_the_client_logs_is_in_the_metrics_file_by_stage_step_and_epoch(logged: Door):
    points = [{name: value for name, value in line.items() if name != "time"} for line in logged.lines()]

    assert {"step": 1, "epoch": 1.0, "stage": "train", "loss": 0.5} in points
    assert [set(line) for line in points if line.get("stage") == "val" and "loss" in line] == [
        {"step", "epoch", "stage", "loss"}
    ] * 3
    assert {"step": 0, "time_": 3.5} in points
    assert {"step": 1, "stage": "val", "fold/loss": 0.5} in points
    given = {name: value for line in points for name, value in line.get("params", {}).items()}
    assert given == {"lr": 0.1, "epochs": 3, "who": "ada"}


def test_files_go_below_the_output_of_the_job(logged: Door):
    assert [path.read_text() for path in logged.output.rglob("notes.txt")] == ["kept"]


def test_a_script_waits_for_the_next_worker_which_knows_the_same_runs(logged: Door):
    logged.close()
    with socket.create_server(("127.0.0.1", urlsplit(logged.address).port or 0)) as nobody:
        script = logged.start(RESUMING)
        nobody.settimeout(60)
        nobody.accept()[0].close()
    logged.open()

    assert said_by(script) == "3 FINISHED\n"
    assert logged.lines()[-1]["loss"] == 0.125


@pytest.mark.parametrize("path", ["/", "/k3v9x2m1qa-1", "/k3v9x2m1qa-1/{wrong}", "/zzz-1/{right}"])
def test_nobody_comes_in_without_the_secret_of_a_living_attempt(door: Door, path: str):
    host = door.address.partition("/k3v9")[0]
    address = f"{host}{path.format(wrong='b' * 24, right=SECRET)}/api/2.0/mlflow/experiments/search"

    assert httpx.post(address, json={}).status_code == 403


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("registered-models/create", {"name": "m"}, 404, "ENDPOINT_NOT_FOUND"),
        ("runs/get", {"run_id": "none"}, 404, "RESOURCE_DOES_NOT_EXIST"),
        ("runs/search", {"filter": "metrics.loss < 1"}, 400, "INVALID_PARAMETER_VALUE"),
        ("runs/log-batch", [1], 400, "INVALID_PARAMETER_VALUE"),
        ("experiments/create", {"name": "Default"}, 400, "RESOURCE_ALREADY_EXISTS"),
    ],
)
def test_what_it_cannot_do_it_says_in_the_words_of_mlflow(door: Door, path: str, body: Any, status: int, code: str):
    answered = door.ask(path, json=body)

    assert (answered.status_code, answered.json()["error_code"]) == (status, code)


def test_a_body_too_long_is_refused_before_it_is_read(door: Door):
    connection = HTTPConnection(urlsplit(door.address).netloc, timeout=20)
    connection.putrequest("POST", f"{urlsplit(door.address).path}/api/2.0/mlflow/runs/log-batch")
    connection.putheader("Content-Length", str(9 * 2**20))
    connection.endheaders()

    assert connection.getresponse().status == 413
    connection.close()


def test_a_full_disk_stops_no_script_and_the_address_of_an_attempt_that_is_over_leads_nowhere(tmp_path: Path):
    door = Door(tmp_path)
    run = door.ask("runs/create", json={}).json()["run"]["info"]["run_id"]
    door.run.metrics.symlink_to("/dev/full")

    assert door.ask("runs/log-metric", json={"run_id": run, "key": "loss", "value": 1}).status_code == 200

    (door.run.path / "spec.json").unlink()
    assert door.ask("experiments/search", json={}).status_code == 403
    door.close()


def test_it_can_be_turned_off(tmp_path: Path):
    tracking = Tracking(load({"LEVARE_HOME": str(tmp_path), "LEVARE_MLFLOW": "0"}))
    tracking.start()

    assert tracking.address("k3v9x2m1qa-1", SECRET) is None


def test_connections_without_end_leave_the_door_open(door: Door):
    place = ("127.0.0.1", urlsplit(door.address).port or 0)
    many = [socket.create_connection(place) for _ in range(MOST_CONNECTIONS + 10)]

    assert eventually(lambda: not _answers(door))
    for each in many:
        each.close()
    assert eventually(lambda: _answers(door))


def _answers(door: Door) -> bool:
    try:
        return door.ask("experiments/search", json={}).status_code == 200
    except httpx.TransportError:
        return False
