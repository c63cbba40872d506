"""Lets a request through to its operation, or not, as `app/rights.py` says."""

import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from re import Pattern
from typing import Any

from anyio import to_thread
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.routing import BaseRoute

from app.rights import RIGHTS, Kind, Right
from levare.decide.belonging import Teams
from levare.errors import Forbidden
from levare.model import access
from levare.model.access import VIEWER
from levare.store.audit import Actor
from levare.store.engine import Database

OPEN_PATHS = ("/healthz", "/readyz", "/openapi.json", "/docs", "/login", "/v1/nodes/join")
_OPEN_FOLDER = "/assets/"
"""What needs no token; each has the right ANYBODY, and nothing else has."""
_MOST_KNOWN = 20_000
_PARAMETER = re.compile(r"\{[^}]*\}")


def is_open(path: str) -> bool:
    """Whether anybody may ask for this."""
    return path in OPEN_PATHS or path.startswith(_OPEN_FOLDER)


async def permit(connection: HTTPConnection) -> None:
    """Let a request through to its operation if that is allowed; before its values are looked at."""
    _refuse_words(connection)
    await allow(connection, connection.scope["endpoint"].__name__, connection.path_params)


def _refuse_words(connection: HTTPConnection) -> None:
    """A path with a meaning of its own, such as /v1/nodes/join, is no name: what it does not know nothing else does."""
    path = connection.scope["path"]
    if any(own.match(path) for own in connection.app.state.own.get(connection.scope["route"].path, ())):
        raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED)


def own_paths(routes: Sequence[APIRoute]) -> Mapping[str, Sequence[Pattern[str]]]:
    """Of each path with a name in it the paths that look like one."""
    known = {route.path: route.path_regex for route in routes}
    samples = {path: _PARAMETER.sub("x", path) for path in known}
    return {
        path: own
        for path in known
        if (own := [known[each] for each in known if each != path and known[path].match(samples[each])])
    }


async def allow(connection: HTTPConnection, operation: str, names: Mapping[str, Any]) -> None:
    """Raise Forbidden or NotFound unless whoever asks may do this to what the names say."""
    right = RIGHTS[operation]
    if right.anybody:
        return
    actor: Actor = connection.scope["levare.actor"]
    if not (actor.access.is_fleet or actor.access.role in right.scopes):
        await _check(actor, right, connection, names)


async def _check(actor: Actor, right: Right, connection: HTTPConnection, names: Mapping[str, Any]) -> None:
    kind = right.of
    if right.role is None or not (kind or actor.access.has_in_any(right.role)):
        raise _refusal(actor, right)
    if kind is None:
        return
    name = str(names[kind.parameter])
    owners = await connection.app.state.owners.of(kind, name)
    if owners is None and right.makes:
        if not actor.access.has_in_any(right.role):
            raise _refusal(actor, right)
    elif owners is None or not _sees(actor, kind, owners):
        raise kind.unknown(name)
    elif not actor.access.has_in_all(right.role, owners) or not (owners or right.role == VIEWER):
        raise _refusal(actor, right)


def _sees(actor: Actor, kind: Kind, owners: Teams) -> bool:
    if not owners:
        return kind.shared and actor.access.has_in_any(VIEWER)
    return actor.access.has_in_all(VIEWER, owners)


def _refusal(actor: Actor, right: Right) -> Forbidden:
    held = ", ".join(f"{role} of {team}" for team, role in sorted(actor.access.teams.items())) or "of no team"
    scope = f", scope {actor.access.role}" if actor.access.role != access.TEAM else ""
    return Forbidden(
        f"This asks for {right.asks}; token {actor.name!r} is {held}{scope}.",
        "Ask for a token that may: `levare tokens create` makes one, docs/security.md says which.",
    )


class Owners:
    """Whose a thing is; asked once of what belongs to the same team for ever."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[tuple[str, str], Teams] = {}

    async def of(self, kind: Kind, name: str) -> Teams | None:
        known = self._known.get((kind.parameter, name))
        return known if known is not None else await to_thread.run_sync(self._ask, kind, name)

    def _ask(self, kind: Kind, name: str) -> Teams | None:
        with self._database.reading() as connection:
            found = kind.teams(connection, name)
        if kind.lasts and found:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[kind.parameter, name] = found
        return found


def refuse_undeclared(routes: Iterable[BaseRoute]) -> None:
    """Raise LookupError for a route of which the table does not say who may use it, and for one that there is not."""
    left = dict(RIGHTS)
    for route in routes:
        path, name = getattr(route, "path", ""), getattr(getattr(route, "endpoint", None), "__name__", "")
        right = left.pop(name, None)
        if right is None or right.anybody != is_open(path):
            raise LookupError(f"app/rights.py does not say who may use {path} ({name}).")
    if left:
        raise LookupError(f"app/rights.py tells of operations that there are not: {', '.join(left)}.")
