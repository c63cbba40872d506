"""
What `levare node run` does on a machine: it runs the workers that pools have there.

It asks web every second. While web does not answer, what runs goes on, also when this process starts anew: what was
asked for last is kept in LEVARE_HOME. Workers end with this process and start again with the next one, which costs no
job: each has a supervisor of its own, by which its worker finds it again.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any, Self

from levare.client import Client
from levare.errors import Forbidden, InvalidSetting, LevareError, NotFound, Unauthorized, Unavailable
from levare.procfile import Kept, Say, deployment

ASK_SECONDS = 1.0
_REFUSED_SECONDS = 10.0
_LONGEST_NOTE = 500
_OURS = frozenset(["LOG_FORMAT", "LOG_LIMIT", "REAP_ORPHANS", "MLFLOW", "GPU_COMPANIONS", "ADDRESS", "FLOWER_ACTIONS"])
"""What is set for this process and holds for its workers, too, each after LEVARE_."""

Order = Mapping[str, Any]
"""A worker as POST /v1/machines/{name}/poll answers it."""


@dataclass(frozen=True)
class Identity:
    """What `levare node join` has brought: secret, and kept in a 0600 file."""

    url: str
    machine: str
    token: str = field(repr=False)
    database: str = field(repr=False)
    redis: str = field(repr=False)
    lost_after_seconds: int = 60
    labels: Mapping[str, str] = field(default_factory=dict)

    def save(self, home: Path) -> None:
        _write(home / "node.json", asdict(self))

    @classmethod
    def load(cls, home: Path) -> "Identity":
        """Raise InvalidSetting where this machine has not joined."""
        path = home / "node.json"
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            raise InvalidSetting(
                f"This machine has not joined any fleet: there is no {path}.",
                "`levare nodes invite` on the other side says by which command it does.",
            ) from None
        except (OSError, ValueError, TypeError) as error:
            raise InvalidSetting(f"{path} cannot be read: {error}.", "Join again.") from None


def offers(home: Path) -> dict[str, Any]:
    """What this machine has, as its workers would find it."""
    environ = {**_inherited(), "LEVARE_HOME": str(home)}
    environ |= {name: os.environ[name] for name in ("LEVARE_LABELS", "LEVARE_GPUS") if name in os.environ}
    command = [sys.executable, "-m", "worker.offers"]
    ran = subprocess.run(command, cwd=deployment(), env=environ, capture_output=True, text=True, check=False)
    if ran.returncode:
        last = ran.stderr.strip().rpartition("\n")[2]
        raise Unavailable(f"This machine does not tell what it has: {last}.", "Is 'levare[server]' installed?")
    return json.loads(ran.stdout)


class Agent:
    """A context: workers run as they are asked for until it is left. The jobs go on."""

    def __init__(self, home: Path, identity: Identity, has: Mapping[str, Any], *, version: str, say: Say) -> None:
        self._home, self._identity, self._say = home, identity, say
        self._about = {**has, "labels": {**has["labels"], **identity.labels}, "version": version}
        self._client = Client(identity.url, identity.token, timeout=10, patience=0)
        self._running: dict[str, Kept] = {}
        self._ending: dict[str, threading.Thread] = {}
        self._trouble = ""

    def __enter__(self) -> Self:
        """Run again what ran last; what has changed meanwhile the first answer tells."""
        for order in self._remembered():
            self._begin(order)
        return self

    def __exit__(self, *_: object) -> None:
        for kept in self._running.values():
            kept.terminate()
        for kept in self._running.values():
            kept.end()
        self._client.close()

    def turn(self) -> float:
        """Ask once, and do what is wanted; return how many seconds to wait before the next time."""
        for name in [name for name, thread in self._ending.items() if not thread.is_alive()]:
            del self._running[name], self._ending[name]
        try:
            self._follow(self._client.poll_machine(self._identity.machine, self._report()))
        except (LevareError, OSError) as error:
            self._tell(f"{error.detail if isinstance(error, LevareError) else error} What runs here goes on.")
            return _REFUSED_SECONDS if isinstance(error, Unauthorized | Forbidden | NotFound) else ASK_SECONDS
        self._tell("")
        return ASK_SECONDS

    def _report(self) -> dict[str, Any]:
        return {**self._about, "workers": {name: _told(kept) for name, kept in self._running.items()}}

    def _follow(self, wanted: Sequence[Order]) -> None:
        """What is to end is forgotten before it ends: the next start of this process must not run it again."""
        run = {order["name"]: order for order in wanted if order["state"] != "stopping"}
        self._remember(list(run.values()))
        for name in self._running.keys() - run.keys() - self._ending.keys():
            self._end(name)
        for name in sorted(run.keys() - self._running.keys()):
            self._begin(run[name])

    def _begin(self, order: Order) -> None:
        name = order["name"]
        home = self._make_home(name)
        command = [sys.executable, "-m", "worker"]
        environ = environment(order, self._identity, home)
        self._running[name] = Kept(name, command, cwd=deployment(), env=environ, say=self._say)
        self._running[name].start()
        self._say("levare", f"{name} starts")

    def _end(self, name: str) -> None:
        """In a thread of its own, for it may take some seconds; until then it counts as running."""
        self._say("levare", f"{name} ends")
        self._ending[name] = threading.Thread(target=self._end_one, args=(name,), daemon=True)
        self._ending[name].start()

    def _end_one(self, name: str) -> None:
        self._running[name].end()
        self._remove_home(name)

    def _make_home(self, name: str) -> Path:
        """What jobs keep across attempts is one folder for all workers of the machine."""
        home, jobs = self._home / "workers" / name, self._home / "jobs"
        for folder in (home, jobs):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            (home / "jobs").symlink_to(jobs)
        return home

    def _remove_home(self, name: str) -> None:
        home = self._home / "workers" / name
        if not any((home / "runs").glob("*")):
            rmtree(home, ignore_errors=True)

    def _remember(self, orders: Sequence[Order]) -> None:
        if list(orders) != self._remembered():
            _write(self._home / "node-workers.json", list(orders))

    def _remembered(self) -> list[Order]:
        try:
            return json.loads((self._home / "node-workers.json").read_text())
        except (OSError, ValueError):
            return []

    def _tell(self, trouble: str) -> None:
        """Each trouble once, and its end."""
        if trouble != self._trouble:
            self._say("levare", trouble or f"{self._identity.url} answers")
            self._trouble = trouble


def environment(order: Order, identity: Identity, home: Path) -> dict[str, str]:
    """What a worker is told; nothing of it comes from web as it is but what has the form that it must have."""
    told = {
        "LEVARE_HOME": str(home),
        "LEVARE_DATABASE": identity.database,
        "LEVARE_REDIS": identity.redis,
        "LEVARE_LOST_AFTER": str(identity.lost_after_seconds),
        "LEVARE_NODE": order["name"],
        "LEVARE_LABELS": ",".join(f"{name}={value}" for name, value in order["labels"].items()),
        "LEVARE_SIMULATED_GPUS": order["simulated_gpus"],
        "LEVARE_PRICE": "" if order["price"] is None else f"{order['price']:.6f}".rstrip("0").rstrip("."),
        "PYTHONUNBUFFERED": "1",
    }
    for name, value, unit in (
        ("CPUS", order["cpus"], ""),
        ("MEMORY", order["memory_mib"], "MiB"),
        ("SCRATCH", order["scratch_mib"], "MiB"),
    ):
        told |= {} if value is None else {f"LEVARE_{name}": f"{value}{unit}"}
    gpus = {} if order["gpus"] is None else {"LEVARE_GPUS": ",".join(order["gpus"]) or "none"}
    own = ("LEVARE_RESOURCES", "LEVARE_GPUS") if order["cpus"] is None else ()
    return {**_inherited(), **{name: os.environ[name] for name in own if name in os.environ}, **told, **gpus}


def _inherited() -> dict[str, str]:
    """This environment without what is of this process alone."""
    ours = {f"LEVARE_{name}" for name in _OURS}
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONSAFEPATH" and (name in ours or not name.startswith("LEVARE_"))
    }


def _told(kept: Kept) -> dict[str, Any]:
    note = f"It {kept.trouble}"[:_LONGEST_NOTE] if kept.pid is None and kept.trouble else None
    return {"pid": kept.pid, "starts": kept.starts, "note": note}


def _write(path: Path, document: Any) -> None:
    """Whole or not at all, and for this user's eyes only."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file)
    draft.replace(path)
