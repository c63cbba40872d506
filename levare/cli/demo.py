"""`levare demo`: everything on this machine, with simulated GPUs where there are none, and one real training job."""

import os
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from levare.cli import words
from levare.cli.group import INTERRUPTED
from levare.cli.logs import follow_to_end
from levare.cli.up import (
    addresses,
    await_ready,
    chosen,
    client_of,
    listening,
    rest_until_stopped,
    running,
    still_running,
    url,
    with_ports,
)
from levare.errors import Unavailable
from levare.procfile import deployment
from levare.settings import load

if TYPE_CHECKING:
    from levare.client import Client

TRAINING = "examples/digits/train.py"
_FOR_A_SHOW = ("--epochs", "60", "--seconds-per-epoch", "1")
"""Whoever stays has a minute in which to open the page and see the curves move."""
_END_SECONDS = 20


@click.command()
@click.option("--once", is_flag=True, help="End when the job has ended, with its exit code.")
def demo(*, once: bool) -> int:
    """Run levare on this machine with a real training job, and follow it.

    State is kept in ./.levare or LEVARE_HOME. Without a GPU, four simulated ones are shared out.
    """
    settings = with_ports(load(demonstration(os.environ)))
    names, said = chosen(settings), _Tail()
    try:
        with running(settings, names, said):
            try:
                await_ready(settings, names)
            except Unavailable:
                click.echo(said.text(), err=True)
                raise
            click.echo(addresses(settings, names))
            with client_of(settings) as client:
                code = _train(client, url(settings), () if once else _FOR_A_SHOW)
            if not once:
                rest_until_stopped()
    except KeyboardInterrupt:
        code = INTERRUPTED if once else 0
    click.echo(still_running(settings))
    return code


def demonstration(environ: Mapping[str, str]) -> dict[str, str]:
    """This environment with what a demonstration adds: GPUs where there are none, ports that are free."""
    gpus = {} if any(Path("/dev").glob("nvidia[0-9]*")) else {"LEVARE_SIMULATED_GPUS": "4x80GiB"}
    ports = {name: "0" for name, port in (("LEVARE_PORT", 8420), ("LEVARE_FLOWER_PORT", 5555)) if _is_taken(port)}
    return {**gpus, **ports, **{name: value for name, value in environ.items() if value}}


def _train(client: "Client", address: str, arguments: Sequence[str]) -> int:
    """Submit the training, follow it to its end, and give its exit code; an interrupted one is cancelled."""
    command = [sys.executable, str(deployment() / TRAINING), *arguments]
    job = client.submit(command, name="digits", gpus=1)["id"]
    said = " ".join(["levare submit --name digits --gpus 1 -- python", TRAINING, *arguments])
    click.echo(f"\n{said}\n{job}\n\nIts curves: {address}/jobs/{job}\n")
    code = follow_to_end(client, job, as_json=False)
    if code == INTERRUPTED:
        client.cancel(job)
        client.wait(job, timeout=_END_SECONDS)
        raise KeyboardInterrupt
    for stage, values in client.metrics(job, limit=1)["summary"].items():
        click.echo(f"  {stage or 'metrics'}  {words.stage_line(values)}")
    return code


def _is_taken(port: int) -> bool:
    try:
        listening("127.0.0.1", port).close()
    except OSError:
        return True
    return False


class _Tail:
    """Keeps the last lines of the processes for when something goes wrong; that one of them ended is told at once."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=60)

    def __call__(self, name: str, line: str) -> None:
        self._lines.append(f"{name} | {line}")
        if name == "levare":
            click.echo(line, err=True)

    def text(self) -> str:
        return "\n".join(self._lines)
