"""`levare events`: send what has happened to the triggers, and list what was sent."""

import json
from pathlib import Path
from typing import Any

import click

from levare.cli import terminal, words
from levare.cli.files import text_of
from levare.cli.group import Nouns


@click.group(cls=Nouns, default="list")
def events() -> None:
    """Send events to the triggers; list those that were received, newest first."""


@events.command("list")
@click.option("--type", "kind", help="Only of this type.")
@click.option("--source", help="Only of this source.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), default=50, help="At most so many; 50 by default.")
@terminal.json_option
def list_(kind: str | None, source: str | None, *, limit: int, as_json: bool) -> None:
    """List the events that were received, newest first."""
    with terminal.connect() as client:
        found = list(client.events(type=kind, source=source, limit=limit))
    if as_json:
        terminal.document({"items": found})
    elif not found:
        terminal.note("No such event was received; `levare events send TYPE` sends one.")
    else:
        heads = ("id", "received", "type", "source", "subject", "data")
        rows = [_row(each) for each in found]
        terminal.show(terminal.table(heads, rows, flexible=("source", "id", "subject", "data")))


@events.command()
@click.argument("kind", metavar="TYPE")
@click.option("--source", default="levare-cli", help="Where it comes from; levare-cli by default.")
@click.option("--id", "name", help="With the source it names the event: the same again happens once.")
@click.option("--subject", help="What it is about.")
@click.option("--data", metavar="JSON|@FILE", help="Its data, or a file with them.")
@click.option("--set", "extensions", multiple=True, metavar="NAME=VALUE", help="An attribute of its own; repeatable.")
@terminal.json_option
def send(
    kind: str, *, source: str, name: str | None, subject: str | None, data: str | None, extensions: Any, as_json: bool
) -> None:
    """Send an event, and print its id."""
    given = {"id": name, "subject": subject, **dict(map(_extension, extensions))}
    attributes = {key: value for key, value in given.items() if value is not None}
    content = _read(data)
    with terminal.connect() as client:
        found = client.send_event(kind, source, data=content, **attributes)
    _tell_another(found, {"type": kind, "data": content, **attributes})
    if as_json:
        terminal.document(found)
    else:
        click.echo(found["id"])


def _extension(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.isalnum():
        raise click.UsageError(f"{text!r} is not an attribute such as region=eu.")
    return name, value


def _read(data: str | None) -> Any:
    """What is no JSON is text."""
    if data is None:
        return None
    text = text_of(Path(data[1:])) if data.startswith("@") else data
    try:
        return json.loads(text)
    except ValueError:
        return text


def _row(event: Any) -> list[str]:
    kind, source, subject = (event[name] or "" for name in ("type", "source", "subject"))
    return [event["id"], words.clock(event["received_at"]), kind, source, subject, _data(event["event"])]


def _tell_another(event: Any, sent: dict[str, Any]) -> None:
    """Whoever sends something else under a name that is taken would wait for what never happens."""
    if any(event["event"].get(name) != value for name, value in sent.items()):
        name, at = f"{event['id']} of {event['source']}", words.clock(event["received_at"])
        terminal.note(
            f"Event {name} was received before, at {at}, with other content: that one counts, and this one does not. "
            "Without --id each has an id of its own."
        )


def _data(event: dict[str, Any]) -> str:
    data = event.get("data", event.get("data_base64"))
    return "" if data is None else words.plain(words.short(json.dumps(data, ensure_ascii=False), 200))
