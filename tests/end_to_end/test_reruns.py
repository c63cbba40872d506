"""A run, other code, and the run once more: what ran then runs again, and what differs is told."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from levare.cli.reruns import _lines
from tests.fleet import Fleet, eventually, fleet

TRAIN = """
import json, os, random, sys
random.seed(int(os.environ["LEVARE_SEED"]))
value = {scale} * random.random()
print(value)
with open(os.environ["LEVARE_METRICS"], "a") as file:
    print(json.dumps({{"step": 1, "stage": "train", "loss": value}}), file=file)
"""
ENV = {"LEVARE_SEED": "7", "LEVARE_DATA": "imagenet@v3"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("reruns")) as deployment:
        deployment.start_all()
        yield deployment


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "run"
    root.mkdir()
    git(root, "init", "--quiet", "-b", "main")
    write(root, scale=1)
    (root / "requirements.txt").write_text("numpy==2.1.0\n")
    commit(root)
    return root


def git(root: Path, *arguments: str) -> str:
    named = ("-c", "user.name=ann", "-c", "user.email=ann@example.org")
    return subprocess.check_output(["git", *named, "-C", str(root), *arguments], text=True)


def commit(root: Path) -> None:
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "A step")


def write(root: Path, *, scale: int) -> None:
    (root / "train.py").write_text(TRAIN.format(scale=scale))


def train(running: Fleet, root: Path) -> str:
    """Run it and wait until it is pinned."""
    job = running.submit(sys.executable, str(root / "train.py"), name="resnet", cwd=str(root), env=ENV)
    running.await_end(job)
    eventually(lambda: pins(running, job)["code"], within=60)
    return job


def pins(running: Fleet, job: str, **asked: Any) -> dict[str, Any]:
    return running.client.get(f"/v1/jobs/{job}/pins", params=asked).raise_for_status().json()


def rerun(running: Fleet, job: str, **wish: Any) -> dict[str, Any]:
    return running.client.post(f"/v1/jobs/{job}/reruns", json=wish).raise_for_status().json()


def metrics_are_in(running: Fleet, *jobs: str) -> None:
    for job in jobs:
        eventually(lambda job=job: running.client.get(f"/v1/jobs/{job}/metrics").json()["summary"], within=60)


def test_the_code_of_then_runs_again_with_the_same_result(running: Fleet, root: Path):
    write(root, scale=2)  # and not committed
    first = train(running, root)
    write(root, scale=5)
    (root / "requirements.txt").write_text("numpy==2.2.0\n")
    commit(root)

    told = rerun(running, first, strict=True)
    again, now = told["job"]["id"], train(running, root)
    [ended] = running.await_end(again)
    metrics_are_in(running, first, again, now)

    assert (told["repeats"], told["code_restored"], told["missing"]) == (f"{first}-1", True, [])
    assert ended["state"] == "succeeded", ended["reason"]
    assert running.log(again) == running.log(first)
    assert running.log(now) != running.log(first)
    assert ended["rerun"] == {"attempt": f"{first}-1", "code": True, "strict": True}
    assert "value = 5 *" in (root / "train.py").read_text()
    same, other = (difference(running, first, job) for job in (again, now))
    assert same["changes"] == []
    assert [each["before"] == each["after"] for each in same["metrics"]] == [True]
    assert {("code", "commit"), ("code", "uncommitted changes"), ("dependencies", "requirements.txt")} <= {
        (each["kind"], each["name"]) for each in other["changes"]
    }
    text = "\n".join(_lines(other))  # pyright: ignore[reportArgumentType]
    assert "dependencies: requirements.txt" in text
    assert "train loss" in text


def difference(running: Fleet, one: str, other: str) -> dict[str, Any]:
    eventually(lambda: pins(running, other)["code"], within=60)
    return running.client.get(f"/v1/jobs/{one}/diff", params={"with": other}).raise_for_status().json()


def test_each_run_is_pinned_to_what_it_ran_however_fast_the_code_changes(running: Fleet, root: Path):
    wanted = {}
    for scale in (11, 12, 13):
        write(root, scale=scale)
        job = running.submit(sys.executable, "train.py", cwd=str(root), env=ENV)
        eventually(lambda job=job: pins_of(running, job), within=60)
        wanted[job] = f"+value = {scale} * random.random()"

    for job, line in wanted.items():
        assert line in pins(running, job, patch="true")["patch"]


def pins_of(running: Fleet, job: str) -> Any:
    answer = running.client.get(f"/v1/jobs/{job}/pins")
    return answer.status_code == 200 and answer.json()["code"]


def test_what_git_does_not_know_is_said_and_strictly_refused(running: Fleet, root: Path):
    (root / "notes.txt").write_text("x")
    job = train(running, root)

    refused = running.client.post(f"/v1/jobs/{job}/reruns", json={"strict": True})

    assert refused.status_code == 409
    assert "notes.txt" in refused.json()["detail"]
    assert [each["what"] for each in rerun(running, job)["missing"]] == ["untracked"]


def test_code_that_the_node_cannot_reach_is_not_replaced_by_other_code(running: Fleet, root: Path):
    job = train(running, root)
    root.rename(root.with_name("moved"))
    root.mkdir()
    write(root, scale=9)

    [ended] = running.await_end(rerun(running, job)["job"]["id"])
    [unpinned] = running.await_end(rerun(running, job, pinned=False)["job"]["id"])

    assert (ended["state"], ended["failure"]) == ("failed", "cannot_start")
    assert f"The code of {job}-1 could not be restored" in ended["reason"]
    assert unpinned["state"] == "succeeded"


def test_strictly_a_node_with_other_packages_starts_nothing(running: Fleet, root: Path, tmp_path: Path):
    site = tmp_path / "venv" / "lib" / "python3.11" / "site-packages"
    (site / "torch-2.5.0.dist-info").mkdir(parents=True)
    (tmp_path / "venv" / "bin").mkdir()
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    (tmp_path / "venv" / "pyvenv.cfg").write_text("version = 3.11.9\n")
    job = running.submit("/bin/sh", "-c", "true", cwd=str(root), env={**ENV, "VIRTUAL_ENV": str(tmp_path / "venv")})
    running.await_end(job)
    eventually(lambda: pins_of(running, job), within=60)
    (site / "torch-2.5.0.dist-info").rename(site / "torch-2.6.0.dist-info")

    [ended] = running.await_end(rerun(running, job, strict=True)["job"]["id"])

    assert ended["reason"].startswith(f"It would not be as {job}-1 was: dependencies torch is 2.6.0, was 2.5.0")
