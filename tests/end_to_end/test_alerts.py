"""Planted incidents as real processes, on one fleet: each gets the right alert, once, and its end, once."""

import json
import signal
import sys
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from hmac import new
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.fleet import ROOT, Fleet, eventually, fleet

ENV = {"PYTHONPATH": str(ROOT)}
KEY = "top-secret"
TRAIN = """
import itertools, os, sys, time, threading, multiprocessing, levare
mode, steps, accuracy = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
for step in itertools.count():
    if step >= steps and (mode != "slow" or os.path.exists("seen")):
        break
    time.sleep(0.12 if mode == "slow" else 0.04)
    levare.log(step=step, stage="train", loss=float("nan") if mode == "nan" and step > 5 else 1 / (step + 1))
    if mode == "log" and step == 5:
        print("RuntimeError: CUDA error: device-side assert triggered", flush=True)
if mode == "hang":
    time.sleep(600)
if mode == "spin":
    while True:
        pass
if mode == "deadlock":
    forked = multiprocessing.get_context("fork")  # whatever the default: -c is nothing that could be imported
    first, second = forked.Lock(), forked.Lock()
    def takes(one, other):
        with one:
            time.sleep(0.3)
            with other:
                pass
    both = [forked.Process(target=takes, args=pair) for pair in ((first, second), (second, first))]
    [each.start() for each in both]
    [each.join() for each in both]
levare.log(step=steps, stage="val", accuracy=accuracy)
"""
RULES: dict[str, dict[str, Any]] = {
    "hang": {"hang": {"for_seconds": 3}},
    "slow": {"slow": {"family": "default/default/slow", "least_runs": 3, "least_seconds": 0, "for_seconds": 0}},
    "degraded": {"degraded": {"least_runs": 3}},
    "gpu-idle": {"idle": {"name": "idle", "below": 99, "for_seconds": 1}},
    "queue": {"queue": {"name": "waits", "for_seconds": 2}},
    "cuda": {"log": {"pattern": "(?i)cuda error"}},
}


