"""The demo: a real training job from the first command on, a page that shows it, and nothing left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from socket import create_server

import psutil
import pytest

from benchmarks.first_minute import cloned, demonstrated, moved, shown
from tests.browser.chromium import binary, chromium
from tests.fleet import Fleet, eventually

LEVARE = Path(sys.executable).with_name("levare")


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Fleet]:
    deployment = Fleet(tmp_path / ".levare")
    yield deployment
    deployment.stop()


def demo(deployment: Fleet, *arguments: str) -> subprocess.Popen[str]:
    """A demo as somebody starts it who has set nothing."""
    return subprocess.Popen(
        [LEVARE, "demo", *arguments],
        cwd=deployment.home.parent,
        env={name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_once_trains_a_model_on_other_ports_than_taken_ones_and_leaves_nothing_running(deployment: Fleet):
    with ExitStack() as taken:
        for port in (8420, 5555):
            with suppress(OSError):  # somebody else's, and taken all the same
                taken.enter_context(create_server(("127.0.0.1", port)))

        ran = demo(deployment, "--once")
        said, _ = ran.communicate(timeout=120)

    assert ran.returncode == 0, said
    assert "epoch  14 val   loss" in said
    assert "  val  accuracy 0.9" in said
    assert "succeeded" in said
    assert said.endswith("levare has stopped; no job runs.\n")
    assert not deployment.of_this_home()


def test_interrupted_it_cancels_its_job_and_leaves_nothing_running(deployment: Fleet):
    ran = demo(deployment, "--once")
    assert ran.stdout
    assert any(line.startswith("epoch") for line in ran.stdout)

    ran.send_signal(signal.SIGINT)
    said, _ = ran.communicate(timeout=60)

    assert ran.returncode == 130, said
    eventually(lambda: not deployment.of_this_home())


@pytest.mark.skipif(binary() is None, reason="Chromium is not installed: apt-get install chromium")
def test_in_a_fresh_clone_the_curves_of_a_running_job_move_until_somebody_stops_it(tmp_path: Path):
    """What `python -m benchmarks.first_minute` measures, without the time that pip takes."""
    place = cloned(tmp_path)
    (place / ".venv").symlink_to(sys.prefix)  # as `make .venv` would fill it, which this suite runs from

    with demonstrated(place, "--old-file=.venv/.runs") as (made, deployment), chromium() as browser:
        job = moved(shown(deployment, browser))
        assert deployment.job(job)["state"] == "running"
        deployment.cancel(job)
        deployment.await_end(job)
        assert deployment.client.get("/healthz").is_success

        [ran] = psutil.Process(made.pid).children()
        ran.send_signal(signal.SIGTERM)
        assert made.wait(timeout=60) == 0, (tmp_path / "demo.out").read_text()
    assert not deployment.of_this_home()
