"""`levare drift`: what is declared otherwise than it should be, and who made it so."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import manifests, plan_text, terminal, words
from levare.cli.plans import CHANGES, objects_of

if TYPE_CHECKING:
    from levare.client import Client, Plan, PlannedChange

_OPPOSITE = {"create": "remove", "update": "update", "remove": "create"}


@click.command()
@manifests.options
@terminal.json_option
def drift(
    paths: Sequence[Path], environment: str | None, variables: Sequence[tuple[str, str]], *, as_json: bool
) -> int:
    """
    Say what is declared otherwise than a manifest says, or else than the last plan left it, and who made it so.

    \b
    levare drift               against what was applied last
    levare drift fleet/        against the files

    It exits with 0 if nothing is, with 2 if something is, and with 1 if something is wrong.
    """
    with terminal.connect() as client:
        against, found = _found(client, paths, environment, variables)
    drifted = [_turned(change) for change in found["changes"]]
    if as_json:
        terminal.document({"against": against, "revision": found["base"], "changes": drifted})
    else:
        for line in _lines(drifted):
            click.echo(line)
        click.echo(_summary(drifted, against, found))
    return CHANGES if drifted else 0


def _found(
    client: "Client", paths: Sequence[Path], environment: str | None, variables: Sequence[tuple[str, str]]
) -> tuple[str, "Plan"]:
    if paths or environment or variables:
        return "the manifest", client.plan(objects_of(paths, environment, variables), effect=False)
    last = client.last_applied()
    if last is None:
        raise click.UsageError("No plan was ever applied; name the manifest that is meant: `levare drift PATH`.")
    return f"revision {last['number']}", client.plan_rollback(last["number"], effect=False)


def _turned(change: "PlannedChange") -> dict[str, Any]:
    """From what would have to be done to what was done."""
    fields = [{**each, "before": each["after"], "after": each["before"]} for each in change["fields"]]
    turned = {"action": _OPPOSITE[change["action"]], "before": change["after"], "after": change["before"]}
    return {**change, **turned, "fields": fields}


def _lines(drifted: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for change in drifted:
        last = change["last"]
        by = f"  (revision {last['revision']} by {last['by']}, {words.clock(last['at'])})" if last else ""
        yield plan_text.head(change["action"], change["kind"], change["name"]) + words.plain(by)
        yield from plan_text.inner(change)


def _summary(drifted: Sequence[object], against: str, found: "Plan") -> str:
    if not drifted:
        return f"No drift: revision {found['base']} is as {against} says."
    what = "1 object is" if len(drifted) == 1 else f"{len(drifted)} objects are"
    return f"{what} declared otherwise than {against} says. `levare plan` shows what it takes to go back."
