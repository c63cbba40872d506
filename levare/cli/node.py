"""`levare node`: the side of a machine: it joins a fleet, and runs the workers that pools ask for."""

import fcntl
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from levare.cli import terminal
from levare.cli.kinds import LABEL
from levare.cli.up import Output, refuse_without_server, stop_on
from levare.errors import Conflict, InvalidSetting
from levare.machine import refuse_unfit
from levare.settings import load

if TYPE_CHECKING:
    from levare.agent import Identity

_LONGEST_NAME = 32
_NO_TOKEN = "-"  # noqa: S105 - the code is what opens; a token that lies around here is not for that address


@click.group()
def node() -> None:
    """Join a fleet with this machine, and run the workers that pools have here."""


@node.command()
@click.argument("url")
@click.argument("code")
@click.option("--name", help="What this machine is called in the fleet; LEVARE_NODE or its host name by default.")
@click.option("--label", "labels", type=LABEL, multiple=True, help="By which pools select it: zone=a; repeatable.")
@click.option("--run", "and_run", is_flag=True, help="Go on as `levare node run` does.")
@click.option("--insecure", is_flag=True, help="Take secrets over plain HTTP from a public address, too.")
@terminal.json_option
def join(url: str, code: str, *, name: str | None, and_run: bool, insecure: bool, as_json: bool, **given: Any) -> None:
    """
    Bring this machine into the fleet whose API is at URL, by a CODE of `levare nodes invite`; `-` reads it from stdin.

    What it gets is kept in LEVARE_HOME, for this user only: a token that lets it ask what to run, and the URLs of the
    database and of Redis for its workers.
    """
    from levare.agent import Identity
    from levare.client import Client

    refuse_unfit()
    settings = load()
    _refuse_in_clear(url, insecure=insecure)
    called = name or settings.node[:_LONGEST_NAME].strip("-")
    with Client(url, _NO_TOKEN, patience=10) as client:
        joined = client.join_machine(sys.stdin.readline().strip() if code == "-" else code, called)
    identity = Identity(url=url.rstrip("/"), **joined, labels=dict(given["labels"]))
    identity.save(settings.home)
    if as_json:
        terminal.document({"machine": identity.machine, "url": identity.url, "home": str(settings.home)})
    else:
        click.echo(f"{identity.machine} has joined; what it needs is in {settings.home / 'node.json'}")
    if and_run:
        _run(identity, settings.home, quiet=False)
    elif not as_json:
        terminal.note("`levare node run` starts what pools ask for; deploy/systemd has a unit for it.")


@node.command()
@click.option("-q", "--quiet", is_flag=True, help="Do not show what the workers write.")
def run(*, quiet: bool) -> None:
    """Run the workers that pools have on this machine, until Ctrl-C; running jobs go on after it."""
    from levare.agent import Identity

    home = load().home
    _run(Identity.load(home), home, quiet=quiet)


def _run(identity: "Identity", home: Path, *, quiet: bool) -> None:
    import signal

    from levare.agent import Agent, offers

    refuse_without_server()
    refuse_unfit()
    stop_on(signal.SIGTERM, signal.SIGHUP)
    output = Output([identity.machine], quiet=quiet)
    try:
        with _alone(home):
            agent = Agent(home, identity, offers(home), version=version("levare"), say=output.line)
            output.write(f"{identity.machine} runs what pools ask for. Ctrl-C ends it; running jobs go on.")
            with agent:
                while True:
                    time.sleep(agent.turn())
    except KeyboardInterrupt:
        output.write(f"{identity.machine} has stopped; `levare node run` goes on.")


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One agent for a state directory."""
    with (home / "node.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Conflict(
                f"`levare node run` runs for {home} already.", "Stop it, or set another LEVARE_HOME."
            ) from None
        yield


def _refuse_in_clear(url: str, *, insecure: bool) -> None:
    """Secrets come back: only over HTTPS, or from this machine and private networks, unless somebody insists."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidSetting(f"{url!r} is no address of an API.", "Write it as https://levare.example.org.")
    if parts.scheme == "http" and not insecure and not _is_private(parts.hostname):
        raise InvalidSetting(
            f"{url} would send secrets over the internet in the clear.", "Use https, or --insecure if you must."
        )


def _is_private(host: str) -> bool:
    """Whether all that it resolves to is; what resolves to nothing fails later, with a better reason."""
    try:
        found = {str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, None)}
    except OSError:
        return True
    return all(ip_address(each).is_private for each in found)
