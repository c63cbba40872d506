"""`levare receipt`: why a job started when it did, and not another one."""

from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import JOB

if TYPE_CHECKING:
    from levare.client import Receipt, Turn


@click.command()
@click.argument("job", type=JOB)
@click.option("--before", type=JOB, help="Say why this other job did not start before it.")
@terminal.json_option
def receipt(job: str, before: str | None, *, as_json: bool) -> None:
    """Tell why a job started when it did: whose turn it was, with which claims, and who was passed over."""
    with terminal.connect() as client:
        found = client.receipt(job, before=before)
    if as_json:
        terminal.document(found)
    elif not found["starts"]:
        terminal.note(f"No start of {job} is kept. If it waits, `levare why {job}` says why.")
    else:
        _show(found)


def _show(found: "Receipt") -> None:
    start = found["starts"][-1]
    turns = [*start["before"], start["own"]]
    click.echo(
        f"{found['job']} started on {words.plain(start['node'])} at {words.clock(start['at'])},"
        f" with turn {start['turn']} of {start['turns']} of decision {start['digest']}."
    )
    heads = ("turn>", "job", "outcome", "priority>", "team", "had>", "of share>", "user", "had>", "of share>")
    first = start["turn"] - len(start["before"])
    rows = [_row(number, turn) for number, turn in enumerate(turns, first)]
    terminal.show(terminal.table(heads, rows, flexible=("team", "user")))
    if found["compared"]:
        click.echo(words.plain(found["compared"]))


def _row(number: int, turn: "Turn") -> list[Any]:
    return [
        str(number),
        turn["job"],
        turn["outcome"],
        str(turn["level"]),
        turn["team"],
        f"{turn['team_gpu_hours']:.1f} GPU-h",
        words.of_100(turn["team_part_percent"]),
        turn["user"],
        f"{turn['user_gpu_hours']:.1f} GPU-h",
        words.of_100(turn["user_part_percent"]),
    ]
