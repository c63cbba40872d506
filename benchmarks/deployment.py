"""A deployment of levare for a measurement: real processes in a folder of their own."""

import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from levare.client import Client
from levare.procfile import Processes, commands, deployment


@contextmanager
def running(home: Path, *, without: tuple[str, ...] = ("flower",), **environment: str) -> Iterator[Client]:
    """Start the processes of the Procfile, wait until a node has joined, and end them again."""
    settings = {
        "LEVARE_HOME": str(home),
        "LEVARE_PORT": "0",
        "LEVARE_RATE": "0",
        "LEVARE_LOG_FORMAT": "json",
        **environment,
    }
    wanted = {name: line for name, line in commands(deployment() / "Procfile").items() if name not in without}
    home.mkdir(parents=True)
    with (home / "output").open("w") as output:
        env = {**_without_levare(os.environ), **settings}
        say = lambda name, line: print(name, line, file=output)  # noqa: E731
        with Processes(wanted, cwd=deployment(), env=env, say=say), _client(home) as client:
            yield client


def stack(home: Path) -> list[psutil.Process]:
    """The processes of a deployment: its server, the ones of the Procfile, and what they have started."""
    found = {process for process in psutil.process_iter() if process.pid != os.getpid() and _is_of(process, home)}
    below = {child for process in found for child in process.children(recursive=True)}
    return sorted(found | below, key=lambda process: process.pid)


def _is_of(process: psutil.Process, home: Path) -> bool:
    try:
        named = any(str(home) in part for part in process.cmdline())
        return named or process.environ().get("LEVARE_HOME") == str(home)
    except (psutil.Error, OSError):
        return False


def _client(home: Path) -> Client:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            client = Client((home / "address").read_text().strip(), (home / "admin.token").read_text().strip())
            if any(node["state"] == "ready" for node in client.nodes()):
                return client
        except Exception:  # noqa: BLE001 - whatever it is, it is not ready
            time.sleep(0.1)
    sys.exit(f"the deployment did not start; see {home / 'output'}")


def _without_levare(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith("LEVARE_")}
