"""Who asks: a bearer token on everything but the few paths that tell nothing."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.limits import SAFE_METHODS
from levare.errors import Forbidden, Unauthorized
from levare.settings import Settings, kept_secret
from levare.store import tokens
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.ids import new_id
from levare.store.machines import ROLE

OPEN_PATHS = ("/healthz", "/readyz", "/openapi.json", "/docs", "/v1/nodes/join")
PATHS_OF: Mapping[str, Sequence[str]] = {"metrics": ("/metrics",)}
"""What each role may read, and nothing else; `admin` may do everything, and any other role nothing."""
_POLL = re.compile(r"/v1/machines/[a-z0-9-]+/poll")
"""What a machine may do: ask what is wanted of it. That it is that machine is looked at there."""


class Auth:
    """Lets a request through only with a valid token; a new path is closed until it is named in OPEN_PATHS."""

    def __init__(self, app: ASGIApp, *, database: Database) -> None:
        self.app, self.database = app, database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            actor = scope["levare.actor"] = await to_thread.run_sync(self._actor, scope)
            _refuse_beyond(actor, scope)
        await self.app(scope, receive, send)

    def _actor(self, scope: Scope) -> Actor:
        secret = _secret(Headers(scope=scope))
        with self.database.reading() as connection:
            token = tokens.verify(connection, secret, now=datetime.now(UTC))
        source = (scope.get("client") or ("",))[0]
        return Actor(token["id"], token["name"], token["role"], source)


def _refuse_beyond(actor: Actor, scope: Scope) -> None:
    may = actor.role == "admin" or (scope["method"] in SAFE_METHODS and scope["path"] in PATHS_OF.get(actor.role, ()))
    if not may and not (actor.role == ROLE and _POLL.fullmatch(scope["path"])):
        paths = ", ".join(PATHS_OF.get(actor.role, ())) or "nothing"
        raise Forbidden(
            f"Token {actor.name!r} has the role {actor.role!r}, which may read {paths} only.",
            "Use a token of the role admin; `levare tokens create` makes one.",
        )


def _secret(headers: Headers) -> str:
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthorized(
            "The request carries no token.",
            "Send `Authorization: Bearer TOKEN`; the first admin token is in LEVARE_HOME/admin.token.",
        )
    return secret.strip()


def register_admin(settings: Settings, database: Database) -> bool:
    """Make the secret in the token file valid in this database; the file is made at the first start."""
    secret = kept_secret(settings.token_file)
    with database.writing() as connection:
        return tokens.register_admin(connection, secret, token_id=new_id(), now=datetime.now(UTC))
