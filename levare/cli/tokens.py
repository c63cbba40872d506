"""`levare tokens`: who may ask the API."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import MOMENT, TOKEN

if TYPE_CHECKING:
    from levare.client import Token


@click.group(invoke_without_command=True)
@terminal.json_option
@click.pass_context
def tokens(ctx: click.Context, *, as_json: bool) -> None:
    """List, create and revoke the tokens that open the API."""
    if ctx.invoked_subcommand is None:
        _list(as_json=as_json)


@tokens.command("list")
@terminal.json_option
def list_(*, as_json: bool) -> None:
    """List the tokens; their secrets are kept nowhere."""
    _list(as_json=as_json)


@tokens.command()
@click.argument("name")
@click.option("--role", help="What it may do: admin, the default, does all; metrics reads /metrics and nothing else.")
@click.option("--expires", "expires_at", type=MOMENT, help="Until when it is valid: 2030-12-24T20:00, or +90d.")
@terminal.json_option
def create(name: str, role: str | None, expires_at: datetime | None, *, as_json: bool) -> None:
    """Create a token and print its secret, which is shown this once."""
    with terminal.connect() as client:
        created = client.create_token(name, role=role, expires_at=expires_at)
    if as_json:
        terminal.document(created)
        return
    click.echo(created.get("token"))
    terminal.note("Set it as LEVARE_TOKEN where it is needed; it cannot be shown again.")


@tokens.command()
@click.argument("token", type=TOKEN)
@terminal.json_option
def revoke(token: str, *, as_json: bool) -> None:
    """Revoke a token by its name or id; whoever holds it is refused from now on."""
    with terminal.connect() as client:
        known = {key: each["id"] for each in client.tokens() for key in (each["name"], each["id"])}
        client.revoke_token(known.get(token, token))
    if as_json:
        terminal.document({"id": known.get(token, token), "revoked": True})
    else:
        click.echo(f"{token} is revoked")


def _list(*, as_json: bool) -> None:
    with terminal.connect() as client:
        found = client.tokens()
    if as_json:
        terminal.document({"items": found})
        return
    heads = ("id", "name", "role", "created", "expires", "state")
    terminal.show(terminal.table(heads, [_row(token) for token in found], flexible=("name",)))


def _row(token: "Token") -> list[Any]:
    return [
        token["id"],
        token["name"],
        token["role"],
        words.clock(token["created_at"])[:10],
        words.clock(token["expires_at"])[:10] if token["expires_at"] else "never",
        _standing(token),
    ]


def _standing(token: "Token") -> str:
    if token["revoked_at"]:
        return "revoked"
    expires_at = words.moment(token["expires_at"])
    return "expired" if expires_at and expires_at < datetime.now(UTC) else "valid"
