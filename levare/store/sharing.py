"""Who shares the fleet: quotas as they are declared, use as it is now. What decisions about fairness read."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, case, func, select

from levare.decide.use import fading
from levare.model import BLOCKED, WAITING, Account, Quota, Rules, Sharing
from levare.settings import Settings
from levare.store.tables import jobs, teams, use, use_days
from levare.store.types import is_one_of

Accounts = dict[str, Account]

_HOUR_SECONDS = 3600
_DAY = timedelta(days=1)


def load(connection: Connection, *, now: datetime, rules: Rules) -> Sharing:
    """
    Every account that has a quota, a weight or a use, with its use faded to now.

    GPU-hours and queued jobs are counted only for quotas of them: without any, this is two statements.
    """
    accounts = _declared(connection)
    for row in connection.execute(_USE):
        faded = row.use * fading(now - row.as_of, rules.half_life)
        for name in (row.team, user_account(row.team, row.user)):
            known = accounts.get(name) or Account(name)
            accounts[name] = replace(known, use=known.use + faded)
    _add_hours(connection, accounts, now)
    _add_queued(connection, accounts)
    return Sharing(accounts, rules.half_life, rules.licences)


def rules_of(settings: Settings) -> Rules:
    return Rules(settings.lost_after, settings.half_life, settings.licences, settings.currency)


def project_account(team: str, project: str) -> str:
    return f"{team}/{project}"


def user_account(team: str, user: str) -> str:
    return f"{team}:{user}"


def quota_of(declared: Mapping[str, Any]) -> Quota:
    """A quota from its columns; what is not there bounds nothing."""
    period = timedelta(seconds=declared.get("period_seconds", Quota.period.total_seconds()))
    limits = {name: declared.get(name) for name in ("gpus", "running", "queued", "gpu_hours")}
    return Quota(**limits, period=period, borrow=declared.get("borrow", True))


def gpu_hours(connection: Connection, *, period: timedelta, now: datetime) -> Mapping[str, float]:
    """
    The GPU-hours of the attempts that ended in the last `period`, by account.

    They are kept by days (UTC), so the day in which the period begins counts for its part that lies within.
    """
    begins = (now - period).astimezone(UTC)
    midnight = begins.replace(hour=0, minute=0, second=0, microsecond=0)
    within = {"first_day": begins.date().isoformat(), "part": 1 - (begins - midnight) / _DAY}
    hours: dict[str, float] = defaultdict(float)
    for row in connection.execute(_HOURS, within):
        for name in _names(row):
            hours[name] += row.seconds / _HOUR_SECONDS
    return hours


def queued(connection: Connection, names: Iterable[str]) -> Mapping[str, int]:
    """How many jobs of these teams have not begun, by account; an array counts its elements that are still to come."""
    counts: dict[str, int] = defaultdict(int)
    for row in connection.execute(_QUEUED, {"teams": list(names)}):
        for name in _names(row):
            counts[name] += int(row.jobs)
    return counts


def _declared(connection: Connection) -> Accounts:
    accounts: Accounts = {}
    for row in connection.execute(_TEAMS):
        parts = {project_account(row.name, name): quota for name, quota in row.projects.items()}
        parts |= {user_account(row.name, name): quota for name, quota in row.users.items()}
        accounts |= {name: Account(name, quota=quota_of(quota)) for name, quota in parts.items()}
        accounts[row.name] = Account(row.name, row.weight, quota_of(row.quota))
    return accounts


def _add_hours(connection: Connection, accounts: Accounts, now: datetime) -> None:
    limited = [each for each in accounts.values() if each.quota.gpu_hours is not None]
    for period in {each.quota.period for each in limited}:
        hours = gpu_hours(connection, period=period, now=now)
        for each in limited:
            if each.quota.period == period:
                accounts[each.name] = replace(accounts[each.name], gpu_hours=hours.get(each.name, 0.0))


def _add_queued(connection: Connection, accounts: Accounts) -> None:
    limited = [each.name for each in accounts.values() if each.quota.queued is not None]
    if limited:
        counts = queued(connection, {name.partition("/")[0].partition(":")[0] for name in limited})
        for name in limited:
            accounts[name] = replace(accounts[name], queued=counts.get(name, 0))


def _names(row: Any) -> tuple[str, str, str]:
    """The accounts that a row of a team, project and user belongs to."""
    return row.team, project_account(row.team, row.project), user_account(row.team, row.user)


# The statements are built once: building one costs more than running it.

_TEAMS = select(teams.c.name, teams.c.weight, teams.c.quota, teams.c.projects, teams.c.users)
_USE = select(use.c.team, use.c.user, use.c.use, use.c.as_of)
_WHOLE = case((use_days.c.day == bindparam("first_day"), bindparam("part")), else_=1.0)
_HOURS = (
    select(
        use_days.c.team, use_days.c.project, use_days.c.user, func.sum(use_days.c.gpu_seconds * _WHOLE).label("seconds")
    )
    .where(use_days.c.day >= bindparam("first_day"))
    .group_by(use_days.c.team, use_days.c.project, use_days.c.user)
)
_ELEMENTS = func.coalesce(jobs.c.array_size - jobs.c.array_next, 1)
_QUEUED = (
    select(jobs.c.team, jobs.c.project, jobs.c.user, func.sum(_ELEMENTS).label("jobs"))
    .where(
        and_(is_one_of(jobs.c.state, (BLOCKED, WAITING)), jobs.c.cancel_requested_at.is_(None)),
        jobs.c.team.in_(bindparam("teams", expanding=True)),
    )
    .group_by(jobs.c.team, jobs.c.project, jobs.c.user)
)
