"""`levare submit`: a command becomes a job."""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.checkout import code_of
from levare.cli import terminal
from levare.cli.groups import array_options, taken_from
from levare.cli.kinds import AMOUNT, DATA, DURATION, ENDING, HOURS, LABEL, MOMENT, NEED, SECRET, SIZE, VARIABLE, WARNING
from levare.cli.sections import Sectioned

if TYPE_CHECKING:
    from levare.client import Client, DryRun, Job

SENT = ("PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "LANG")
"""Variables of the submitter's shell that go with a job, so that its `python` is the one meant here."""
_NEEDS = "Start when this job has succeeded, or with JOB:failure, JOB:always when it has ended so; repeatable."
_ON_LOST = ("keep", "requeue")
FOLLOW = "Stay: print its log, exit with its code. Ctrl-C leaves it running."
_RESOURCE = "A custom resource and how many of it, such as licence=1; repeatable."
_REQUIRE = "Only machines with this label, such as disk=nvme; repeatable."
_PREFER = "Rather on machines with this label; repeatable."
_AVOID = "Only machines without this label, such as node=atlas; repeatable."
_RETRY_ON = (
    "Retry only after this: failed, timed_out, out_of_memory, lost, exit:N[-N], or a class of failure; repeatable."
)
_DATA = "The data it trains on: imagenet@v3, train=imagenet@v3, or a path such as ./data; repeatable."
_SEED = "What random numbers begin with: its variable LEVARE_SEED."
_BY_NAME = "Set a variable to a secret that its machine has, as API_KEY=HUB_KEY; only the name is sent; repeatable."
_GROWTH = "What its memory is multiplied with after it ran out of it, such as 1.5."
_MIN_RUNTIME = "So long it is not ended to make room; 5m by default."
_WARNING = "A signal before TERM, such as USR1@60s, when it makes room or at its limit."
SECTIONS = {
    "What it needs": (
        *("gpus", "gpu_memory_mib", "gpu_model", "cpus", "memory_mib", "scratch_mib", "resources"),
        *("nodes", "require", "prefer", "avoid", "spread"),
    ),
    "When it starts": ("priority", "start_after", "only_between", "deadline", "needs"),
    "How often": ("array", "sweep", "sweep_file", "cap"),
    "How it ends": (
        *("timeout_seconds", "grace_seconds", "warning", "retries", "retry_on", "backoff_seconds", "memory_growth"),
        *("preemptible", "min_runtime_seconds", "on_lost"),
    ),
}

_OF_RETRIES = {"retry_on": "--retry-on", "backoff_seconds": "--backoff", "memory_growth": "--memory-growth"}


def as_mapping(ctx: click.Context, param: click.Parameter, pairs: Iterable[tuple[str, Any]]) -> Mapping[str, Any]:
    """Each name once: of two values nobody could tell which is meant."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice, as {found[name]} and {value}.", ctx, param)
        found[name] = value
    return found


@click.command(cls=Sectioned, sections=SECTIONS, context_settings={"allow_interspersed_args": False})
@click.option("--name", help="A name for people.")
@click.option("--team", help="The team it belongs to.")
@click.option("--project", help="The project it belongs to.")
@click.option("--priority", metavar="N", type=click.IntRange(0, 9), help="Higher starts first; 5 by default.")
@click.option("--gpus", metavar="N", type=click.IntRange(0, 64), help="GPUs it needs, of each machine.")
@click.option("--gpu-memory", "gpu_memory_mib", type=SIZE, help="Memory it needs of each GPU, which others may share.")
@click.option("--gpu-model", metavar="TEXT", help="A part of the model's name, such as H100.")
@click.option("--cpus", metavar="N", type=click.IntRange(1), help="CPUs it needs; 1 by default.")
@click.option("--memory", "memory_mib", type=SIZE, help="Memory it needs, such as 64GiB.")
@click.option("--scratch", "scratch_mib", type=SIZE, help="Disk it needs for its own files, such as 200GiB.")
@click.option("--resource", "resources", type=AMOUNT, multiple=True, callback=as_mapping, help=_RESOURCE)
@click.option("--require", type=LABEL, multiple=True, callback=as_mapping, help=_REQUIRE)
@click.option("--prefer", type=LABEL, multiple=True, callback=as_mapping, help=_PREFER)
@click.option("--avoid", type=LABEL, multiple=True, callback=as_mapping, help=_AVOID)
@click.option("--nodes", metavar="N", type=click.IntRange(1, 64), help="Machines it runs on at once; 1 by default.")
@click.option("--spread", is_flag=True, default=None, help="On the emptiest machine that serves, not the fullest.")
@click.option("--needs", metavar="JOB", multiple=True, type=NEED, help=_NEEDS)
@array_options
@click.option("--retries", metavar="N", type=click.IntRange(0, 100), help="How often to try again when it fails.")
@click.option("--retry-on", type=ENDING, multiple=True, help=_RETRY_ON)
@click.option("--backoff", "backoff_seconds", type=DURATION, help="Time to the first retry; doubled for each more.")
@click.option("--memory-growth", metavar="F", type=click.FloatRange(1, 4), help=_GROWTH)
@click.option("--no-preempt", "preemptible", flag_value=False, default=None, help="Never end it to make room.")
@click.option("--min-runtime", "min_runtime_seconds", type=DURATION, help=_MIN_RUNTIME)
@click.option("--signal-before", "warning", type=WARNING, help=_WARNING)
@click.option("--deadline", type=MOMENT, help="When it should be done; as that nears it becomes more urgent.")
@click.option("--only-between", metavar="HH:MM-HH:MM", type=HOURS, help="Start only in these hours of the day, in UTC.")
@click.option("--timeout", "timeout_seconds", type=DURATION, help="End it after this long: 90s, 15m, 2h, 1d.")
@click.option("--grace", "grace_seconds", type=DURATION, help="Time from TERM to KILL; 10s by default.")
@click.option("--data", metavar="ID", type=DATA, multiple=True, help=_DATA)
@click.option("--seed", metavar="N", type=click.IntRange(0, 2**63 - 1), help=_SEED)
@click.option("--secret", "secrets", multiple=True, type=SECRET, help=_BY_NAME)
@click.option("--env", multiple=True, type=VARIABLE, help="Set a variable, or with NAME alone pass it on; repeatable.")
@click.option("--at", "start_after", type=MOMENT, help="Start no earlier: 2030-12-24T20:00, or +30m.")
@click.option("--cwd", metavar="DIRECTORY", help="Where to run: here by default, '' for a directory of its own.")
@click.option("--on-lost", type=click.Choice(_ON_LOST), help="If its machine falls silent: wait, or start elsewhere.")
@click.option("--dry-run", is_flag=True, help="Only say if it would be accepted, why it would wait, and until when.")
@click.option("--follow", is_flag=True, help=FOLLOW)
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
    wish = wish_of(options) | _code_of(options)
    with terminal.connect() as client:
        if dry_run:
            return _tell_dry_run(client.dry_run(command, **wish), is_array="array" in wish, as_json=as_json)
        return tell_submitted(client, client.submit(command, **wish), follow=follow, as_json=as_json)


def here() -> dict[str, Any]:
    """What goes without saying: where we are, and the variables of SENT."""
    return {"cwd": str(Path.cwd()), "env": {name: os.environ[name] for name in SENT if os.environ.get(name)}}


def wish_of(options: dict[str, Any]) -> Any:
    """What the options of a submit ask for."""
    return taken_from(options) | _wish(**options)


def _code_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """What the checkout holds that it is to run in, so that a failure can be traced to what was changed."""
    code = code_of(Path.cwd() if options["cwd"] is None else Path(options["cwd"]).absolute())
    return {"code": code} if code and code["commit"] else {}


def _wish(
    *,
    env: Sequence[tuple[str, str]],
    cwd: str | None,
    warning: tuple[str, int] | None,
    start_after: datetime | None = None,
    data: Sequence[str] = (),
    seed: int | None = None,
    secrets: Sequence[tuple[str, str]] = (),
    **rest: Any,
) -> Any:
    """What was said, and what goes without saying: where we are, and the variables of SENT."""
    sent = here()["env"]
    said = {name: value for name, value in rest.items() if value not in (None, (), {})}
    _refuse_idle(said)
    place = str(Path.cwd()) if cwd is None else cwd and str(Path(cwd).absolute())
    later = {"start_after": start_after} if start_after else {}
    warned = {"warning_signal": warning[0], "warning_seconds": warning[1]} if warning else {}
    named = {"LEVARE_DATA": ",".join(data)} if data else {}
    named |= {} if seed is None else {"LEVARE_SEED": str(seed)}
    return {
        **said,
        **later,
        **warned,
        "env": {**sent, **named, **dict(env), **_by_name(secrets, dict(env))},
        "cwd": place,
    }


def _refuse_idle(said: Mapping[str, Any]) -> None:
    """Who says how it is tried again believes that it is."""
    idle = [option for name, option in _OF_RETRIES.items() if name in said and not said.get("retries")]
    if idle:
        raise click.UsageError(
            f"It is not tried again when it fails, so {idle[0]} means nothing; give --retries N too."
        )


def _by_name(secrets: Sequence[tuple[str, str]], env: Mapping[str, str]) -> dict[str, Any]:
    for variable, name in secrets:
        if variable in env:
            raise click.UsageError(f"{variable} is given twice, by --env and as the secret {name}.")
    return {variable: {"secret": name} for variable, name in secrets}


def tell_submitted(client: "Client", job: "Job", *, follow: bool, as_json: bool) -> int:
    if not follow:
        terminal.document(job) if as_json else click.echo(job["id"])
        return 0
    from levare.cli.logs import follow_to_end

    terminal.line(job) if as_json else terminal.note(f"{job['id']} submitted")
    return follow_to_end(client, job["id"], as_json=as_json)


def _tell_dry_run(answer: "DryRun", *, is_array: bool, as_json: bool) -> int:
    if as_json:
        terminal.document(answer)
        return 0
    from levare.cli.why import of_trial, tell

    tell(of_trial(answer, datetime.now(UTC), is_array=is_array))
    return 0
