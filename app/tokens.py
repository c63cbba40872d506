"""Tokens: who may ask."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import Response

from app.answers import NewToken, Token, Tokens, answer
from app.bodies import TokenRequest
from app.call import Asked, DryRun
from app.document import refusals
from app.pages import fields_of, picked, selected
from levare.errors import Conflict
from levare.store import tokens
from levare.store.ids import new_id

router = APIRouter(prefix="/v1/tokens", tags=["tokens"])

TokenId = Annotated[str, Path(max_length=64, description="The id of a token.", examples=["k3v9x2m1qa"])]
TokenFields = Annotated[str | None, fields_of(Token)]
_FIELDS = tuple(Token.model_fields)
_CREATION = {200: {"model": NewToken, "description": "A dry run: nothing was made."}} | refusals(Conflict)


@router.get("", response_model=Tokens)
def list_tokens(call: Asked, fields: TokenFields = None) -> Response:
    """List all tokens, revoked ones too, oldest first. Their secrets are not kept."""
    names = selected(Token, fields)
    with call.database.reading() as connection:
        rows = tokens.tokens(connection)
    return answer({"items": [picked(row, names) for row in rows]})


@router.get("/{token_id}", response_model=Token)
def read_token(token_id: TokenId, call: Asked) -> Response:
    """Look at a token."""
    with call.database.reading() as connection:
        row = tokens.token(connection, token_id)
    return answer(picked(row, _FIELDS))


@router.post("", status_code=HTTPStatus.CREATED, response_model=NewToken, responses=_CREATION)
def create_token(body: TokenRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """Make a token. Its secret is in this answer and nowhere else."""
    secret = tokens.new_secret()
    with call.writing(dry_run=dry_run) as connection:
        row = tokens.create(
            connection,
            token_id=new_id(),
            secret=secret,
            name=body.name,
            role=body.role,
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
    return answer(picked(row, _FIELDS))
