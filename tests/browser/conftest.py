"""A real browser before a real deployment with real jobs."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from levare.cli.up import free_port
from tests.browser.chromium import Browser, Tab, binary, chromium
from tests.fleet import ROOT, Fleet, eventually, fleet

LONG = "import time; print('begun', flush=True); time.sleep(900)"
TOLD = "import levare; levare.params(data='x' * 500); levare.log({'accuracy': 0.5, 'm' * 128: 1}, stage='test'); "
COLOURED = TOLD + "print('\\x1b[31mred\\x1b[0m <img src=x onerror=alert(1)>'); raise ValueError('broken')"


@dataclass
class Site:
    """A deployment with four GPUs, and its jobs by what they are for."""

    fleet: Fleet
    browser: Browser
    jobs: dict[str, str]

    @property
    def address(self) -> str:
        return str(self.fleet.client.base_url).rstrip("/")

    @property
    def token(self) -> str:
        return (self.fleet.home / "admin.token").read_text().strip()

    def tab(self, path: str, *, live: bool = True) -> Tab:
        """A tab of somebody who is signed in."""
        tab = self.browser.tab()
        tab.open(self.address + path)
        if tab.js("!!document.querySelector('#token')"):
            tab.sign_in(self.address, self.token)
            tab.open(self.address + path)
        if live:
            tab.until("document.getElementById('link').textContent === 'live'")
        return tab


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if binary() is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    home = tmp_path_factory.mktemp("browser")
    with fleet(home, LEVARE_PORT=str(free_port("127.0.0.1"))) as deployment, chromium() as browser:
        deployment.start_all()
        yield Site(deployment, browser, _jobs(deployment))


@pytest.fixture(autouse=True)
def few_tabs(site: Site) -> Iterator[None]:
    """Each test has its tabs to itself; each that stays open costs all that come after it."""
    yield
    site.browser.tabs.close()


def _jobs(deployment: Fleet) -> dict[str, str]:
    training = [sys.executable, str(Path(ROOT) / "examples/digits/train.py")]
    jobs = {
        "trained": deployment.submit(*training, name="digits", gpus=1),
        "failed": deployment.python(COLOURED, name="<b>bold</b>"),
    }
    deployment.await_end(*jobs.values())
    jobs["long"] = deployment.python(LONG, name="long", gpus=3, team="vision")
    deployment.await_state(jobs["long"], "running")
    jobs["waiting"] = deployment.python(LONG, name="waits", gpus=4, team="nlp")
    jobs["again"] = deployment.submit(*training, "--seed", "3", name="digits", gpus=1)
    deployment.await_end(jobs["again"])
    return jobs | {"pipeline": _declared(deployment)}


def _declared(deployment: Fleet) -> str:
    """A schedule that has fired, a team in two revisions, and a pipeline that has failed; its id."""
    job = {"command": ["true"], "team": "vision", "name": "eval"}
    deployment.client.put("/v1/schedules/often", json={"every_seconds": 1, "job": job}).raise_for_status()
    for weight in (2.0, 3.0):
        deployment.client.put("/v1/teams/vision", json={"weight": weight, "quota": {"gpus": 4}}).raise_for_status()
    steps = [{"step": "fetch", "command": ["true"]}, {"step": "train", "command": ["false"], "needs": ["fetch"]}]
    steps.append({"step": "clean-up", "command": ["true"], "needs": [{"job": "train", "on": "always"}]})
    made = deployment.client.post("/v1/pipelines", json={"name": "retrain", "jobs": steps}).raise_for_status().json()
    deployment.await_end(*(step["job"] for step in made["steps"]))
    eventually(lambda: _runs(deployment), within=60)
    deployment.client.put("/v1/schedules/often", json={"cron": "0 3 * * *", "job": job}).raise_for_status()
    return made["id"]


def _runs(deployment: Fleet) -> bool:
    fires = deployment.client.get("/v1/schedules/often/fires?outcome=run").raise_for_status().json()["items"]
    return any(fire["state"] == "succeeded" for fire in fires)
