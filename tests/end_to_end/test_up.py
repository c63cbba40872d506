"""`levare up` as a person meets it: what it says, what it keeps alive, what it leaves behind."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.fleet import Fleet, alive, eventually, fleet

LEVARE = Path(sys.executable).with_name("levare")
SAID_READY = "Ctrl-C ends it; running jobs go on."


def environment(deployment: Fleet, **variables: str) -> dict[str, str]:
    """What a shell would have, with this deployment's settings and nobody else's."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
    return others | deployment.environment | variables


class Up:
    """A `levare up` in an empty directory."""

    def __init__(self, directory: Path, *arguments: str, **variables: str) -> None:
        self.deployment = Fleet(directory / ".levare")
        self._output = directory / "said"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [LEVARE, "up", *arguments],
                cwd=directory,
                env=environment(self.deployment, LEVARE_HOME=".levare", **variables),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._output.read_text()

    def await_ready(self) -> None:
        eventually(lambda: SAID_READY in self.said or self.process.poll() is not None, within=60)
        assert SAID_READY in self.said, self.said

    def of(self, command: str) -> psutil.Process | None:
        """The process of ours that runs this, once it does."""
        for child in psutil.Process(self.process.pid).children():
            line = child.cmdline()
            if line[1:] == command.split()[1:] or (command == "redis" and "valkey-server" in line[0]):
                return child
        return None

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    started: list[Up] = []

    def spawn(*arguments: str, **variables: str) -> Up:
        started.append(Up(tmp_path, *arguments, **variables))
        return started[-1]

    yield spawn
    for up in started:
        up.process.kill()
        up.process.wait()
        up.deployment.stop()


def test_one_command_brings_up_everything_and_takes_it_down_again(start: Callable[..., Up]):
    up = start()
    up.await_ready()
    home, said = up.deployment.home, up.said

    api = re.search(r"pages +(\S+)/ +sign in with the token in (\S+)", said)
    flower = re.search(r"Flower +(\S+) +user (\S+), password in (\S+)", said)
    assert api
    assert flower
    token = Path(api[2]).read_text().strip()
    nodes = httpx.get(f"{api[1]}/v1/nodes", headers={"Authorization": f"Bearer {token}"}).json()["items"]
    assert [(node["name"], node["state"], len(node["devices"])) for node in nodes] == [("n1", "ready", 4)]
    assert httpx.get(f"{api[1]}/docs").is_success
    eventually(lambda: opens(flower[1], flower[2], Path(flower[3]).read_text()))
    assert home.stat().st_mode & 0o777 == 0o700

    assert up.end() == 0

    assert up.said.endswith("levare has stopped; no job runs.\n")
    assert not up.deployment.of_this_home()


def opens(address: str, user: str, password: str) -> bool:
    try:
        return httpx.get(address, auth=(user, password)).is_success
    except httpx.TransportError:
        return False


def test_a_process_that_dies_starts_again(start: Callable[..., Up]):
    up = start("--quiet")
    up.await_ready()
    for name, command in {"redis": "redis", "beat": "python -m beat", "worker": "python -m worker"}.items():
        victim = up.of(command)
        assert victim

        victim.kill()

        eventually(lambda name=name: f"{name} ended with signal 9 (Killed); it starts again in" in up.said)
        eventually(lambda command=command, victim=victim: up.of(command) not in (None, victim))
    job = up.deployment.submit("true")
    assert up.deployment.await_end(job)[0]["state"] == "succeeded"


def test_a_running_job_goes_on_without_us_and_is_found_again(start: Callable[..., Up], tmp_path: Path):
    up = start("--quiet")
    up.await_ready()
    go = tmp_path / "go"
    job = up.deployment.submit("sh", "-c", f"until [ -e {go} ]; do sleep 0.1; done; exit 7")
    up.deployment.await_state(job, "running")

    assert up.end(signal.SIGINT) == 0

    assert "levare has stopped; 1 job keeps running. `levare up` finds it again." in up.said
    assert alive(up.deployment.job_processes(job))
    assert not [each for each in up.deployment.of_this_home() if "-m" in each.cmdline()]

    again = start("--quiet")
    again.await_ready()
    assert again.deployment.job(job)["state"] == "running"
    go.touch()
    assert again.deployment.await_end(job)[0]["exit_code"] == 7