class Ear:
    """A webhook that keeps what it is told, and refuses the first message."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.refused: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        ear = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                if not ear.refused:
                    ear.refused.append(headers["webhook-id"])
                    self.send_response(503)
                else:
                    ear.heard.append((headers, body))
                    self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base
                pass

        return Handler


@pytest.fixture(scope="module")
def ear() -> Iterator[Ear]:
    ear = Ear()
    yield ear
    ear.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, ear: Ear) -> Iterator[Fleet]:
    settings = {"LEVARE_CHANNEL_NETWORKS": "127.0.0.0/8", "LEVARE_SECRET_KEY": KEY, "LEVARE_LOST_AFTER": "4"}
    with fleet(tmp_path_factory.mktemp("alerts"), **settings) as deployment:
        deployment.start_all()
        for name, when in RULES.items():
            put(deployment, f"/v1/alert-rules/{name}", when=when)
        put(deployment, "/v1/channels/ops", webhook={"url": ear.url, "key": {"secret": "KEY"}})
        yield deployment


def put(running: Fleet, path: str, **body: Any) -> None:
    answer = running.client.put(path, json=body)
    assert answer.status_code == 200, answer.text


def train(running: Fleet, mode: str, *, steps: int = 10, accuracy: float = 0.9, **wishes: Any) -> str:
    command = [sys.executable, "-c", TRAIN, mode, str(steps), str(accuracy)]
    return running.submit(*command, **{"name": mode, "env": ENV, **wishes})


def alerts(running: Fleet, **wanted: Any) -> list[dict[str, Any]]:
    """Oldest first."""
    found = running.client.get("/v1/alerts", params={"state": "any", "limit": 500, **wanted})
    return found.raise_for_status().json()["items"][::-1]


def the_alert(running: Fleet, rule: str, job: str) -> dict[str, Any]:
    [alert] = eventually(lambda: alerts(running, rule=rule, job=job), within=40)
    return alert


def ended(running: Fleet, rule: str, job: str) -> dict[str, Any]:
    return eventually(lambda: [a for a in alerts(running, rule=rule, job=job) if a["state"] == "ended"], within=30)[0]


def test_every_incident_is_the_right_alert_once_and_ends_once(running: Fleet, ear: Ear):
    still = {mode: train(running, mode) for mode in ("hang", "spin", "deadlock")}
    others = {mode: train(running, mode, steps=60) for mode in ("nan", "log")}
    idle = running.submit("sleep", "600", name="idle", gpus=4)
    waits = running.submit("true", name="waits", gpus=1)
    failed = running.python("import no_such_module", name="import")
    cured = running.python(CURED, name="cured", retries=1, cwd=str(running.home))

    for mode, job in still.items():
        text = the_alert(running, "hang", job)["message"]
        assert ("spins" if mode == "spin" else "does nothing") in text, text
        running.cancel(job)
    assert "loss of stage 'train' is no finite number" in the_alert(running, "not-finite", others["nan"])["message"]
    assert "device-side assert" in the_alert(running, "cuda", others["log"])["message"]
    assert "GPU" in the_alert(running, "gpu-idle", idle)["message"]
    assert "asks for 1 GPU and 1 CPU" in the_alert(running, "queue", waits)["message"]
    running.cancel(idle)
    assert "has failed on n1" in the_alert(running, "failure", failed)["message"]
    for rule, job in (("gpu-idle", idle), ("queue", waits), *(("hang", job) for job in still.values())):
        ended(running, rule, job)
    running.await_end(cured)
    assert running.job(cured)["attempt"] == 2
    running.await_end(running.python("pass", name="import"))
    assert "works again" in ended(running, "failure", failed)["ended_reason"]
    assert not alerts(running, job=cured)
    assert_told_once(running, ear)


CURED = "import os, sys; p='cured.txt'; ok=os.path.exists(p); open(p, 'w').close(); sys.exit(0 if ok else 1)"


def assert_told_once(running: Fleet, ear: Ear) -> None:
    """What begins and what ends is told, signed, each message once though the first was refused at first."""

    def told(news: str) -> list[int]:
        messages = [event for event in ear.events() if event["type"] == f"levare.alert.{news}"]
        return [alert["number"] for event in messages for alert in event["data"]["alerts"]]

    begun = [
        alert["number"] for alert in alerts(running) if alert["rule"] in ("gpu-idle", "queue", "cuda", "not-finite")
    ]
    over = [alert["number"] for alert in alerts(running, state="ended") if alert["rule"] in ("gpu-idle", "queue")]
    eventually(lambda: set(begun) <= set(told("begin")) and set(over) <= set(told("recovery")), within=30)
    assert len(set(told("begin"))) == len(told("begin"))
    eventually(lambda: ear.refused[0] in [event["id"] for event in ear.events()], within=30)
    headers, body = ear.heard[0]
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signature = b64encode(new(KEY.encode(), content, sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{signature}"
    assert KEY not in json.dumps(running.client.get("/v1/channels/ops").json()) + running.output("beat")


def test_a_run_at_half_the_speed_and_one_that_learns_worse_are_told_against_their_family(running: Fleet):
    running.await_end(*(train(running, "usual", name="slow", steps=50) for _ in range(3)))
    worse = train(running, "usual", name="slow", steps=50, accuracy=0.5)
    slow = train(running, "slow", name="slow", steps=80, cwd=str(running.home))

    assert "against 0.9 in the 3 runs before" in the_alert(running, "degraded", worse)["message"]
    assert "times as long as" in the_alert(running, "slow", slow)["message"]
    (running.home / "seen").touch()
    running.await_end(slow)
    assert "as good as" in ended(running, "degraded", worse)["ended_reason"]
    assert "has succeeded" in ended(running, "slow", slow)["ended_reason"]


def test_a_worker_that_is_killed_is_a_lost_node_until_it_is_back(running: Fleet):
    running.kill("worker", number=signal.SIGKILL)
    [lost] = eventually(lambda: alerts(running, rule="node-lost"), within=40)
    assert lost["message"].startswith("Node n1 is lost")

    running.start("worker")

    over = eventually(lambda: [a for a in alerts(running, rule="node-lost") if a["state"] == "ended"], within=40)
    assert [alert["ended_reason"] for alert in over] == ["Node n1 is back."]


def test_two_beats_of_which_one_is_killed_double_no_alert(running: Fleet):
    running.start("beat:2")
    jobs = [running.python("import sys; sys.exit(1)", name=f"bad{number}") for number in range(4)]
    running.kill("beat", number=signal.SIGKILL)
    jobs += [running.python("import sys; sys.exit(1)", name=f"bad{number}") for number in range(4, 8)]

    running.await_end(*jobs)
    for job in jobs:
        the_alert(running, "failure", job)
    running.start("beat")
    running.kill("beat:2")


def test_the_command_line_lists_acknowledges_silences_and_tests(running: Fleet):
    alert = the_alert(running, "failure", running.python("import sys; sys.exit(1)", name="bad"))
    number = str(alert["number"])

    assert alert["job"] in running.levare("alerts", number)
    assert f"{number} is looked after by admin" in running.levare("alerts", "ack", number, "--note", "On it.")
    assert "open, with admin" in running.levare("alerts", "--rule", "failure")
    assert "silences rule hang" in running.levare(
        "alerts", "silence", "--rule", "hang", "--until", "+1h", "--reason", "x"
    )
    assert "hang" in running.levare("alerts", "silences")
    tried = running.levare("alerts", "test", "failure", "--since", "1h")
    assert "precision 100%, recall 100%" in tried, tried
    assert "ops has said it" in running.levare("channels", "test", "ops")
    assert "gpu-idle" in running.levare("alerts", "rules")
    assert "there is no alert 99999" in running.levare("alerts", "99999", code=1).lower()
