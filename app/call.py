"""One request: who asks, when, and the parts that answer it."""

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

from fastapi import Depends, Query, Request, params
from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from app import problems
from app.conditions import NO_CONDITIONS, Conditions, conditions_of
from app.keys import Keys
from app.writes import Writes
from levare.errors import Fault, Forbidden
from levare.model import Rules
from levare.pulse import Pulse
from levare.settings import Settings
from levare.store.audit import Actor
from levare.store.engine import Database

DryRun = Annotated[
    bool, Query(description="Try everything, keep nothing: the answer says what would happen.", examples=[True])
]


@dataclass(frozen=True)
class Parts:
    """What the process has; `writes.stopping` is set when it is about to end, so that streams end too."""

    settings: Settings
    rules: Rules
    database: Database
    pulse: Pulse
    writes: Writes
    keys: Keys


@dataclass(frozen=True)
class Call:
    rules: Rules
    database: Database
    pulse: Pulse
    writes: Writes
    keys: Keys
    actor: Actor
    now: datetime
    conditions: Conditions = NO_CONDITIONS

    @property
    def seen(self) -> Collection[str] | None:
        """The teams whose things may be answered; None for all."""
        return self.actor.access.seen

    def refuse_unless(self, role: str, teams: Collection[str], *, what: str) -> None:
        """Raise Forbidden unless whoever asks has this role in all of these teams, or there are none."""
        if not self.actor.access.is_fleet and not (teams and self.actor.access.has_in_all(role, teams)):
            of = ", ".join(sorted(teams)) or "the whole fleet"
            own = ", ".join(self.actor.access.teams_with(role) or ()) or "none"
            fault = Fault("team", f"asks for the role {role}", of, own)
            raise Forbidden(
                f"{what} is of {of}; token {self.actor.name!r} is {role} of {own}.",
                "Name a team in which it has this role.",
                [fault],
            )

    @contextmanager
    def writing(self, *, dry_run: bool = False) -> Iterator[Connection]:
        """One transaction, if what it changes is as the request expects; in a dry run it is tried and then undone."""
        with trying(self.database, dry_run=dry_run) as connection:
            self.conditions.hold(connection)
            yield connection


@contextmanager
def trying(database: Database, *, dry_run: bool) -> Iterator[Connection]:
    """A transaction that writes; in a dry run all of it is undone at the end."""
    with database.writing() as connection:
        if not dry_run:
            yield connection
            return
        with connection.begin_nested() as trial:
            yield connection
            trial.rollback()


async def _call(request: Request) -> Call:
    _refuse_misread_parameters(request)
    return call_of(request.app.state.parts, request.scope["levare.actor"], conditions_of(request))


def call_of(parts: Parts, actor: Actor, conditions: Conditions = NO_CONDITIONS) -> Call:
    """A call at this moment."""
    now = datetime.now(UTC)
    return Call(parts.rules, parts.database, parts.pulse, parts.writes, parts.keys, actor, now, conditions)


Asked = Annotated[Call, Depends(_call)]


def _refuse_misread_parameters(request: Request) -> None:
    """A misspelt filter must not list everything, nor one of two values count alone."""
    if not request.query_params:
        return
    known = _query_parameters(request.scope["endpoint"])
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        raise problems.invalid([problems.unknown(name, tuple(known), what="parameter") for name in unknown])
    if len(request.query_params.multi_items()) > len(request.query_params):
        _refuse_repeated([name for name, is_list in known.items() if not is_list], request.query_params)


def _refuse_repeated(names: Iterable[str], said: QueryParams) -> None:
    values = {name: said.getlist(name) for name in names}
    doubled = [Fault(name, "must be given once", each, "one value") for name, each in values.items() if each[1:]]
    if doubled:
        raise problems.invalid(doubled)


@cache
def _query_parameters(endpoint: Callable[..., Any]) -> dict[str, bool]:
    """The names that an endpoint knows, and whether each may be repeated."""
    hints = get_type_hints(endpoint, include_extras=True)
    kinds = {name: (hint, getattr(hint, "__metadata__", ())) for name, hint in hints.items()}
    return {
        each.alias or name: "list[" in str(get_args(hint)[0])
        for name, (hint, kind) in kinds.items()
        for each in kind
        if isinstance(each, params.Query)
    }
