"""`levare windows`: times for which nodes are kept, for maintenance or for a team."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.group import Nouns
from levare.cli.kinds import DURATION, MOMENT, NODE, TEAM, WINDOW

if TYPE_CHECKING:
    from levare.client import Window


@click.group(cls=Nouns, default="show")
def windows() -> None:
    """Keep nodes for a time, for maintenance or for a team; list the windows that are not over."""


@windows.command()
@click.argument("window", type=WINDOW, required=False)
@terminal.json_option
def show(window: str | None, *, as_json: bool) -> None:
    """List the windows that are not over, or show one."""
    with terminal.connect() as client:
        found = [client.window(window)] if window else client.windows()
    if as_json:
        terminal.document(found[0] if window else {"items": found})
    elif not found:
        terminal.note("No window is open or to come; `levare windows add` makes one.")
    else:
        heads = ("window", "nodes", "from", "until", "for", "reason")
        terminal.show(terminal.table(heads, [_row(each) for each in found], flexible=("window", "nodes", "reason")))


@windows.command()
@click.argument("window", type=WINDOW)
@click.option("--node", "nodes", type=NODE, multiple=True, required=True, help="A node to keep; repeat it for several.")
@click.option("--from", "starts", type=MOMENT, required=True, help="When it starts: 2030-12-24T20:00, or +2h from now.")
@click.option("--until", "ends", type=MOMENT, help="When it ends: a time, or +2d from now; within a year.")
@click.option("--for", "seconds", type=DURATION, help="How long it lasts, instead of --until: 4h.")
@click.option("--team", type=TEAM, help="The team that may use them meanwhile; nobody may by default.")
@click.option("--user", help="The only user of the team who may.")
@click.option("--reason", default="", help="For people.")
@click.option("--dry-run", is_flag=True, help="Say what would be, and change nothing.")
@terminal.json_option
def add(
    window: str,
    nodes: tuple[str, ...],
    *,
    starts: datetime,
    ends: datetime | None,
    seconds: int | None,
    as_json: bool,
    **extra: Any,
) -> None:
    """Keep nodes for a time, or change the window of this name. What runs there runs on."""
    end = _end(starts, ends, seconds)
    with terminal.connect() as client:
        found = client.set_window(window, nodes, starts=starts, ends=end, **extra)
    _tell(found, f"{'would keep' if extra['dry_run'] else 'keeps'} {_text(found)}", as_json=as_json)


@windows.command()
@click.argument("window", type=WINDOW)
@click.option("--dry-run", is_flag=True, help="Say what would be, and change nothing.")
@terminal.json_option
def remove(window: str, *, dry_run: bool, as_json: bool) -> None:
    """Give the nodes of a window back."""
    with terminal.connect() as client:
        found = client.remove_window(window, dry_run=dry_run)
    nodes = words.listed(found["nodes"])
    _tell(found, f"{'would give' if dry_run else 'gives'} {nodes} back", as_json=as_json)


def _end(starts: datetime, ends: datetime | None, seconds: int | None) -> datetime:
    if (ends is None) == (seconds is None):
        raise click.UsageError("Say when it ends with --until, or how long it lasts with --for.")
    try:
        return ends or starts + timedelta(seconds=seconds or 0)
    except OverflowError:
        raise click.BadParameter("A window ends within a year from now.", param_hint="--for") from None


def _tell(window: "Window", text: str, *, as_json: bool) -> None:
    if as_json:
        terminal.document(window)
    else:
        click.echo(f"{window['name']} {text}")


def _text(window: "Window") -> str:
    nodes, whom = words.listed(window["nodes"]), _whom(window)
    return f"{nodes} from {words.clock(window['starts'])} until {words.clock(window['ends'])} for {whom}"


def _row(window: "Window") -> list[Any]:
    times = (words.clock(window["starts"]), words.clock(window["ends"]))
    return [window["name"], words.listed(window["nodes"]), *times, _whom(window), window["reason"]]


def _whom(window: "Window") -> str:
    if window["team"] is None:
        return "maintenance"
    return f"{window['user']} of {window['team']}" if window["user"] else window["team"]
