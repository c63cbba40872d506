"""`levare doctor --chaos`: a deployment of its own in which everything is killed but the training, and what held."""

import os
import signal
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from socket import AF_UNIX, socket
from typing import TYPE_CHECKING

import click

from levare.cli import terminal, words
from levare.cli.group import FAILED
from levare.cli.up import await_ready, client_of, running, with_ports
from levare.cli.witness import STUBBORN, Ledger, expected_log
from levare.errors import LevareError, Unavailable
from levare.procfile import Processes
from levare.settings import Settings, load

if TYPE_CHECKING:
    from levare.client import Client

PROCESSES: Sequence[str] = ("redis", "web", "beat", "worker")
CODES = (0, 3, 137, 0)
"""How the jobs of each round end: well, with an exit code, by KILL."""
_LINES = 20
_JOB_SECONDS = 3.0
_HANG_SECONDS = 4.0
_BEGIN_SECONDS, _END_SECONDS, _GRACE_SECONDS = 30.0, 90.0, 1
_SAID = 40


@dataclass
class Promise:
    """What levare promises, and how often it held; `broken` names what it did not hold for."""

    name: str
    tried: int = 0
    broken: list[str] = field(default_factory=list)

    def count(self, what: str, *, held: bool) -> None:
        self.tried += 1
        self.broken += [] if held else [what]


@dataclass(frozen=True)
class Blow:
    """What is done to the deployment while jobs run."""

    name: str
    strike: Callable[["_Deployment"], None]


@dataclass(frozen=True)
class Round:
    """How long after the blow the API answered, and knew its node."""

    blow: str
    answered_seconds: float


@dataclass
class _Deployment:
    settings: Settings
    processes: Processes
    client: "Client"
    ledger: Ledger

    def ready(self) -> None:
        await_ready(self.settings, list(PROCESSES))

    def run(self, code: int, gpus: int, seconds: float = _JOB_SECONDS) -> str:
        arguments = self.ledger.arguments(seconds=seconds, code=code, lines=_LINES)
        return self.client.submit([sys.executable, *arguments], gpus=gpus, cpus=1)["id"]

    def kill(self, *names: str) -> None:
        self.processes.strike(signal.SIGKILL, *names)

    def hang(self, name: str) -> None:
        self.processes.strike(signal.SIGSTOP, name)
        time.sleep(_HANG_SECONDS)
        self.processes.strike(signal.SIGCONT, name)

    def empty_redis(self) -> None:
        with socket(AF_UNIX) as line:
            line.connect(str(self.settings.embedded_socket))
            line.sendall(f"AUTH {self.settings.secret}\r\nFLUSHALL\r\n".encode())
            line.recv(1024)


BLOWS = (
    Blow("kill -9 worker", lambda it: it.kill("worker")),
    Blow("kill -9 beat", lambda it: it.kill("beat")),
    Blow("kill -9 web", lambda it: it.kill("web")),
    Blow("kill -9 redis", lambda it: it.kill("redis")),
    Blow("kill -9 of all at once", lambda it: it.kill(*PROCESSES)),
    Blow("redis emptied", lambda it: it.empty_redis()),
    Blow(f"redis hangs {_HANG_SECONDS:g} s", lambda it: it.hang("redis")),
)


