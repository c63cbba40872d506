"""`levare families`: how long the runs of a work take, and whether it is held after failing at once."""

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import AGO, FAMILY, SCHEDULE

if TYPE_CHECKING:
    from levare.client import Family

_MOST = 200


@click.group(invoke_without_command=True)
@click.option("--held", is_flag=True, help="Only those that are held now.")
@terminal.json_option
@click.pass_context
def families(ctx: click.Context, *, held: bool, as_json: bool) -> None:
    """List families of jobs (team/project/name): how long their runs take, and which are held."""
    if ctx.invoked_subcommand is None:
        _list(held=held, as_json=as_json)


@families.command()
@click.argument("family", type=FAMILY)
@terminal.json_option
def release(family: str, *, as_json: bool) -> None:
    """Let the jobs of a family start again that is held after a burst of fast failures."""
    with terminal.connect() as client:
        found = client.release_family(family)
    if as_json:
        terminal.document(found)
    else:
        click.echo(f"{words.plain(found['name'])} is not held: its jobs start as others do")


@families.command()
@click.argument("family", type=FAMILY)
@click.option("--since", type=AGO, help="Only runs that ended from then on, such as 30d.")
@click.option("--schedule", type=SCHEDULE, help="Only runs of this schedule.")
@click.option("--limit", metavar="N", type=click.IntRange(1, 200), default=30, help="At most so many; 30 by default.")
@terminal.json_option
def show(family: str, *, since: datetime | None, schedule: str | None, limit: int, as_json: bool) -> None:
    """Show how the runs of a family went: waits, durations, best metrics, cost, energy, failures."""
    with terminal.connect() as client:
        found = client.family_runs(family, since=since and since.isoformat(), schedule=schedule, limit=limit)
    if as_json:
        terminal.document({"items": found})
        return
    if not found:
        terminal.note("No such run has ended.")
        return
    heads = ("ended", "job", "state", "failure", "waited>", "took>", "memory>", "cost>", "energy>", "best")
    terminal.show(terminal.table(heads, [_run(run) for run in found], flexible=("best",)))


def _run(run: dict[str, Any]) -> list[Any]:
    return [
        words.clock(run["ended_at"]),
        run["job"] if run["number"] == 1 else f"{run['job']} ({run['number']})",
        terminal.state(run["state"]),
        run["failure"] or words.NOTHING,
        _span(run["wait_seconds"]),
        _span(run["seconds"]),
        words.size(run["peak_memory_mib"]),
        words.NOTHING if run["cost"] is None else words.money(run["cost"]),
        words.NOTHING if run["energy_joules"] is None else words.energy(run["energy_joules"]),
        _best(run["metrics"]),
    ]


def _best(stages: dict[str, dict[str, dict[str, float | None]]]) -> str:
    """Of what should be small the least value, of all else the greatest."""
    told = [
        f"{stage} {name} {words.number(value['best_min' if _is_cost(name) else 'best_max'])}".strip()
        for stage, metrics in stages.items()
        for name, value in metrics.items()
    ]
    return "  ".join(told)


def _is_cost(name: str) -> bool:
    return any(word in name.lower() for word in ("loss", "error", "perplexity", "ppl", "wer", "mse", "mae"))


def _list(*, held: bool, as_json: bool) -> None:
    with terminal.connect() as client:
        found = list(islice(client.families(held=held), _MOST + 1))
    if as_json:
        terminal.document({"items": found[:_MOST]})
        return
    if not found:
        terminal.note("No family is held." if held else "No job has ended yet.")
        return
    heads = ("family", "runs>", "typical>", "promised>", "failed at once>", "held until")
    terminal.show(terminal.table(heads, [_row(family) for family in found[:_MOST]], flexible=("family",)))
    for family in found[:_MOST]:
        if family["held_reason"]:
            terminal.note(family["held_reason"])
    if len(found) > _MOST:
        terminal.note(f"There are more than these {_MOST}; GET /v1/families has all of them.")


def _row(family: "Family") -> list[Any]:
    return [
        family["name"],
        str(family["runs"]),
        _span(family["typical_seconds"]),
        _span(family["promised_seconds"]),
        str(family["fast_failures"]),
        words.clock(family["held_until"]),
    ]


def _span(seconds: float | None) -> str:
    return words.NOTHING if seconds is None else words.span(seconds)
