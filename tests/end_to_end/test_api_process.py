import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.end_to_end.serving import NO_REDIS
from tests.fleet import ROOT, eventually

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """`python -m app` with these variables."""
    started: list[subprocess.Popen[str]] = []

    def start(**environ: str) -> subprocess.Popen[str]:
        ours = {"LEVARE_HOME": str(tmp_path / "home"), "LEVARE_PORT": "0", "LEVARE_REDIS": NO_REDIS, **environ}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")} | ours
        command = [sys.executable, "-m", "app"]
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def address(home: Path) -> str:
    eventually((home / "address").exists)
    return (home / "address").read_text()


def test_it_migrates_serves_on_a_free_port_and_leaves_no_address_behind(start: Start, tmp_path: Path):
    process, home = start(), tmp_path / "home"
    url = address(home)
    token = (home / "admin.token").read_text()

    answer = eventually(lambda: httpx.get(f"{url}/v1/jobs", headers={"Authorization": f"Bearer {token}"}))

    assert url.startswith("http://127.0.0.1:")
    assert answer.json() == {"items": [], "next_cursor": None}
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not (home / "address").exists()


def test_a_stop_ends_streams_and_the_next_start_takes_the_same_token(start: Start, tmp_path: Path):
    process, home = start(), tmp_path / "home"
    headers = {"Authorization": f"Bearer {(eventually(lambda: address(home)), (home / 'admin.token').read_text())[1]}"}
    with httpx.Client(base_url=address(home), headers=headers, timeout=20) as client:
        job_id = client.post("/v1/jobs", json={"command": ["true"]}).json()["id"]
        with client.stream("GET", f"/v1/jobs/{job_id}/logs?follow=true") as stream:
            process.send_signal(signal.SIGTERM)
            assert b"Last-Event-ID" in stream.read()
    assert process.wait(4) == 0, "no stream may hold up the end"

    start()

    answer = httpx.get(f"{address(home)}/v1/jobs/{job_id}", headers=headers)
    assert answer.json()["id"] == job_id


def test_a_port_that_is_taken_is_said_and_nothing_is_touched(start: Start, tmp_path: Path):
    start()
    port = address(tmp_path / "home").rpartition(":")[2]

    second = start(LEVARE_PORT=port, LEVARE_HOME=str(tmp_path / "other"))

    _, said = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"127.0.0.1 port {port}" in said
    assert "LEVARE_PORT" in said
    assert "Traceback" not in said
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEVARE_PORT", "x"),
        ("LEVARE_HOST", "no.such.host.invalid"),
        ("LEVARE_DATABASE", "postgresql://127.0.0.1:1/x?connect_timeout=2"),
    ],
)
def test_what_keeps_it_from_starting_is_said_in_a_sentence(start: Start, name: str, value: str):
    process = start(**{name: value})

    _, said = process.communicate(timeout=30)

    assert process.returncode == 1
    assert name in said
    assert "Traceback" not in said
