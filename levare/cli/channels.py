"""`levare channels`: how people are told of alerts."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.group import Nouns
from levare.cli.kinds import CHANNEL
from levare.cli.pipelines import loaded

if TYPE_CHECKING:
    from levare.client import Channel, Client, Delivery

_KNOWN = ("webhook", "email", "apprise", "routes", "description")
_PATIENCE_SECONDS, _LOOK_SECONDS = 30.0, 0.5


@click.group(cls=Nouns, default="show")
def channels() -> None:
    """Tell people of alerts by webhooks, mail and other services; see what became of each message."""


@channels.command()
@click.argument("channel", type=CHANNEL, required=False)
@terminal.json_option
def show(channel: str | None, *, as_json: bool) -> None:
    """List the channels, or show one with its last messages."""
    with terminal.connect() as client:
        found = [client.channel(channel)] if channel else client.channels()
        last = list(client.deliveries(channel, limit=10)) if channel and not as_json else []
    if as_json:
        terminal.document(found[0] if channel else {"items": found})
    elif channel:
        _show(found[0], last)
    elif not found:
        terminal.note("There is no channel, so alerts are only listed; `levare channels set NAME FILE` makes one.")
    else:
        rows = [[each["name"], each["kind"], _to(each), _takes(each)] for each in found]
        terminal.show(terminal.table(("channel", "kind", "to", "takes"), rows, flexible=("to", "takes")))


@channels.command("set")
@click.argument("channel", type=CHANNEL)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Only say whether it would be taken.")
@terminal.json_option
def set_(channel: str, file: Path, *, dry_run: bool, as_json: bool) -> None:
    """
    Declare a channel by a YAML or JSON file: `webhook`, `email` or `apprise`, and `routes`.

    Secrets are named in it, never written: beat reads LEVARE_SECRET_<NAME>, or a file in LEVARE_HOME/secrets.
    """
    with terminal.connect() as client:
        found = client.set_channel(channel, _read(file), dry_run=dry_run)
    _tell(found, "would be taken" if dry_run else f"is set: {found['kind']} to {_to(found)}", as_json=as_json)


@channels.command()
@click.argument("channel", type=CHANNEL)
@click.option("--dry-run", is_flag=True, help="Change nothing.")
@terminal.json_option
def remove(channel: str, *, dry_run: bool, as_json: bool) -> None:
    """Remove a channel; what it was still to say is never said."""
    with terminal.connect() as client:
        found = client.remove_channel(channel, dry_run=dry_run)
    _tell(found, "would be removed" if dry_run else "is removed", as_json=as_json)


@channels.command()
@click.argument("channel", type=CHANNEL)
@terminal.json_option
def test(channel: str, *, as_json: bool) -> int:
    """Have a channel say that it works, and wait until it has, or has failed."""
    with terminal.connect() as client:
        found = _await(client, client.try_channel(channel))
    if as_json:
        terminal.document(found)
    elif found["state"] == "sent":
        click.echo(f"{channel} has said it")
    else:
        error = found["last_error"] or f"beat has not tried it within {_PATIENCE_SECONDS:g} s; `levare doctor` looks"
        terminal.note(f"{channel} could not say it: {error}")
    return 0 if found["state"] == "sent" else 1


@channels.command()
@click.argument("channel", type=CHANNEL)
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=50, help="At most so many; 50 by default.")
@terminal.json_option
def deliveries(channel: str, *, limit: int, as_json: bool) -> None:
    """List the messages of a channel, newest first, and what became of them."""
    with terminal.connect() as client:
        found = list(client.deliveries(channel, limit=limit))
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note(f"{channel} had nothing to say yet; `levare channels test {channel}` tries it.")
    else:
        terminal.show(_table(found))


def _await(client: "Client", delivery: "Delivery") -> "Delivery":
    """What became of the first try."""
    until, found = time.monotonic() + _PATIENCE_SECONDS, delivery
    while found["state"] == "pending" and found["last_error"] is None and time.monotonic() < until:
        time.sleep(_LOOK_SECONDS)
        known = client.deliveries(delivery["channel"], limit=50)
        found = next((each for each in known if each["id"] == delivery["id"]), found)
    return found


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise click.UsageError(f"There is no file {str(file)!r}.")
    found = loaded(file)
    if not isinstance(found, dict):
        raise click.ClickException(f"{file} is no channel; docs/monitoring.md shows how.")
    unknown = sorted(str(name) for name in found if name not in _KNOWN)
    if unknown:
        raise click.ClickException(f"{file} has {', '.join(unknown)}; a channel has {', '.join(_KNOWN)}.")
    return found


def _tell(channel: "Channel", text: str, *, as_json: bool) -> None:
    if as_json:
        terminal.document(channel)
    else:
        click.echo(f"{channel['name']} {text}")


def _to(channel: "Channel") -> str:
    said = channel["definition"][channel["kind"]]
    if channel["kind"] == "email":
        return ", ".join(said["to"])
    return said["url"] if isinstance(said["url"], str) else f"secret {said['url']['secret']}"


def _takes(channel: "Channel") -> str:
    routes = channel["definition"].get("routes", {})
    teams = f" about {', '.join(routes['teams'])}" if routes.get("teams") else ""
    return f"{routes.get('at_least', 'info')} and worse{teams}" if routes else "everything"


def _show(channel: "Channel", last: "list[Delivery]") -> None:
    declared = f"by {channel['owner']}, {words.clock(channel['changed_at'])}, revision {channel['revision']}"
    pairs = [
        ("channel", channel["name"]),
        ("kind", channel["kind"]),
        ("to", _to(channel)),
        ("takes", _takes(channel)),
        ("declared", declared),
    ]
    terminal.show(terminal.facts(pairs))
    if last:
        terminal.show(_table(last))


def _table(found: "list[Delivery]") -> Any:
    rows = [
        [
            words.clock(each["created_at"]),
            each["news"],
            each["rule"],
            ", ".join(map(str, each["alerts"])),
            terminal.state(each["state"]),
            str(each["attempts"]),
            words.plain(each["last_error"] or ""),
        ]
        for each in found
    ]
    heads = ("at", "news", "rule", "alerts", "state", "tries>", "error")
    return terminal.table(heads, rows, flexible=("alerts", "error"))
