"""`levare top`: the fleet at a glance, again and again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal
from levare.cli.jobs import job_table
from levare.cli.nodes import device_table, node_table
from levare.errors import LevareError
from levare.model import BLOCKED, LIVE, WAITING

if TYPE_CHECKING:
    from levare.client import Client, Job, Node

_MOST_JOBS = 200


@dataclass(frozen=True)
class Sight:
    """The fleet at one moment."""

    nodes: "list[Node]"
    jobs: "list[Job]"


@click.command()
@click.option("--once", is_flag=True, help="Print it once, as is done off a terminal.")
@click.option(
    "--every", metavar="SECONDS", type=click.FloatRange(min=0.5), default=2, help="Between two looks; 2 by default."
)
@terminal.json_option
def top(every: float, *, once: bool, as_json: bool) -> None:
    """Watch nodes, GPUs and running jobs; q or Ctrl-C leaves."""
    with terminal.connect() as client:
        if as_json:
            sight = look(client)
            terminal.document({"nodes": sight.nodes, "jobs": sight.jobs})
        elif once or not terminal.is_terminal():
            terminal.show(render(look(client)))
        else:
            _watch(client, every)


def look(client: "Client") -> Sight:
    """All nodes, and the jobs that run or wait, newest first."""
    return Sight(client.nodes(), list(client.jobs(state=(*LIVE, WAITING, BLOCKED), limit=_MOST_JOBS)))


def render(sight: Sight) -> Any:
    from rich.console import Group
    from rich.text import Text

    running = [job for job in sight.jobs if job["state"] in LIVE]
    parts: list[Any] = [Text(summary(sight), style="bold"), ""]
    parts += [node_table(sight.nodes), ""] if sight.nodes else []
    parts += [device_table(sight.nodes), ""] if any(node["devices"] for node in sight.nodes) else []
    return Group(*parts, *([job_table(running)] if running else []))


def summary(sight: Sight) -> str:
    ready = sum(node["state"] == "ready" for node in sight.nodes)
    devices = [device for node in sight.nodes for device in node["devices"]]
    held = sum(bool(device["attempts"]) for device in devices)
    running = sum(job["state"] in LIVE for job in sight.jobs)
    more = "+" if len(sight.jobs) == _MOST_JOBS else ""
    return (
        f"{ready} of {len(sight.nodes)} nodes ready, {held} of {len(devices)} GPUs held, "
        f"{running} {'job' if running == 1 else 'jobs'} running, {len(sight.jobs) - running}{more} waiting"
    )


def _watch(client: "Client", every: float) -> None:
    from rich.live import Live

    sight = look(client)  # what is wrong at the start is told as any error is
    with Live(render(sight), console=terminal.console(), screen=True, auto_refresh=False) as live, _keys() as pressed:
        try:
            while not pressed("qQ", every):
                live.update(_looked(client), refresh=True)
        except KeyboardInterrupt:
            return


def _looked(client: "Client") -> Any:
    try:
        return render(look(client))
    except LevareError as error:
        return terminal.cell(error.detail, "red")


@contextmanager
def _keys() -> Iterator[Any]:
    """Whether one of these keys is pressed within so many seconds; without a keyboard just the seconds."""
    from select import select
    from time import sleep

    if not sys.stdin.isatty():
        yield lambda _, seconds: sleep(seconds)
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield lambda keys, seconds: bool(select([sys.stdin], [], [], seconds)[0]) and sys.stdin.read(1) in keys
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
