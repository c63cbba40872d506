"""A real deployment in a folder: real processes that a test can kill, hang and start again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

from tests import nursery
from tests.nursery import Started

ROOT = Path(__file__).parent.parent
COMMANDS = {
    "redis": [sys.executable, "-m", "levare.embedded"],
    "web": [sys.executable, "-m", "app"],
    "beat": [sys.executable, "-m", "beat"],
    "worker": [sys.executable, "-m", "worker"],
    "flower": [sys.executable, "-m", "levare.flower"],
}
BY_HAND = True
"""Where it matters what a process is besides what it does: its command line, what it was born with, its memory."""
FINAL = ("succeeded", "failed", "cancelled")

T = TypeVar("T")


def eventually(ask: Callable[[], T], *, within: float = 20.0, every: float = 0.05) -> T:
    """Ask until the answer is true; raise AssertionError with the last answer if it never is."""
    until = time.monotonic() + within
    answer = ask()
    while not answer:
        assert time.monotonic() < until, f"still {answer!r} after {within} s"
        time.sleep(every)
        answer = ask()
    return answer


class Fleet:
    """Processes of one deployment, by name; several workers and beats may run beside each other."""

    def __init__(self, home: Path, by_hand: bool = False, /, **environment: str) -> None:
        self.home = home
        self._by_hand = by_hand
        self.environment = {
            "LEVARE_HOME": str(home),
            "LEVARE_PORT": "0",
            "LEVARE_FLOWER_PORT": "0",
            "LEVARE_NODE": "n1",
            "LEVARE_CPUS": "16",
            "LEVARE_SIMULATED_GPUS": "4x80GiB",
            "LEVARE_LOG_FORMAT": "json",
            **environment,
        }
        self.processes: dict[str, subprocess.Popen[bytes] | Started] = {}
        self._client: httpx.Client | None = None

    def start(self, *names: str, **environment: str) -> None:
        """Start processes by name; `worker:2` is another one of the kind `worker`."""
        for name in names:
            self.processes[name] = self._spawn(name, environment)

    def start_all(self) -> None:
        self.start("redis", "web", "beat", "worker")
        self.await_ready()
        eventually(lambda: self.client.get("/readyz").json()["beat"] == "ok", within=60)

    def await_ready(self, nodes: int = 1) -> None:
        eventually(lambda: self._ready(nodes), within=60)

    def kill(self, *names: str, number: int = signal.SIGKILL) -> None:
        """Signal processes and wait until they are gone; `redis` means the server itself."""
        for name in names:
            self.processes[name].send_signal(number)
        for name in names:
            self.processes.pop(name).wait(timeout=30)

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def output(self, name: str) -> str:
        return (self.home / f"{name}.out").read_text(errors="replace")

    @property
    def client(self) -> httpx.Client:
        """A plain HTTP client with the admin token; it follows `web` to a new port after a restart."""
        address = (self.home / "address").read_text().strip()
        if self._client is None or str(self._client.base_url).rstrip("/") != address:
            if self._client:
                self._client.close()
            token = (self.home / "admin.token").read_text().strip()
            self._client = httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=20)
        return self._client

    def submit(self, *command: str, **wishes: Any) -> str:
        answer = self.client.post("/v1/jobs", json={"command": list(command), **wishes})
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def python(self, script: str, **wishes: Any) -> str:
        """Submit a script of Python."""
        return self.submit(sys.executable, "-c", script, **wishes)

    def job(self, job_id: str) -> dict[str, Any]:
        return self.client.get(f"/v1/jobs/{job_id}").raise_for_status().json()

    def attempts(self, job_id: str) -> list[dict[str, Any]]:
        return self.client.get(f"/v1/jobs/{job_id}/attempts").raise_for_status().json()["items"]

    def log(self, job_id: str) -> bytes:
        return self.client.get(f"/v1/jobs/{job_id}/logs").raise_for_status().content

    def cancel(self, job_id: str) -> httpx.Response:
        return self.client.delete(f"/v1/jobs/{job_id}")

    def levare(self, *arguments: str, code: int = 0, environment: Mapping[str, str] | None = None) -> str:
        """What the command says to somebody on this machine, complaints included."""
        done = subprocess.run(
            [sys.executable, "-c", "from levare.cli import main; main()", *arguments],
            env={**_clean(os.environ), "LEVARE_HOME": str(self.home), **(environment or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def await_state(self, job_id: str, *states: str, within: float = 30) -> dict[str, Any]:
        eventually(lambda: self.job(job_id)["state"] in states, within=within)
        return self.job(job_id)

    def await_end(self, *job_ids: str, within: float = 60) -> list[dict[str, Any]]:
        return [self.await_state(job_id, *FINAL, within=within) for job_id in job_ids]

    def stop(self) -> None:
        """End everything, jobs included, and leave nothing behind."""
        if self._client:
            self._client.close()
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
        for process in self.processes.values():
            process.wait(timeout=10)
        for process in self.of_this_home():
            with suppress(psutil.Error):
                process.kill()

    def of_this_home(self) -> list[psutil.Process]:
        """Every process whose command line or environment names this deployment."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def job_processes(self, job_id: str) -> list[psutil.Process]:
        """Every process that carries this job in its environment."""
        return [process for process in psutil.process_iter() if environment_of(process).get("LEVARE_JOB") == job_id]

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.Error):
            environment = environment_of(process)
            if f"{environment.get('LEVARE_HOME')}/".startswith(f"{self.home}/"):
                return True
            if environment.get("LEVARE_CHECKPOINTS", "").startswith(str(self.home)):
                return True
            return any(str(self.home) in part for part in process.cmdline())
        return False

    def _spawn(self, name: str, environment: Mapping[str, str]) -> subprocess.Popen[bytes] | Started:
        command = COMMANDS[name.partition(":")[0]]
        variables = {**_clean(os.environ), **self.environment, **environment}
        with (self.home / f"{name}.out").open("ab") as output:
            if command[-1] in nursery.KINDS and "LD_PRELOAD" not in variables and not self._by_hand:
                return nursery.start(command[-1], variables, output)
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _ready(self, nodes: int) -> bool:
        self._fail_if_dead()
        try:
            listed = self.client.get("/v1/nodes").raise_for_status().json()["items"]
        except (httpx.HTTPError, FileNotFoundError):
            return False
        return len([node for node in listed if node["state"] == "ready"]) >= nodes

    def _fail_if_dead(self) -> None:
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended with {process.returncode}:\n{self.output(name)[-3000:]}"


@contextmanager
def fleet(home: Path, by_hand: bool = False, /, **environment: str) -> Iterator[Fleet]:
    """A deployment until the end of the block; `BY_HAND` each process is started as a person does, imports and all."""
    deployment = Fleet(home, by_hand, **environment)
    try:
        yield deployment
    finally:
        deployment.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def alive(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def _clean(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("LEVARE_")}
