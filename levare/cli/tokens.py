"""`levare tokens`: who may ask the API."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.cli.kinds import AHEAD, TEAM_ROLE, TOKEN
from levare.model.access import TEAM, TOKEN_ROLES

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
@click.option(
    "--team",
    "teams",
    type=TEAM_ROLE,
    multiple=True,
    help="What it may in a team, such as vision=member: viewer, member or admin; may be repeated.",
)
@click.option(
    "--role",
    type=click.Choice(TOKEN_ROLES),
    help="What it may beyond its teams: metrics reads /metrics, node looks after nodes, admin does all; team without "
    "--team is what the teams say of their member of this name.",
)
@click.option("--expires", "expires_at", type=AHEAD, help="Until when it is valid: 90d, or 2030-12-24T20:00.")
@terminal.json_option
def create(
    name: str, teams: tuple[tuple[str, str], ...], role: str | None, expires_at: datetime | None, *, as_json: bool
) -> None:
    """Create a token and print its secret, which is shown this once.

    Without --team and --role it may everything: give people and programs tokens of their teams.
    """
    with terminal.connect() as client:
        created = client.create_token(name, role=role, teams=dict(teams), expires_at=expires_at)
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
    heads = ("id", "name", "may", "created", "expires", "last used", "state")
    terminal.show(terminal.table(heads, [_row(token) for token in found], flexible=("name", "may")))


def _row(token: "Token") -> list[Any]:
    return [
        token["id"],
        token["name"],
        _rights(token),
        words.clock(token["created_at"])[:10],
        words.clock(token["expires_at"])[:10] if token["expires_at"] else "never",
        words.clock(token["used_at"]),
        _standing(token),
    ]


def _rights(token: "Token") -> str:
    """`vision=member nlp=viewer metrics`, or that the teams say what it may."""
    if token["role"] == TEAM and not token["teams"]:
        return "as member"
    beyond = [] if token["role"] == TEAM else [token["role"]]
    return " ".join([*(f"{team}={role}" for team, role in sorted(token["teams"].items())), *beyond])


def _standing(token: "Token") -> str:
    if token["revoked_at"]:
        return "revoked"
    expires_at = words.moment(token["expires_at"])
    return "expired" if expires_at and expires_at < datetime.now(UTC) else "valid"
