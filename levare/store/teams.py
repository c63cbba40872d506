"""Teams: weights and quotas as people declare them, and how each team stands."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.decide.sharing import Books, Standing
from levare.errors import Fault, NotFound, QuotaQueued
from levare.model import LIVE, Quota, Sharing
from levare.model.changes import Change
from levare.store import sharing
from levare.store.audit import Actor
from levare.store.declared import Kind, Made
from levare.store.fleet import load_nodes
from levare.store.sharing import project_account, quota_of, user_account
from levare.store.tables import jobs, teams, use
from levare.store.types import is_one_of

Row = Mapping[str, Any]

_SECONDS_PER_GPU_HOUR = 3600


@dataclass(frozen=True)
class Declared:
    """A team as it is declared; a team that is not weighs 1 and has no quota."""

    weight: float = 1.0
    quota: Quota = field(default_factory=Quota)
    projects: Mapping[str, Quota] = field(default_factory=dict)
    users: Mapping[str, Quota] = field(default_factory=dict)
    members: Mapping[str, str] = field(default_factory=dict)
    """Name of a token -> what it may in the team."""

    @classmethod
    def of(cls, document: Row) -> "Declared":
        """What a document declares; `document` is its inverse."""
        projects = {name: quota_of(quota) for name, quota in document.get("projects", {}).items()}
        users = {name: quota_of(quota) for name, quota in document.get("users", {}).items()}
        return cls(
            document.get("weight", 1.0),
            quota_of(document.get("quota", {})),
            projects,
            users,
            document.get("members", {}),
        )

    @property
    def columns(self) -> dict[str, Any]:
        return {
            "weight": self.weight,
            "quota": quota_columns(self.quota),
            "projects": {name: quota_columns(quota) for name, quota in self.projects.items()},
            "users": {name: quota_columns(quota) for name, quota in self.users.items()},
        }

    @property
    def document(self) -> dict[str, Any]:
        """What differs from a team of which nothing is declared."""
        quota = _said(self.quota)
        found = {"weight": self.weight} if self.weight != Declared.weight else {}
        found |= {"quota": quota} if quota else {}
        parts = {"projects": self.projects, "users": self.users}
        found |= {
            part: {name: _said(each) for name, each in quotas.items()} for part, quotas in parts.items() if quotas
        }
        return found | ({"members": dict(self.members)} if self.members else {})


def put(connection: Connection, name: str, declared: Declared, *, actor: Actor, now: datetime) -> None:
    """Declare a team, or declare it anew: whatever was declared before is replaced. The same again changes nothing."""
    DECLARED.declare(connection, name, declared.document, actor=actor, now=now)


def remove(connection: Connection, name: str, *, actor: Actor, now: datetime) -> None:
    """Forget what was declared of a team; its jobs and its use stay. Raise NotFound if nothing was."""
    DECLARED.remove(connection, name, actor=actor, now=now)


def find(connection: Connection, shared: Sharing, *, now: datetime) -> list[Row]:
    """
    Every team that is declared, has used something, runs something or waits for something, by name.

    `shared` is what `sharing.load` gave for `now`.
    """
    names = sorted(set(connection.execute(_NAMES).scalars()))
    rows = {row.name: row for row in connection.execute(select(teams))}
    books = Books(shared, load_nodes(connection, now=now), now=now)
    waiting = sharing.queued(connection, names)
    for name in names:
        books.compare(name, wants=bool(waiting.get(name)))
    hours = _hours(connection, shared, names, now)
    return [_team(books.standing(name), rows.get(name), waiting.get(name, 0), hours[name]) for name in names]


def members(connection: Connection) -> Mapping[str, Mapping[str, str]]:
    """Name of a token -> team -> what it may there, as the teams declare it."""
    found: dict[str, dict[str, str]] = {}
    for team, definition in connection.execute(_DEFINITIONS):
        for name, role in definition.get("members", {}).items():
            found.setdefault(name, {})[team] = role
    return found


def one(connection: Connection, name: str, shared: Sharing, *, now: datetime) -> Row:
    found = next((row for row in find(connection, shared, now=now) if row["name"] == name), None)
    if found is None:
        raise unknown(name)
    return found


def unknown(name: str) -> NotFound:
    return NotFound(f"There is no team {name!r}.", "It begins with its first job, or with `levare teams set`.")


def is_declared_as(connection: Connection, name: str, declared: Declared) -> bool:
    """Whether the weight of a team and the quota of the whole of it are these: what is left is its own matter."""
    document = DECLARED.documents(connection, [name]).get(name, {})
    return all(document.get(key) == declared.document.get(key) for key in ("weight", "quota"))


def refuse_beyond_queue(connection: Connection, *, team: str, project: str, user: str, adding: int = 1) -> None:
    """
    Raise QuotaQueued if a team, project or user would have more jobs that have not begun than its quota allows.

    An array adds as many as it has elements. Who submits for a team with such a quota waits for others who do, so
    that two cannot take the last place.
    """
    declared = connection.execute(_QUOTAS, {"name": team}).one_or_none()
    limits = _queue_limits(declared, team, project, user) if declared else {}
    if limits:
        connection.execute(_LOCK, {"name": team})
        waiting = sharing.queued(connection, [team])
        for account, (whose, most) in limits.items():
            if waiting.get(account, 0) + adding > most:
                raise _full(whose, waiting.get(account, 0), adding, most)


def quota_columns(quota: Quota) -> dict[str, Any]:
    """A quota as JSON keeps it; `quota_of` is its inverse."""
    limits = {name: getattr(quota, name) for name in ("gpus", "running", "queued", "gpu_hours", "borrow")}
    return limits | {"period_seconds": int(quota.period.total_seconds())}


def _said(quota: Quota) -> dict[str, Any]:
    usual = quota_columns(Quota())
    return {name: value for name, value in quota_columns(quota).items() if value != usual[name]}


def _columns(_connection: Connection, changed: Sequence[Change], _made: Made) -> Mapping[str, Row]:
    return {each.name: Declared.of(each.after).columns for each in changed if each.after is not None}


def _hours(connection: Connection, shared: Sharing, names: Iterable[str], now: datetime) -> Mapping[str, float]:
    """The GPU-hours that ended in each team's own period."""
    periods = {name: shared.accounts[name].quota.period if name in shared.accounts else Quota.period for name in names}
    found = {period: sharing.gpu_hours(connection, period=period, now=now) for period in set(periods.values())}
    return {name: found[period].get(name, 0.0) for name, period in periods.items()}


