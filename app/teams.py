"""Teams: how each stands, and what is declared of it."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import At, answer, listed
from app.call import Asked, Call, DryRun
from app.pages import fields_of, picked, selected
from app.wishes import team_wish
from levare.errors import Forbidden
from levare.manifest.teams import TeamRequest, TeamRole
from levare.manifest.values import Label
from levare.pulse import beat_bell
from levare.store import sharing, teams, versions, views

router = APIRouter(prefix="/v1/teams", tags=["teams"])


class QuotaAnswer(BaseModel):
    """The most that somebody may use; null bounds nothing."""

    gpus: int | None = Field(examples=[8])
    running: int | None = Field(examples=[20])
    queued: int | None = Field(examples=[500])
    gpu_hours: float | None = Field(examples=[2000])
    period_seconds: int = Field(description="The time that `gpu_hours` are of.", examples=[2592000])
    borrow: bool = Field(description="Whether it may hold more than `gpus` as long as nobody else wants them.")


class Team(BaseModel):
    """A team: what is declared of it, what it uses, and its place in the queue."""

    name: str = Field(examples=["vision"])
    declared: bool = Field(description="False for a team of which only jobs tell: it weighs 1 and has no quota.")
    weight: float = Field(examples=[2])
    quota: QuotaAnswer
    projects: dict[str, QuotaAnswer] = Field(description="Quotas of its projects.")
    users: dict[str, QuotaAnswer] = Field(description="Quotas of its users.")
    members: dict[str, TeamRole] = Field(
        description="What people may in it, by the names of their tokens.", examples=[{"ada": "member"}]
    )
    entitled_percent: float = Field(description="Its weight among those of all teams.", examples=[66.67])
    used_percent: float = Field(description="Its part of all use lately, with what runs.", examples=[61.0])
    used_gpu_hours: float = Field(
        description="Its use lately in weighted GPU-hours; use weighs half after each half-life.", examples=[310.5]
    )
    period_gpu_hours: float = Field(
        description="GPU-hours of the attempts that ended within the period of its quota.", examples=[1250.0]
    )
    gpus: float = Field(description="GPUs that it holds now; a part of a GPU counts as a part.", examples=[10])
    borrowed_gpus: float = Field(description="Those of them above its quota.", examples=[2])
    running: int = Field(description="Jobs that hold something now.", examples=[4])
    queued: int = Field(description="Jobs that have not begun.", examples=[12])
    rank: int = Field(description="1 for the team that comes first; teams that stand alike share a rank.", examples=[2])
    why: str = Field(
        description="Its place in the queue in a sentence.",
        examples=[
            "Is owed 2 of 3 parts of the fleet and has had 61% of what was used lately, so it comes after 1 other team."
        ],
    )
    revision: int = Field(
        description="The revision that declared it so, for `If-Match`; 0 for one of which nothing is declared.",
        examples=[12],
    )
    updated_at: At | None = Field(description="When it was last declared.")


class Teams(BaseModel):
    items: list[Team]


TeamName = Annotated[Label, Path(description="The name of a team.", examples=["vision"])]
TeamFields = Annotated[str | None, fields_of(Team)]
_FIELDS = tuple(Team.model_fields)


@router.get("", response_model=Teams)
def list_teams(call: Asked, fields: TeamFields = None) -> Response:
    """List the teams that are declared, have used something or have jobs, with what each is owed and has had."""
    names = selected(Team, fields)
    with call.database.reading() as connection:
        shared = sharing.load(connection, now=call.now, rules=call.rules)
        rows = teams.find(connection, shared, now=call.now)
    return listed([picked(row, names) for row in rows if call.seen is None or row["name"] in call.seen])


@router.get("/{name}", response_model=Team)
def read_team(name: TeamName, call: Asked, fields: TeamFields = None) -> Response:
    """Look at a team."""
    names = selected(Team, fields)
    with call.database.reading() as connection:
        row, version = _team(connection, name, call), versions.of(connection, versions.TEAM, name)
    return call.conditions.told(picked(row, names), version)


@router.put("/{name}", response_model=Team)
def set_team(name: TeamName, body: TeamRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """
    Declare the weight and the quotas of a team; whatever was declared of it before is replaced.

    An admin of the team declares its members and the quotas of its projects and users; the others are the fleet's to
    give.
    """
    with call.writing(dry_run=dry_run) as connection:
        _refuse_more(connection, name, body, call)
        teams.put(connection, name, team_wish(body), actor=call.actor, now=call.now)
        row = _team(connection, name, call)
    _wake(call, dry_run=dry_run)
    return answer(picked(row, _FIELDS))


@router.delete("/{name}", response_model=Team)
def remove_team(name: TeamName, call: Asked, dry_run: DryRun = False) -> Response:
    """Forget what was declared of a team, and answer what that was; its jobs and its use stay."""
    with call.writing(dry_run=dry_run) as connection:
        row = _team(connection, name, call)
        teams.remove(connection, name, actor=call.actor, now=call.now)
    _wake(call, dry_run=dry_run)
    return answer(picked(row, _FIELDS))


def _refuse_more(connection: Connection, name: str, body: TeamRequest, call: Call) -> None:
    if not call.actor.access.is_fleet and not teams.is_declared_as(connection, name, team_wish(body)):
        raise Forbidden(
            f"The weight of team {name!r} and the quota of the whole of it are the fleet's to give.",
            "Send them as they are, or have an admin of the fleet change them.",
        )


def _team(connection: Connection, name: str, call: Call) -> views.Row:
    shared = sharing.load(connection, now=call.now, rules=call.rules)
    return teams.one(connection, name, shared, now=call.now)


def _wake(call: Call, *, dry_run: bool) -> None:
    if not dry_run:
        call.pulse.ring(beat_bell())
