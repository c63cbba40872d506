"""The embedded Valkey as a process: who reaches it, what it keeps, what it does beside another one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from levare.settings import Settings, load
from tests.fleet import ROOT, eventually

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load({"LEVARE_HOME": str(tmp_path / "home of levare")})


@pytest.fixture
def start(settings: Settings) -> Iterator[Start]:
    """Start `python -m levare.embedded`, whatever it says to be read from its `stdout`."""
    started: list[subprocess.Popen[bytes]] = []

    def spawn(**variables: str) -> subprocess.Popen[bytes]:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
        process = subprocess.Popen(
            [sys.executable, "-m", "levare.embedded"],
            cwd=ROOT,
            env=clean | {"LEVARE_HOME": str(settings.home)} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started.append(process)
        return process

    yield spawn
    for process in started:
        process.kill()
        process.communicate()


def client(settings: Settings) -> redis.Redis:
    """A client once the server answers."""
    connection = redis.Redis.from_url(settings.redis_url)

    def answers() -> bool:
        try:
            return connection.ping()
        except redis.ConnectionError:
            return False

    eventually(answers)
    return connection


def test_it_answers_to_this_user_with_the_password_alone(start: Start, settings: Settings):
    start()
    with client(settings) as connection:
        assert connection.config_get("port") == {"port": "0"}

    with (
        redis.Redis(unix_socket_path=str(settings.embedded_socket)) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    assert settings.embedded_socket.stat().st_mode & 0o777 == 0o700
    for folder in (settings.home, settings.home / "valkey"):
        assert folder.stat().st_mode & 0o777 == 0o700
    assert (settings.home / "secret").stat().st_mode & 0o777 == 0o600


def test_nobody_reads_the_password_from_a_command_line(start: Start, settings: Settings):
    process = start()
    client(settings).close()

    assert settings.secret not in " ".join(psutil.Process(process.pid).cmdline())


def test_what_it_was_told_outlives_its_being_killed(start: Start, settings: Settings):
    first = start()
    with client(settings) as connection:
        connection.set("kept", "yes")
    first.kill()
    first.wait()

    start()

    with client(settings) as connection:
        assert connection.get("kept") == b"yes"


def test_a_second_one_for_the_same_state_is_refused_by_name(start: Start, settings: Settings):
    first = start()
    client(settings).close()

    second = start()

    said, _ = second.communicate(timeout=20)
    assert second.returncode == 1
    assert f"Process {first.pid} serves {settings.home / 'valkey'} already" in said.decode()


def test_it_waits_for_one_that_is_just_ending(start: Start, settings: Settings):
    first = start()
    client(settings).close()
    first.send_signal(signal.SIGSTOP)

    second = start()
    lock = settings.home / "valkey" / "lock"
    eventually(lambda: any(Path(open_file.path) == lock for open_file in psutil.Process(second.pid).open_files()))
    first.kill()

    with client(settings) as connection:
        assert connection.info("server")["process_id"] == second.pid


def test_a_state_directory_with_a_long_path_gets_a_short_socket_of_our_own(tmp_path: Path, start: Start):
    far = load({"LEVARE_HOME": str(tmp_path / ("deep" * 30))})

    start(LEVARE_HOME=str(far.home))

    client(far).close()
    assert far.embedded_socket.parent.parent == Path("/tmp")
    assert far.embedded_socket.parent.stat().st_mode & 0o777 == 0o700


def test_with_a_redis_of_its_own_the_deployment_starts_none(start: Start, settings: Settings):
    start()
    client(settings).close()

    aside = start(LEVARE_REDIS=settings.redis_url, LEVARE_HOME=str(settings.home / "other"))

    assert aside.stdout
    assert b"redis.answered" in aside.stdout.readline()
    assert aside.poll() is None
    assert not (settings.home / "other" / "valkey").exists()
