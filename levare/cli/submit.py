"""`levare submit` and `rerun`: a command becomes a job."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import DURATION, JOB, MOMENT, NEED, SIZE, VARIABLE

if TYPE_CHECKING:
    from levare.client import Client, DryRun, Job

SENT = ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "LANG")
"""Variables of the submitter's shell that go with a job, so that its `python` is the one meant here."""
_NEEDS = "Start when this job has succeeded, or with JOB:failure, JOB:always when it has ended so; repeatable."
_ON_LOST = ("keep", "requeue")
_FOLLOW = "Stay: print its log, exit with its code. Ctrl-C leaves it running."
_AGAIN = (
    *("name", "team", "project", "priority", "gpus", "gpu_memory_mib", "cpus", "memory_mib", "needs"),
    *("retries", "timeout_seconds", "grace_seconds", "env", "cwd", "on_lost"),
)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option("--name", help="A name for people.")
@click.option("--team", help="The team it belongs to.")
@click.option("--project", help="The project it belongs to.")
@click.option("--priority", metavar="N", type=click.IntRange(0, 9), help="Higher starts first; 5 by default.")
@click.option("--gpus", metavar="N", type=click.IntRange(0, 64), help="GPUs it needs, all on one machine.")
@click.option("--gpu-memory", "gpu_memory_mib", type=SIZE, help="Memory it needs of each GPU, which others may share.")
@click.option("--cpus", metavar="N", type=click.IntRange(1), help="CPUs it needs; 1 by default.")
@click.option("--memory", "memory_mib", type=SIZE, help="Memory it needs, such as 64GiB.")
@click.option("--needs", metavar="JOB", multiple=True, type=NEED, help=_NEEDS)
@click.option("--retries", metavar="N", type=click.IntRange(0, 100), help="How often to try again when it fails.")
@click.option("--timeout", "timeout_seconds", type=DURATION, help="End it after this long: 90s, 15m, 2h, 1d.")
@click.option("--grace", "grace_seconds", type=DURATION, help="Time from TERM to KILL; 10s by default.")
@click.option("--env", multiple=True, type=VARIABLE, help="Set a variable, or with NAME alone pass it on; repeatable.")
@click.option("--at", "start_after", type=MOMENT, help="Start no earlier: 2030-12-24T20:00, or +30m.")
@click.option("--cwd", metavar="DIRECTORY", help="Where to run: here by default, '' for a directory of its own.")
@click.option("--on-lost", type=click.Choice(_ON_LOST), help="If its machine falls silent: wait, or start elsewhere.")
@click.option("--dry-run", is_flag=True, help="Only say whether it would be accepted, and why it would wait.")
@click.option("--follow", is_flag=True, help=_FOLLOW)
@terminal.json_option
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def submit(command: Sequence[str], *, dry_run: bool, follow: bool, as_json: bool, **options: Any) -> int:
    """
    Submit a command as a job and print the job's id.

    \b
    levare submit --gpus 1 --name resnet -- python train.py --lr 0.1

    The job gets PATH, VIRTUAL_ENV, CONDA_PREFIX, CONDA_DEFAULT_ENV and LANG of this shell and what
    --env says; nothing else of this environment.
    """
    wish = _wish(**options)
    with terminal.connect() as client:
        if dry_run:
            return _tell_dry_run(client.dry_run(command, **wish), as_json=as_json)
        return _tell(client, client.submit(command, **wish), follow=follow, as_json=as_json)


@click.command()
@click.argument("job", type=JOB)
@click.option("--follow", is_flag=True, help=_FOLLOW)
@terminal.json_option
def rerun(job: str, *, follow: bool, as_json: bool) -> int:
    """Submit the request of a job again and print the new job's id."""
    with terminal.connect() as client:
        old = client.job(job)
        wish: Any = {name: old[name] for name in _AGAIN}
        return _tell(client, client.submit(old["command"], **wish), follow=follow, as_json=as_json)


def _wish(env: Sequence[tuple[str, str]], cwd: str | None, start_after: datetime | None, **rest: Any) -> Any:
    """What was said, and what goes without saying: where we are, and the variables of SENT."""
    sent = {name: os.environ[name] for name in SENT if os.environ.get(name)}
    said = {name: value for name, value in rest.items() if value not in (None, ())}
    place = str(Path.cwd()) if cwd is None else cwd and str(Path(cwd).absolute())
    later = {"start_after": start_after} if start_after else {}
    return {**said, **later, "env": {**sent, **dict(env)}, "cwd": place}


def _tell(client: "Client", job: "Job", *, follow: bool, as_json: bool) -> int:
    if not follow:
        terminal.document(job) if as_json else click.echo(job["id"])
        return 0
    from levare.cli.logs import follow_to_end

    terminal.line(job) if as_json else terminal.note(f"{job['id']} submitted")
    return follow_to_end(client, job["id"], as_json=as_json)


def _tell_dry_run(answer: "DryRun", *, as_json: bool) -> int:
    if as_json:
        terminal.document(answer)
        return 0
    click.echo(f"It would be accepted, and be {answer['state']} at first.")
    for reason in answer["reasons"]:
        click.echo(f"  - {words.plain(reason['message'])}")
    return 0
