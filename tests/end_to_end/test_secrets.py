"""A canary: the value of a secret is nowhere but in the process that was given it, and where it was put."""

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from secrets import token_hex
from threading import Thread
from typing import Any

import httpx
import psutil
import pytest

from tests.fleet import BY_HAND, Fleet, eventually, fleet, free_port

FILE, GIVEN, HOOK, KEY = (f"canary-{token_hex(16)}" for _ in range(4))
"""Of a job: in a file, in its worker's environment. Of a channel: in beat's environment, in a file."""
SCRIPT = """
import hashlib, os, sys, time
for name in ("API_KEY", "OTHER"):
    print(name, hashlib.sha256(os.environ[name].encode()).hexdigest(), flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.05)
"""
PLACES = (
    *("/v1/jobs", "/v1/nodes", "/v1/channels", "/v1/channels/ops/deliveries", "/v1/channels/deaf/deliveries"),
    *(
        "/v1/audit",
        "/v1/events",
        "/v1/alerts",
        "/v1/schedules",
        "/v1/tokens",
        "/v1/report",
        "/metrics",
        "/openapi.json",
    ),
    *("/v1/declared", "/v1/revisions", "/v1/revisions/1", "/v1/schedules/nightly"),
)
MANIFEST = """
version: 1
channels:
  ops: {webhook: {url: {secret: HOOK}, key: {secret: KEY}}}
  deaf: {webhook: {url: {secret: DEAF}, key: {secret: KEY}}}
schedules:
  nightly:
    cron: "0 3 * * *"
    job: {command: [python3, train.py], env: {API_KEY: {secret: HUB}}}
"""
OF_JOB = ("", "/pins", "/attempts", "/why", "/logs", "/metrics", "/samples")


class Door:
    """Takes messages."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        door = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                door.asked.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/{path}"


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.server.shutdown()
    door.server.server_close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, door: Door) -> Iterator[Fleet]:
    home = tmp_path_factory.mktemp("canary")
    (home / "vault").mkdir()
    for name, value in {"HUB": FILE, "KEY": KEY, "OPEN": "x", "DEAF": f"http://127.0.0.1:1/{HOOK}"}.items():
        (home / "vault" / name).touch(mode=0o600)
        (home / "vault" / name).write_text(f"{value}\n")
    (home / "vault" / "OPEN").chmod(0o644)
    settings = {"LEVARE_SECRETS": str(home / "vault"), "LEVARE_CHANNEL_NETWORKS": "127.0.0.0/8"}
    with fleet(home, BY_HAND, LEVARE_FLOWER_PORT=str(free_port()), **settings) as deployment:
        deployment.start("redis", "web", "flower")
        deployment.start("beat", LEVARE_SECRET_HOOK=door.url(HOOK))
        deployment.start("worker", LEVARE_SECRET_GIVEN=GIVEN)
        deployment.await_ready()
        yield deployment


def apply(running: Fleet) -> None:
    """By somebody whose own environment has each secret, from a plan that is kept."""
    file, saved = running.home / "levare.yaml", running.home / "a.plan"
    file.write_text(MANIFEST)
    own = {f"LEVARE_SECRET_{name}": value for name, value in {"HUB": FILE, "HOOK": HOOK, "KEY": KEY}.items()}
    own["LEVARE_SECRETS"] = running.environment["LEVARE_SECRETS"]
    said = running.levare("plan", str(file), "-o", str(saved), code=2, environment=own)
    said += running.levare("apply", str(saved), "--yes", environment=own)
    (running.home / "said.txt").write_text(said)


def announce(running: Fleet, channel: str) -> None:
    running.client.post(f"/v1/channels/{channel}/test").raise_for_status()


def deliveries(running: Fleet, name: str) -> list[dict[str, Any]]:
    return running.client.get(f"/v1/channels/{name}/deliveries").raise_for_status().json()["items"]


@pytest.fixture(scope="module")
def job(running: Fleet, door: Door) -> Iterator[str]:
    """It has its secrets, runs until the end of the tests, and channels have told of a trial, one in vain."""
    apply(running)
    announce(running, "ops")
    announce(running, "deaf")
    gate = running.home / "gate"
    env = {"API_KEY": {"secret": "HUB"}, "OTHER": {"secret": "GIVEN"}}
    job = running.submit(*("python3", "-c", SCRIPT, str(gate)), env=env)
    eventually(lambda: len(running.log(job).splitlines()) == 2, within=60)
    eventually(lambda: door.asked, within=60)
    eventually(lambda: any(each["last_error"] for each in deliveries(running, "deaf")), within=60)
    eventually(lambda: running.client.get(f"/v1/jobs/{job}/pins").json()["python"], within=60)
    yield job
    gate.touch()
    running.await_end(job)


def writable_memory(pid: int) -> Iterator[bytes]:
    """What a process has in memory that it may write to, as in a core file; nothing where that is refused."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except OSError:
        return
    try:
        for span, rights, *_ in map(str.split, maps):
            begin, end = (int(each, 16) for each in span.split("-"))
            if rights.startswith("rw"):
                yield from _pieces(memory, begin, end)
    finally:
        os.close(memory)