def _team(standing: Standing, row: Any, waiting: int, hours: float) -> Row:
    default = Declared().columns
    declared = {name: getattr(row, name) if row else value for name, value in default.items()}
    return declared | {
        "name": standing.team,
        "declared": row is not None,
        "members": row.definition.get("members", {}) if row else {},
        "entitled_percent": round(100 * standing.entitled, 2),
        "used_percent": round(100 * standing.used, 2),
        "used_gpu_hours": round(standing.use / _SECONDS_PER_GPU_HOUR, 6),
        "period_gpu_hours": round(hours, 6),
        "gpus": round(standing.gpus, 3),
        "borrowed_gpus": round(standing.borrowed, 3),
        "running": standing.running,
        "queued": waiting,
        "rank": standing.rank,
        "why": standing.why,
        "revision": row.revision if row else 0,
        "updated_at": row.changed_at if row else None,
    }


def _queue_limits(declared: Any, team: str, project: str, user: str) -> dict[str, tuple[str, int]]:
    """Account -> whose it is and how many may wait, for those that have such a limit."""
    quotas = {
        team: (f"Team {team}", declared.quota),
        project_account(team, project): (f"Project {project} of team {team}", declared.projects.get(project, {})),
        user_account(team, user): (f"User {user} of team {team}", declared.users.get(user, {})),
    }
    return {
        account: (whose, most)
        for account, (whose, quota) in quotas.items()
        if (most := quota_of(quota).queued) is not None
    }


def _full(whose: str, waiting: int, adding: int, most: int) -> QuotaQueued:
    fault = Fault("queued", "would be exceeded", waiting + adding, most)
    more = "one more" if adding == 1 else f"{adding} more"
    jobs_waiting = "1 job that has" if waiting == 1 else f"{waiting} jobs that have"
    return QuotaQueued(
        f"{whose} has {jobs_waiting} not begun; {more} would be more than the {most} of its quota.",
        "Submit it when some of them have begun, cancel some, or ask for a larger quota (`levare teams`).",
        [fault],
    )


# The statements are built once: building one costs more than running it.

_OF_NAME = teams.c.name == bindparam("name")
_QUOTAS = select(teams.c.quota, teams.c.projects, teams.c.users).where(_OF_NAME)
_DEFINITIONS = select(teams.c.name, teams.c.definition)
_LOCK = select(teams.c.name).where(_OF_NAME).with_for_update()
DECLARED = Kind("team", teams, columns=_columns, tells=True)
_BEGUN_OR_NOT = is_one_of(jobs.c.state, ("blocked", "waiting", *LIVE))
_NAMES = select(teams.c.name).union(select(use.c.team), select(jobs.c.team).where(_BEGUN_OR_NOT))
_OF_ATTEMPT = ("id", "job_id", "node", "devices", "cpus", "memory_mib", "placed_at", "preempted_at")
