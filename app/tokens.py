"""Tokens: who may ask."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import Field
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import NewToken, Token, Tokens, answer, listed
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.once import Hidden, OnceOnly
from app.pages import fields_of, picked, selected
from levare.errors import Conflict, Contradiction, Fault
from levare.manifest.teams import TeamRole
from levare.manifest.values import Body, Label, Time
from levare.model.access import ADMIN, FLEET, TEAM
from levare.store import tokens, versions
from levare.store.ids import new_id
from levare.store.ownership import teams_of_token

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])

_MOST_TEAMS = 100

Role = Literal["admin", "metrics", "node", "team"]


class TokenRequest(Body):
    """A new token."""

    name: Label = Field(description="Whose it is; never used before.", examples=["laptop"])
    role: Role | None = Field(
        None,
        description="What it may beyond its teams: `admin` everything, `metrics` read /metrics, `node` look after "
        "nodes, `team` nothing. By default `team` for a token with teams, and `admin` for one without. One of the "
        "role `team` without teams may in each team what that says of its `members`.",
        examples=["team"],
    )
    teams: dict[Label, TeamRole] = Field(
        default_factory=dict,
        max_length=_MOST_TEAMS,
        description="What it may in which team: `viewer` reads, `member` submits and cancels too, `admin` declares.",
        examples=[{"vision": "member"}],
        json_schema_extra={"additionalProperties": False},
    )
    expires_at: Time | None = Field(None, description="Until when it is valid; null for ever.")

    @property
    def said_role(self) -> str:
        return self.role or (TEAM if self.teams else FLEET)


TokenId = Annotated[str, Path(max_length=64, description="The id of a token.", examples=["k3v9x2m1qa"])]
TokenFields = Annotated[str | None, fields_of(Token)]
_SECRET = Hidden("token", tokens.PREFIX)
_FIELDS = tuple(Token.model_fields)
_CREATION = {200: {"model": NewToken, "description": "A dry run: nothing was made."}} | refusals(
    Conflict, Contradiction
)


@router.get("", response_model=Tokens)
def list_tokens(call: Asked, fields: TokenFields = None) -> Response:
    """
    List all tokens, revoked ones too, oldest first. Their secrets are not kept.

    An admin of teams sees those that are of these teams alone.
    """
    names = selected(Token, fields)
    with call.database.reading() as connection:
        rows = [row for row in tokens.tokens(connection) if _manages(call, row)]
    return listed([picked(row, names) for row in rows])


@router.get("/{token_id}", response_model=Token)
def read_token(token_id: TokenId, call: Asked) -> Response:
    """Look at a token."""
    with call.database.reading() as connection:
        row, version = tokens.token(connection, token_id), versions.of(connection, versions.TOKEN, token_id)
    return call.conditions.told(picked(row, _FIELDS), version)


@router.post("", status_code=HTTPStatus.CREATED, response_model=NewToken, responses=_CREATION)
def create_token(body: TokenRequest, call: Asked, once: OnceOnly, dry_run: DryRun = False) -> Response:
    """
    Make a token. Its secret is in this answer and nowhere else.

    An admin of teams makes tokens of these teams, and no others.
    """
    _refuse(body, call)
    secret = once.secret(tokens.PREFIX)
    return once.answer(
        lambda connection: _created(connection, body, call, secret, dry_run), dry_run=dry_run, hides=_SECRET
    )


def _created(connection: Connection, body: TokenRequest, call: Call, secret: str, dry_run: bool) -> Response:
    row = tokens.create(
        connection,
        token_id=new_id(),
        secret=secret,
        name=body.name,
        role=body.said_role,
        teams=dict(body.teams),
        expires_at=body.expires_at,
        actor=call.actor,
        now=call.now,
    )
    shown = picked(row, _FIELDS)
    if dry_run:
        return answer(shown | {"token": None})
    return answer(shown | {"token": secret}, HTTPStatus.CREATED, {"Location": f"/v1/tokens/{row['id']}"})


@router.delete("/{token_id}", response_model=Token, responses=refusals(Conflict))
def revoke_token(token_id: TokenId, call: Asked, dry_run: DryRun = False) -> Response:
    """End a token's life at once. The last valid admin token cannot be revoked."""
    with call.writing(dry_run=dry_run) as connection:
        row = tokens.revoke(connection, token_id, actor=call.actor, now=call.now)
    call.keys.forget()
    return answer(picked(row, _FIELDS))


def _manages(call: Call, row: Mapping[str, Any]) -> bool:
    """Whether a token is of teams whose admin asks."""
    teams = teams_of_token(row)
    return call.actor.access.is_fleet or (bool(teams) and call.actor.access.has_in_all(ADMIN, teams))


def _refuse(body: TokenRequest, call: Call) -> None:
    role = body.said_role
    if role == FLEET and body.teams:
        fault = Fault("teams", "mean nothing to a token that may everything", sorted(body.teams), "none")
        raise Contradiction("A token of the role admin has no teams.", "Leave the teams out, or the role.", [fault])
    call.refuse_unless(ADMIN, body.teams if role == TEAM else (), what="Such a token")