def test_killed_outright_it_leaves_no_process_and_starts_again(start: Callable[..., Up]):
    up = start("--quiet")
    up.await_ready()

    up.end(signal.SIGKILL)

    eventually(lambda: not up.deployment.of_this_home())
    again = start("--quiet")
    again.await_ready()
    assert again.end() == 0


def test_a_second_one_for_the_same_state_says_who_runs_already(start: Callable[..., Up]):
    first = start("--only", "redis")
    first.await_ready()

    second = start("--only", "redis")

    assert second.process.wait(timeout=20) == 1
    assert f"levare runs for {first.deployment.home} already, as process {first.process.pid}." in second.said


def test_a_port_that_another_program_has_is_told_before_anything_starts(start: Callable[..., Up]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = start(LEVARE_PORT=str(port))

        assert up.process.wait(timeout=20) == 1

    assert f"Port {port} of 127.0.0.1 is taken." in up.said
    assert "Set LEVARE_PORT" in up.said
    assert not up.deployment.of_this_home()


def said_by(tmp_path: Path, **variables: str) -> str:
    """What a `levare up` says that starts nothing."""
    told = environment(Fleet(tmp_path / ".levare"), LEVARE_HOME=str(tmp_path / ".levare")) | variables
    done = subprocess.run([LEVARE, "up"], env=told, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done
    return done.stderr


@pytest.mark.parametrize(("name", "why"), [("file", "file exists"), ("file/below", "not a directory")])
def test_a_home_that_cannot_be_one_is_named_with_what_to_set(tmp_path: Path, name: str, why: str):
    (tmp_path / "file").touch()

    said = said_by(tmp_path, LEVARE_HOME=str(tmp_path / name))

    assert f"{tmp_path / name} cannot be used: {why}." in said
    assert "LEVARE_HOME" in said


def test_an_address_that_cannot_be_listened_on_is_told_before_anything_starts(tmp_path: Path):
    elsewhere = {"LEVARE_HOST": "192.0.2.1", "LEVARE_INSECURE": "1"}

    assert "port 1234 of 192.0.2.1: cannot assign" in said_by(tmp_path, LEVARE_PORT="1234", **elsewhere)
    assert "LEVARE_HOST" in said_by(tmp_path, LEVARE_PORT="0", **elsewhere)
    assert "without encryption.\nnext: Set LEVARE_TLS_CERT" in said_by(
        tmp_path, LEVARE_PORT="1234", LEVARE_HOST="192.0.2.1"
    )


def test_a_process_that_does_not_exist_cannot_be_chosen(start: Callable[..., Up]):
    up = start("--without", "flour")

    assert up.process.wait(timeout=20) == 1
    assert "The processes are redis, web, beat, worker, flower." in up.said


def test_with_a_redis_of_its_own_a_deployment_runs_no_other(start: Callable[..., Up]):
    up = start("--without", "web", "--without", "worker", "--without", "beat", LEVARE_REDIS="redis://127.0.0.1:1/0")
    up.await_ready()

    assert "levare runs: flower." in up.said
    eventually(lambda: up.of("python -m levare.flower"))
    assert not up.of("redis")
    assert up.end() == 0


def test_a_database_named_by_a_relative_path_stays_where_it_was_named(start: Callable[..., Up], tmp_path: Path):
    up = start("--quiet", LEVARE_DATABASE="sqlite:///here.db")
    up.await_ready()

    assert (tmp_path / "here.db").stat().st_size > 0
    assert up.end() == 0


def test_a_reader_that_goes_away_stops_nothing(tmp_path: Path):
    with fleet(tmp_path / ".levare") as deployment:
        pipe = ["sh", "-c", f"{LEVARE} up | head -n 1"]
        with subprocess.Popen(pipe, cwd=tmp_path, env=environment(deployment), stdout=subprocess.DEVNULL):
            eventually((deployment.home / "address").exists, within=60)
            deployment.await_ready()
            job = deployment.submit("true")
            assert deployment.await_end(job)[0]["state"] == "succeeded"
            next(each for each in deployment.of_this_home() if each.cmdline()[-1] == "up").terminate()
        assert not deployment.of_this_home()
