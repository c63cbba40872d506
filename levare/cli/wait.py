"""`levare wait`: until jobs have ended, with their exit codes."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import click

from levare.cli import terminal
from levare.cli.kinds import DURATION, JOB
from levare.cli.show import standing

if TYPE_CHECKING:
    from levare.client import Client, Job

TIMED_OUT = 124  # as timeout(1) says it


@click.command()
@click.argument("jobs", type=JOB, nargs=-1, required=True, metavar="JOB...")
@click.option("--timeout", type=DURATION, help="Give up after so long, with exit code 124; the jobs run on.")
@terminal.json_option
def wait(jobs: Sequence[str], timeout: int | None, *, as_json: bool) -> int:
    """Wait until jobs have ended; exit with the job's own code, of several with the first that is not 0."""
    until = None if timeout is None else time.monotonic() + timeout
    ended: list[Job] = []
    with terminal.connect() as client:
        _look_at(client, jobs[1:])
        for job in jobs:
            left = None if until is None else max(until - time.monotonic(), 0)
            try:
                with _shown(client, job):
                    ended.append(client.wait(job, timeout=left))
            except TimeoutError as error:
                terminal.note(str(error))
                return TIMED_OUT
            if not as_json:
                click.echo(standing(ended[-1]))
    if as_json:
        terminal.document(ended[0] if len(jobs) == 1 else {"items": ended})
    return next((code for code in map(exit_code, ended) if code), 0)


def _look_at(client: "Client", jobs: Sequence[str]) -> None:
    """A job that is not there is told before hours are spent on one that is named before it."""
    for job in jobs:
        with suppress(TimeoutError):
            client.wait(job, timeout=0)


@contextmanager
def _shown(client: "Client", job: str) -> Iterator[None]:
    """While it lasts, how the job stands, below what is printed: for people, and only on a terminal."""
    if terminal.is_quiet() or not sys.stderr.isatty():
        yield
        return
    from levare.cli.live import waiting

    with waiting(client, job):
        yield


def exit_code(job: "Job") -> int:
    """The job's own; 1 for one that did not succeed and left none."""
    return 0 if job["state"] == "succeeded" else job["exit_code"] or 1