class Trial:
    def __init__(self) -> None:
        self.ended = Promise("Each job that was accepted ends, once")
        self.codes = Promise("with its true exit code")
        self.starts = Promise("after exactly one start")
        self.logs = Promise("and every byte of its log")
        self.alone = Promise("No GPU is ever held twice")
        self.accepted = Promise("A submit is accepted whatever is down")
        self.cancelled = Promise("A cancel leaves no process")
        self.clean = Promise("Nothing is left when it stops")
        self.rounds: list[Round] = []

    @property
    def promises(self) -> Sequence[Promise]:
        of_jobs = (self.ended, self.codes, self.starts, self.logs)
        return (*of_jobs, self.alone, self.accepted, self.cancelled, self.clean)

    @property
    def held(self) -> bool:
        return not any(promise.broken for promise in self.promises)

    def run(self, it: _Deployment, tell: Callable[[str], object]) -> None:
        for blow in BLOWS:
            found = self._round(it, blow)
            self.rounds.append(found)
            tell(f"{blow.name}: the API answered after {words.span(found.answered_seconds)}")
        for job in it.ledger.twice():
            self.alone.broken.append(job)
        self._cancel(it)

    def _round(self, it: _Deployment, blow: Blow) -> Round:
        jobs = {it.run(code, number % 2): code for number, code in enumerate(CODES)}
        _until(lambda: jobs.keys() <= it.ledger.starts().keys(), _BEGIN_SECONDS)
        began = time.monotonic()
        blow.strike(it)
        try:
            jobs[it.run(0, 1, seconds=0.2)] = 0
            self.accepted.count(blow.name, held=True)
        except LevareError:
            self.accepted.count(blow.name, held=False)
        it.ready()
        answered = time.monotonic() - began
        for job, code in jobs.items():
            self._look_at(it, job, code, blow)
        return Round(blow.name, answered)

    def _look_at(self, it: _Deployment, job: str, code: int, blow: Blow) -> None:
        what = f"{job} ({blow.name})"
        try:
            found = it.client.wait(job, timeout=_END_SECONDS)
        except TimeoutError:
            self.ended.count(what, held=False)
            return
        attempts = it.client.attempts(job)
        self.ended.count(what, held=len(attempts) == 1)
        self.codes.count(what, held=found["exit_code"] == code and attempts[-1]["exit_code"] == code)
        self.starts.count(what, held=it.ledger.starts()[job] == 1)
        self.logs.count(what, held=it.client.log(job)["data"] == expected_log(job, _LINES))
        self.alone.tried += 1

    def _cancel(self, it: _Deployment) -> None:
        """One that ignores TERM, and has started another of its kind that left its session."""
        job = it.client.submit([sys.executable, "-c", STUBBORN], grace_seconds=_GRACE_SECONDS)["id"]
        _until(lambda: len(_carrying("LEVARE_JOB", job)) > 1, _BEGIN_SECONDS)
        it.client.cancel(job)
        it.client.wait(job, timeout=_END_SECONDS)
        self.cancelled.count(job, held=_until(lambda: not _carrying("LEVARE_JOB", job), _GRACE_SECONDS + 5))


def trial(*, as_json: bool) -> int:
    """Run it, tell what held, and give the exit code."""
    found, said = Trial(), deque[str](maxlen=_SAID)
    tell = (lambda _: None) if as_json else terminal.note
    tell("levare runs in a folder of its own, with simulated GPUs and real jobs; nothing of yours is touched.")
    with tempfile.TemporaryDirectory(prefix="levare-") as folder:
        home = Path(folder) / "home"
        try:
            with _deployed(home, said) as it:
                found.run(it, tell)
        except Unavailable:
            click.echo("\n".join(said), err=True)
            raise
        found.clean.count(str(home), held=_until(lambda: not _carrying("LEVARE_HOME", str(home)), _GRACE_SECONDS + 5))
    show(found, as_json=as_json)
    return 0 if found.held else FAILED


@contextmanager
def _deployed(home: Path, said: deque[str]) -> Iterator[_Deployment]:
    environ = _environment(home, os.environ)
    settings, names = with_ports(load(environ)), list(PROCESSES)
    with running(settings, names, lambda name, line: said.append(f"{name} | {line}"), environ=environ) as processes:
        await_ready(settings, names)
        with client_of(settings, patience=_BEGIN_SECONDS) as client:
            yield _Deployment(settings, processes, client, Ledger(home.parent))


def _environment(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Nothing of the deployment that this shell may know."""
    rest = {name: value for name, value in environ.items() if not name.startswith("LEVARE_")}
    offers = {"LEVARE_NODE": "chaos", "LEVARE_CPUS": "16", "LEVARE_SIMULATED_GPUS": "4x80GiB"}
    return {**rest, **offers, "LEVARE_HOME": str(home), "LEVARE_PORT": "0", "LEVARE_FLOWER_PORT": "0"}


def _until(happened: Callable[[], object], seconds: float) -> bool:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def _carrying(variable: str, value: str) -> list[int]:
    """The processes that have this in their environment."""
    wanted, found = f"{variable}={value}".encode(), list[int]()
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
    return found


def show(found: Trial, *, as_json: bool) -> None:
    if as_json:
        rounds = [asdict(each) for each in found.rounds]
        promises = [asdict(each) | {"held": not each.broken} for each in found.promises]
        terminal.document({"ok": found.held, "rounds": rounds, "promises": promises})
        return
    for promise in found.promises:
        good, count = not promise.broken, Counter(promise.broken)
        mark = terminal.paint("held  ", fg="green") if good else terminal.paint("BROKEN", fg="red", bold=True)
        click.echo(f"{mark}  {promise.name}: {promise.tried - len(promise.broken)} of {promise.tried}")
        for what in count:
            click.echo(f"        not for {words.plain(what)}")
