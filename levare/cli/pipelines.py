"""`levare pipeline` and `pipelines`: several jobs as steps of one thing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.files import loaded
from levare.cli.kinds import DURATION
from levare.cli.submit import here
from levare.cli.wait import TIMED_OUT
from levare.model import FAILED, FINAL, SUCCEEDED

if TYPE_CHECKING:
    from levare.client import Pipeline


@click.group()
def pipeline() -> None:
    """Submit, wait for, show and cancel pipelines: jobs that need each other."""


@pipeline.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say whether it would be accepted, and show its steps.")
@terminal.json_option
def submit(file: Path, *, dry_run: bool, as_json: bool) -> None:
    """
    Submit the pipeline in a YAML or JSON file, all of it or nothing, and print its id.

    The file has a `name` and a list `jobs`; each has a `step`, a `command`, what else the API takes, and `needs`,
    which may name other steps.
    """
    wish = read(file)
    with terminal.connect() as client:
        send = client.dry_run_pipeline if dry_run else client.submit_pipeline
        made = send(wish["jobs"], name=wish["name"])
    if as_json:
        terminal.document(made)
    elif dry_run:
        click.echo("It would be accepted:")
        terminal.show(_step_table(made))
    else:
        click.echo(made["id"])


@pipeline.command()
@click.argument("pipeline")
@terminal.json_option
def show(pipeline: str, *, as_json: bool) -> None:
    """Show a pipeline with its steps."""
    with terminal.connect() as client:
        found = client.pipeline(pipeline)
    if as_json:
        terminal.document(found)
        return
    facts = [
        ("pipeline", f"{found['id']}  {found['name']}".strip()),
        ("state", terminal.state(found["state"])),
        ("of", found["user"]),
        ("submitted", f"{words.clock(found['created_at'])}, {words.since(found['created_at'])} ago"),
    ]
    terminal.show(terminal.facts(facts), terminal.title("steps"), _step_table(found))


@pipeline.command()
@click.argument("pipeline")
@click.option("--timeout", type=DURATION, help="Give up after so long, with exit code 124; the jobs run on.")
@terminal.json_option
def wait(pipeline: str, timeout: int | None, *, as_json: bool) -> int:
    """Wait until all its steps have ended; exit with 1 if one has failed, or if it was cancelled."""
    with terminal.connect() as client:
        try:
            found = client.wait_pipeline(pipeline, timeout=timeout)
        except TimeoutError as error:
            terminal.note(str(error))
            return TIMED_OUT
    if as_json:
        terminal.document(found)
    else:
        failed = [step["step"] for step in found["steps"] if step["state"] == FAILED]
        click.echo(f"{found['id']} {found['state']}" + (f": {words.listed(failed)}" if failed else ""))
    return int(found["state"] != SUCCEEDED)


@pipeline.command()
@click.argument("pipeline")
@terminal.json_option
def cancel(pipeline: str, *, as_json: bool) -> None:
    """Cancel all jobs of a pipeline that are not over."""
    with terminal.connect() as client:
        found = client.cancel_pipeline(pipeline)
    if as_json:
        terminal.document(found)
    else:
        said = f"had {found['state']} already" if found["state"] in FINAL else "is being cancelled"
        click.echo(f"{found['id']} {said}")


@click.command()
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=50, help="At most so many; 50 by default.")
@terminal.json_option
def pipelines(limit: int, *, as_json: bool) -> None:
    """List pipelines, newest first."""
    with terminal.connect() as client:
        found = list(client.pipelines(limit=limit))
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note("No pipelines yet; `levare pipeline submit FILE` makes one.")
    else:
        terminal.show(terminal.table(("id", "name", "state", "steps>", "age>"), [_row(each) for each in found]))


def read(file: Path) -> dict[str, Any]:
    """The pipeline that a file declares. Each job runs here with this shell's PATH, where it says nothing else."""
    found = loaded(file)
    jobs = found.get("jobs") if isinstance(found, dict) else None
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise click.ClickException(f"{file} has no list of `jobs`; docs/pipelines.md shows one.")
    unknown = sorted(str(name) for name in found if name not in ("name", "jobs"))
    if unknown:
        raise click.ClickException(f"{file} has {', '.join(unknown)}; a pipeline has a name and jobs.")
    return {"name": str(found.get("name") or file.stem), "jobs": [completed(job) for job in jobs]}


def completed(job: dict[str, Any]) -> dict[str, Any]:
    """A job of a file: it runs here with this shell's PATH, where it says nothing else."""
    place = here()
    env = job.get("env")
    return {"cwd": place["cwd"], **job, "env": {**place["env"], **(env if isinstance(env, dict) else {})}}


def _row(found: "Pipeline") -> Sequence[Any]:
    over = sum(step["state"] in FINAL for step in found["steps"])
    steps = f"{over}/{len(found['steps'])}"
    return (found["id"], found["name"], terminal.state(found["state"]), steps, words.since(found["created_at"]))


def _step_table(found: "Pipeline") -> Any:
    rows = [
        (
            step["step"],
            step["job"],
            terminal.state(step["state"]),
            words.listed(words.needs_of(step["needs"])),
            words.between(step["started_at"], step["finished_at"]),
            step["reason"] or "",
        )
        for step in found["steps"]
    ]
    return terminal.table(("step", "job", "state", "needs", "took>", "reason"), rows, flexible=("needs", "reason"))
