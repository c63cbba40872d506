"""`levare up`: the processes of the Procfile on this machine, until Ctrl-C."""

import errno
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from levare.errors import Conflict, InvalidSetting, LevareError, Unavailable
from levare.machine import refuse_shared, refuse_unfit
from levare.procfile import Processes, Say, commands, deployment
from levare.settings import Settings, load, refuse_open

if TYPE_CHECKING:
    from levare.client import Client

READY_SECONDS = 60.0
_COLOURS = ("cyan", "green", "yellow", "magenta", "blue")


@click.command()
@click.option("--only", multiple=True, metavar="NAME", help="Run this process alone; may be repeated.")
@click.option("--without", multiple=True, metavar="NAME", help="Leave this process out; may be repeated.")
@click.option("-q", "--quiet", is_flag=True, help="Do not show what the processes write.")
def up(only: tuple[str, ...], without: tuple[str, ...], *, quiet: bool) -> None:
    """Run levare on this machine until Ctrl-C; running jobs go on after it.

    The processes are those of the Procfile: redis (left out when LEVARE_REDIS is set), web, beat, worker and flower.
    A further machine of the fleet runs `levare up --only worker`, with LEVARE_DATABASE and LEVARE_REDIS set.
    """
    settings = with_ports(load())
    names = chosen(settings, only, without)
    output = Output(names, quiet=quiet)
    try:
        with running(settings, names, output.line):
            await_ready(settings, names)
            output.write(addresses(settings, names))
            rest_until_stopped()
    except KeyboardInterrupt:
        output.write(still_running(settings))


def chosen(settings: Settings, only: tuple[str, ...] = (), without: tuple[str, ...] = ()) -> list[str]:
    """The names of the processes to run, as the Procfile orders them."""
    known = list(commands(deployment() / "Procfile"))
    for name in (*only, *without):
        if name not in known:
            raise InvalidSetting(f"There is no process {name!r}.", f"The processes are {', '.join(known)}.")
    left_out = {*without, *(["redis"] if settings.redis else [])}
    return [name for name in known if name not in left_out and (not only or name in only)]


@contextmanager
def running(
    settings: Settings, names: list[str], say: Say, *, environ: Mapping[str, str] = os.environ
) -> Iterator[Processes]:
    """Run processes as long as the context lasts; Ctrl-C, TERM and a closed terminal end it as KeyboardInterrupt."""
    refuse_without_server()
    if "worker" in names:
        refuse_unfit()
    if settings.sqlite_file:
        refuse_shared(settings.sqlite_file)
    _make_home(settings.home)
    wanted = {name: command for name, command in commands(deployment() / "Procfile").items() if name in names}
    stop_on(signal.SIGTERM, signal.SIGHUP)
    if "web" in names:
        refuse_open(settings)
    with _alone(settings):
        _refuse_taken_ports(settings, names)
        with Processes(wanted, cwd=deployment(), env=environment(settings, environ), say=say) as processes:
            yield processes


