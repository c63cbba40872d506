"""`levare audit`: who changed what, when, from where, and whether that record is whole."""

import json
from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.group import FAILED
from levare.cli.kinds import AGO

if TYPE_CHECKING:
    from levare.client.monitoring import AuditRow

_ANCHOR = "PLACE:HASH of an earlier look, noted elsewhere: the chain must still have it."


@click.group(invoke_without_command=True)
@click.option("--object", "about", metavar="NAME", help="Only what was done to this job, node, team, schedule ...")
@click.option("--actor", metavar="NAME", help="Only what this token did; `beat` for what nobody asked for.")
@click.option("--action", metavar="NOUN[.PAST]", help="Only this, or all of a noun, such as team.")
@click.option("--since", type=AGO, help="Only from then on: 2030-12-24T20:00, or 30d for the last 30 days.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=50, help="At most so many; 50 by default.")
@terminal.json_option
@click.pass_context
def audit(ctx: click.Context, *, limit: int, as_json: bool, **wanted: Any) -> None:
    """List who changed what, newest first."""
    if ctx.invoked_subcommand is None:
        _list(wanted, limit=limit, as_json=as_json)


@audit.command()
@click.option("--anchor", metavar="PLACE:HASH", help=_ANCHOR)
@terminal.json_option
def verify(*, anchor: str | None, as_json: bool) -> int:
    """Look whether any row was changed, removed, slipped in or moved since it was sealed."""
    with terminal.connect() as client:
        found = client.verify_audit(anchor=anchor)
    if as_json:
        terminal.document(found)
    else:
        click.echo(words.plain(found["message"]))
        click.echo(f"Its end is {found['head']}: noted elsewhere, it proves later that nothing before it was changed.")
    return 0 if found["ok"] else FAILED


def _list(options: Mapping[str, Any], *, limit: int, as_json: bool) -> None:
    since: datetime | None = options["since"]
    wanted = {"object": options["about"], "actor": options["actor"], "action": options["action"]}
    wanted["since"] = since and since.isoformat()
    with terminal.connect() as client:
        found = list(islice(client.audit(**wanted, limit=limit + 1), limit + 1))
    if as_json:
        terminal.document({"items": found[:limit]})
        return
    if not found:
        terminal.note("Nothing of that is in the audit.")
        return
    heads = ("at", "actor", "from", "action", "object", "detail")
    terminal.show(terminal.table(heads, [_row(row) for row in found[:limit]], flexible=("detail", "object")))
    if len(found) > limit:
        terminal.note(f"There are more than these {limit}; --limit shows more.")


def _row(row: "AuditRow") -> list[str]:
    detail = " ".join(f"{name}={_told(value)}" for name, value in row["detail"].items() if value not in (None, ""))
    return [words.clock(row["at"]), row["actor"], row["source"] or words.NOTHING, row["action"], row["object"], detail]


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