def _pieces(memory: int, begin: int, end: int, most: int = 1 << 24) -> Iterator[bytes]:
    overlap = 256
    while begin < end:
        try:
            yield os.pread(memory, min(most + overlap, end - begin), begin)
        except OSError:
            return
        begin += most


def holds(process: psutil.Process, value: str) -> bool:
    return any(value.encode() in piece for piece in writable_memory(process.pid))


def test_the_job_and_the_channel_have_their_secrets(running: Fleet, job: str, door: Door):
    digests = [hashlib.sha256(value.encode()).hexdigest() for value in (FILE, GIVEN)]

    assert [line.split()[1].decode() for line in running.log(job).splitlines()] == digests
    assert door.asked[0] == f"/{HOOK}"


def test_no_process_has_a_secret_that_it_was_not_given(running: Fleet, job: str):
    """That of the worker's environment is with the worker, and those of channels with beat; no other has any."""
    trained = running.job_processes(job)
    names = {name: running.processes[name].pid for name in running.processes}
    started = psutil.Process(names["worker"]).children(recursive=True)  # the fork-server, supervisors, the job
    others = [each for each in {*running.of_this_home(), *started} if each not in trained]
    readable = [each for each in trained if any(writable_memory(each.pid))]

    assert all(holds(each, FILE) and holds(each, GIVEN) for each in readable)  # so a look finds what is there
    assert {*names.values(), *(psutil.Process(each.pid).ppid() for each in trained)} <= {each.pid for each in others}
    for each in others:
        assert not holds(each, FILE), each.cmdline()
        if each.pid != names["worker"]:
            assert not holds(each, GIVEN), each.cmdline()
        if each.pid != names["beat"]:
            assert not holds(each, HOOK), each.cmdline()
            assert not holds(each, KEY), each.cmdline()


def test_no_answer_row_log_or_message_has_a_secret(running: Fleet, job: str):
    password = (running.home / "secret").read_text()
    port = running.environment["LEVARE_FLOWER_PORT"]
    answers = [running.client.get(place) for place in PLACES]
    answers += [running.client.get(f"/v1/jobs/{job}{part}") for part in OF_JOB]
    answers.append(running.client.post(f"/v1/jobs/{job}/reruns", params={"dry_run": "true"}, json={}))
    answers.append(running.client.post("/v1/plan", json={"objects": []}))
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=("levare", password), timeout=20) as flower:
        answers += [flower.get(place) for place in ("/api/tasks", "/api/workers", "/tasks", f"/task/{job}-1")]
    told = [answer.raise_for_status().content for answer in answers]
    with sqlite3.connect(running.home / "levare.db") as connection:
        told.append("\n".join(connection.iterdump()).encode())
    connection.close()
    files = [path for path in running.home.rglob("*") if path.is_file() and "vault" not in path.parts]

    outputs = {f"{name}.out" for name in ("redis", "web", "beat", "worker", "flower")}
    assert {*outputs, "spec.json", "a.plan", "said.txt"} <= {path.name for path in files}
    assert "+ schedule nightly" in (running.home / "said.txt").read_text()
    assert b"API_KEY" in told[-1]  # the name of the variable is there, and that of its secret
    for value in (FILE, GIVEN, HOOK, KEY):
        assert not [text[:200] for text in told if value.encode() in text]
        assert not [path for path in files if value.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    ("name", "told"),
    [("NOBODY_HAS_IT", "There is no secret NOBODY_HAS_IT. Set LEVARE_SECRET_NOBODY_HAS_IT"), ("OPEN", "chmod 600")],
)
def test_a_secret_that_is_not_there_fails_the_job_before_it_starts(running: Fleet, name: str, told: str):
    job = running.submit("true", env={"API_KEY": {"secret": name}})

    [ended] = running.await_end(job)

    assert (ended["state"], ended["failure"], running.attempts(job)[0]["started_at"]) == (
        "failed",
        "cannot_start",
        None,
    )
    assert told in ended["reason"]


def test_a_name_that_no_secret_can_have_is_refused_at_once(running: Fleet):
    refused = running.client.post("/v1/jobs", json={"command": ["true"], "env": {"A": {"secret": "lower"}}})

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "env.A.secret"
    assert "capital letters" in refused.json()["detail"]