def environment(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What the processes are told: this environment, with nothing that depends on the working directory."""
    console = {"LEVARE_LOG_FORMAT": "console"} if sys.stdout.isatty() and not environ.get("LEVARE_LOG_FORMAT") else {}
    told = {
        "LEVARE_HOME": str(settings.home),
        "LEVARE_DATABASE": settings.database,
        "LEVARE_PORT": str(settings.port),
        "LEVARE_FLOWER_PORT": str(settings.flower_port),
        "LEVARE_SIMULATED_GPUS": settings.simulated_gpus,
        "LEVARE_TLS_CERT": str(settings.tls_cert or ""),
        "LEVARE_TLS_KEY": str(settings.tls_key or ""),
        "PYTHONUNBUFFERED": "1",
    }
    return {name: value for name, value in environ.items() if name != "PYTHONSAFEPATH"} | told | console


def with_ports(settings: Settings) -> Settings:
    """Port 0 becomes a free one, so that everybody can be told of it."""
    return replace(
        settings,
        port=settings.port or free_port(settings.host),
        flower_port=settings.flower_port or free_port("127.0.0.1"),
    )


def free_port(host: str) -> int:
    try:
        with listening(host, 0) as server:
            return server.getsockname()[1]
    except OSError as error:
        raise _no_port(host, 0, error) from None


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; OSError if that cannot be."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)


def url(settings: Settings) -> str:
    """The API's address as seen from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104  # compared, not bound
    name = f"[{host}]" if ":" in host else host
    return f"{settings.scheme}://{name}:{settings.port}"


def await_ready(settings: Settings, names: list[str]) -> None:
    """Wait until the API answers and this machine has joined; raise Unavailable if that takes too long."""
    if "web" not in names:
        return
    deadline = time.monotonic() + READY_SECONDS
    while not _ready(settings, names):
        if time.monotonic() > deadline:
            raise Unavailable(
                f"levare is not ready after {READY_SECONDS:.0f} s.", "Read above what its processes said."
            )
        time.sleep(0.05)


def addresses(settings: Settings, names: list[str]) -> str:
    """What runs where, and what opens it."""
    lines = [f"levare runs: {', '.join(names)}. State is in {settings.home}."]
    if "web" in names:
        lines += [
            f"  pages   {url(settings)}/    sign in with the token in {settings.token_file}",
            f"  API     {url(settings)}/v1    the same token",
            f"  docs    {url(settings)}/docs",
        ]
    if "flower" in names:
        password = settings.home / "secret"
        lines.append(f"  Flower  http://127.0.0.1:{settings.flower_port}    user levare, password in {password}")
    return "\n".join([*lines, "Ctrl-C ends it; running jobs go on."])


def still_running(settings: Settings) -> str:
    """What goes on without us: the supervisors of running attempts are alive by design."""
    count = sum(map(_supervised, settings.runs.glob("*/state.json")))
    if not count:
        return "levare has stopped; no job runs."
    jobs = "1 job keeps" if count == 1 else f"{count} jobs keep"
    return f"levare has stopped; {jobs} running. `levare up` finds {'it' if count == 1 else 'them'} again."


class Output:
    """Lines of many processes on one screen, each after its name; colours on a terminal only."""

    def __init__(self, names: list[str], *, quiet: bool = False) -> None:
        self._quiet, self._turn = quiet, threading.Lock()
        self._colours = dict(zip(names, _COLOURS, strict=False))
        self._width = max(map(len, [*names, "levare"]))

    def line(self, name: str, line: str) -> None:
        """What a process said."""
        if not self._quiet or name == "levare":
            self.write(f"{click.style(f'{name:<{self._width}} |', fg=self._colours.get(name))} {line}")

    def write(self, text: str) -> None:
        """To whoever still reads; the processes must not stop because nobody does."""
        with self._turn, suppress(OSError):
            click.echo(text)


def _make_home(home: Path) -> None:
    try:
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        (home / "up.lock").touch()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InvalidSetting(f"{home} cannot be used: {why}.", "Set LEVARE_HOME to a folder of yours.") from None


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """One `levare up` for a state directory."""
    with (settings.home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Conflict(
                f"levare runs for {settings.home} already, as process {lock.read()}.", "Stop it, or set LEVARE_HOME."
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def stop_on(*signals: signal.Signals) -> None:
    """Stop as on Ctrl-C; what is ignored stays ignored, as under nohup."""
    for number in signals:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def refuse_without_server() -> None:
    if not find_spec("celery"):
        raise Unavailable("The server side of levare is not installed.", "Run: pip install 'levare[server]'")


def _refuse_taken_ports(settings: Settings, names: list[str]) -> None:
    for name, variable, host, port in (
        ("web", "LEVARE_PORT", settings.host, settings.port),
        ("flower", "LEVARE_FLOWER_PORT", "127.0.0.1", settings.flower_port),
    ):
        if name in names and (error := _refusal(host, port)):
            if error.errno == errno.EADDRINUSE:
                raise Conflict(f"Port {port} of {host} is taken.", f"Set {variable}, or to 0 for any free port.")
            raise _no_port(host, port, error)


def _no_port(host: str, port: int, error: OSError) -> InvalidSetting:
    why = (error.strerror or str(error)).partition(" (while")[0].lower()
    return InvalidSetting(f"Nothing can listen on port {port} of {host}: {why}.", "Set LEVARE_HOST and LEVARE_PORT.")


def _refusal(host: str, port: int, *, seconds: float = 3.0) -> OSError | None:
    """Why nobody can listen there. An earlier `levare up` may be just ending, so that it is tried for a while."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            listening(host, port).close()
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                return error
            time.sleep(0.1)
        else:
            return None


def client_of(settings: Settings, **options: Any) -> "Client":
    """A client of the API that runs here, by the token that it keeps in its state directory."""
    from levare.client import Client

    return Client(url(settings), settings.token_file.read_text().strip(), **options)


def _ready(settings: Settings, names: list[str]) -> bool:
    try:
        with client_of(settings, patience=0) as client:
            joined = {node["name"] for node in client.nodes() if node["state"] == "ready"}
            decides = client.health().get("beat") == "ok"
    except (OSError, LevareError):
        return False
    return ("worker" not in names or settings.node in joined) and ("beat" not in names or decides)


def _supervised(state_file: Path) -> bool:
    """Whether the supervisor that wrote this file lives: its pid, with the start time that nobody else can have."""
    try:
        state = json.loads(state_file.read_text())
        stat = Path(f"/proc/{state['supervisor_pid']}/stat").read_text()
    except (OSError, ValueError, KeyError):
        return False
    return int(stat.rpartition(")")[2].split()[19]) == state["supervisor_start"]


def rest_until_stopped() -> NoReturn:
    while True:
        signal.pause()
