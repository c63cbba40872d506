"""`levare families`: how long the runs of a work take, and whether it is held after failing at once."""

from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import FAMILY

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
