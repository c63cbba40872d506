"""`levare pipeline` and `pipelines`: several jobs as steps of one thing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.submit import here
from levare.model import FINAL

if TYPE_CHECKING:
    from levare.client import Pipeline


@click.group()
def pipeline() -> None:
    """Submit, show and cancel pipelines: jobs that need each other."""


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


def loaded(file: Path) -> Any:
    """What a YAML or JSON file says."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="safe", pure=True).load(file.read_text())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = ": ".join(filter(None, (error.context, error.problem)))
        raise click.ClickException(f"{file}{place}: {words.plain(what)}.") from None
    except (YAMLError, ValueError) as error:
        raise click.ClickException(f"{file} cannot be read: {words.plain(str(error))}") from None


def completed(job: dict[str, Any]) -> dict[str, Any]:
    """The job, which runs here with this shell's PATH where it says nothing else."""
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
