"""`levare api`: any request, for what has no command of its own."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from levare.cli import terminal
from levare.cli.files import text_of
from levare.cli.kinds import PAIR

_METHODS = ("GET", "POST", "PUT", "DELETE")


@click.command()
@click.argument("request", nargs=-1, required=True, metavar="[METHOD] PATH")
@click.option(
    "-p", "--param", "params", type=PAIR, multiple=True, metavar="NAME=VALUE", help="Of the query; repeatable."
)
@click.option("-H", "--header", "headers", type=PAIR, multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("-d", "--data", metavar="JSON | @FILE", help="The body; @- reads it from stdin.")
@terminal.json_option
def api(
    request: Sequence[str],
    params: Sequence[tuple[str, str]],
    headers: Sequence[tuple[str, str]],
    data: str | None,
    *,
    as_json: bool,  # noqa: ARG001  # it prints nothing else
) -> None:
    """
    Ask the API anything: what /docs lists, and this command line has no word for.

    GET without a body, else POST, unless METHOD says otherwise. A problem is told as any error is.
    """
    method, path = _request(request, has_body=data is not None)
    with terminal.connect() as client:
        found = client.request(method, path, params=params, headers=dict(headers), body=_body(data))
    if isinstance(found, str):
        click.echo(found, nl=not found.endswith("\n"))
    else:
        terminal.document(found)


def _request(words: Sequence[str], *, has_body: bool) -> tuple[str, str]:
    *said, path = words
    method = said[0].upper() if said else "POST" if has_body else "GET"
    if len(said) > 1 or method not in _METHODS or not path.startswith("/"):
        raise click.UsageError(f"Say [METHOD] PATH: one of {', '.join(_METHODS)}, and a path such as /v1/jobs.")
    return method, path


def _body(data: str | None) -> Any:
    if data is None:
        return None
    text = data
    if data.startswith("@"):
        text = sys.stdin.read() if data == "@-" else text_of(Path(data[1:]))
    try:
        return json.loads(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--data") from None
