"""`levare rerun` and `diff`: a run once more, and what differs between two."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import JOB
from levare.cli.submit import FOLLOW, tell_submitted

if TYPE_CHECKING:
    from levare.client.pins import Diff, Missing, Repeated, Run

_UNPINNED = "The request alone: with the code and the environment that are there now."
_STRICT = "Refuse what is not pinned, and do not start where packages, data, driver or GPUs differ."
_DRY = "Only say what would be repeated, and what is missing."
_MOST_METRICS = 30


@click.command()
@click.argument("job", type=JOB)
@click.option("--attempt", metavar="N", type=click.IntRange(1), help="Which of its attempts; the latest by default.")
@click.option("--strict", is_flag=True, help=_STRICT)
@click.option("--unpinned", is_flag=True, help=_UNPINNED)
@click.option("--dry-run", is_flag=True, help=_DRY)
@click.option("--follow", is_flag=True, help=FOLLOW)
@terminal.json_option
def rerun(
    job: str, *, attempt: int | None, strict: bool, unpinned: bool, dry_run: bool, follow: bool, as_json: bool
) -> int:
    """
    Run a job again exactly as it ran, and print the new job's id.

    The command, the environment, the resources, the seed and the data are those of then. The code is checked out in
    a folder of its own, at the commit of then with the uncommitted changes of then. What is not pinned is taken as
    it is now, and said.
    """
    if unpinned and (strict or attempt):
        raise click.UsageError("--unpinned takes what is there now: neither --strict nor --attempt goes with it.")
    with terminal.connect() as client:
        told = client.rerun(job, attempt=attempt, pinned=not unpinned, strict=strict, dry_run=dry_run)
        for line in () if as_json else _said(told, is_pinned=not unpinned):
            terminal.note(words.plain(line))
        if dry_run:
            return _tell_dry_run(told, as_json=as_json)
        if as_json and not follow:
            terminal.document({**told["job"], "repeats": told["repeats"], "missing": told["missing"]})
            return 0
        return tell_submitted(client, told["job"], follow=follow, as_json=as_json)


def _tell_dry_run(told: "Repeated", *, as_json: bool) -> int:
    if as_json:
        terminal.document({**told, "job": None})
    return 0


def _said(told: "Repeated", *, is_pinned: bool) -> Iterator[str]:
    if told["repeats"]:
        code = "with its code" if told["code_restored"] else "with the code that is there now"
        yield f"repeats {told['repeats']} {code}"
    elif is_pinned:
        yield "with what is there now"
    yield from missing_lines(told["missing"])


def missing_lines(missing: "Sequence[Missing]") -> Iterator[str]:
    """What is not pinned, one a line."""
    for each in missing:
        yield f"  not pinned: {each['what']}. {each['why']}"


@click.command()
@click.argument("job", type=JOB)
@click.argument("other", type=JOB)
@terminal.json_option
def diff(job: str, other: str, *, as_json: bool) -> None:
    """
    Show what differs between two runs: code, dependencies, parameters, seed, data, machine and results.

    \b
    levare diff k3v9x2m1qa a1b2c3d4e5        their latest attempts
    levare diff k3v9x2m1qa-1 k3v9x2m1qa-2    two attempts of one job
    """
    name, _, number = job.partition("-")
    with terminal.connect() as client:
        found = client.diff(name, other, attempt=int(number) if number.isdigit() else None)
    if as_json:
        terminal.document(found)
        return
    for line in _lines(found):
        click.echo(words.plain(line))


def _lines(found: "Diff") -> Iterator[str]:
    before, after = found["before"], found["after"]
    yield f"from  {_run(before)}"
    yield f"to    {_run(after)}"
    yield ""
    yield from _changes(found["changes"])
    yield from _metrics(found["metrics"])
    for run in (before, after):
        if run["missing"]:
            yield ""
            yield f"Of {run['attempt']}"
            yield from missing_lines(run["missing"])


def _run(run: "Run") -> str:
    lasted = f" after {words.span(round(run['seconds']))}" if run["seconds"] is not None else ""
    name = f" ({run['name']})" if run["name"] else ""
    return f"{run['attempt']}{name} on {run['node']}, {run['state']}{lasted}"


def _changes(changes: Sequence[Any]) -> Iterator[str]:
    if not changes:
        yield "Nothing differs that levare knows of both."
    width = max((len(_what(each)) for each in changes), default=0)
    for each in changes:
        yield f"{_what(each):{width}}  {_told(each['before'])} -> {_told(each['after'])}"


def _what(change: Any) -> str:
    return f"{change['kind']}: {change['name']}"


def _told(value: str | None) -> str:
    return "(none)" if value is None else words.short(value, 60)


def _metrics(metrics: Sequence[Any]) -> Iterator[str]:
    if metrics:
        yield ""
        yield "At the end"
    width = max((len(_metric(each)) for each in metrics[:_MOST_METRICS]), default=0)
    for each in metrics[:_MOST_METRICS]:
        same = "  the same" if each["before"] == each["after"] else ""
        yield f"  {_metric(each):{width}}  {_number(each['before'])} -> {_number(each['after'])}{same}"
    if len(metrics) > _MOST_METRICS:
        yield f"  and {len(metrics) - _MOST_METRICS} more; --json has all of them"


def _metric(each: Any) -> str:
    return f"{each['stage']} {each['name']}".strip()


def _number(value: float | str | None) -> str:
    return "(none)" if value is None else value if isinstance(value, str) else words.number(value)
