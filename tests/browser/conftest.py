"""A real browser before a real deployment with real jobs."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from levare.cli.up import free_port
from tests.browser.chromium import Browser, Tab, binary, chromium
from tests.fleet import ROOT, Fleet, fleet

LONG = "import time; print('begun', flush=True); time.sleep(900)"
COLOURED = "print('\\x1b[31mred\\x1b[0m <img src=x onerror=alert(1)>'); raise ValueError('broken')"


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
    return jobs
