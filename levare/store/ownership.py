"""
Which teams a thing belongs to: asked before anybody of a team reads it or changes it.

None is for what does not exist. What exists and belongs to no team is the fleet's.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.decide.alerts.defaults import DEFAULTS
from levare.decide.belonging import NOBODY, Teams, team_of_family, teams_of_rule, teams_of_work
from levare.model.access import TEAM
from levare.store import alerts, arrays, revisions, schedules, silences, tokens, triggers, windows
from levare.store.tables import attempts, jobs
from levare.store.tables_alerts import alert_rules
from levare.store.views import unknown_job

Row = Mapping[str, Any]

_PAGE = 200


def of_job(connection: Connection, job_id: str) -> Teams | None:
    """Of an element that has not begun, those of its array."""
    names = [job_id, (arrays.array_of(job_id) or ("", 0))[0]]
    found = teams_of_jobs(connection, names)
    return next((frozenset({found[name]}) for name in names if name in found), None)


def teams_of_jobs(connection: Connection, job_ids: Collection[str]) -> dict[str, str]:
    """Id -> team, of those that exist."""
    rows = connection.execute(_TEAMS, {"ids": sorted(set(job_ids))}) if job_ids else ()
    return {row.id: row.team for row in rows}


def of_pipeline(connection: Connection, pipeline_id: str) -> Teams | None:
    return frozenset(connection.execute(_OF_PIPELINE, {"pipeline": pipeline_id}).scalars()) or None


def of_schedule(connection: Connection, name: str) -> Teams | None:
    """Also of one that was removed: by what was declared last."""
    return _of_declared(connection, schedules.KIND, schedules.get(connection, name), name)


def of_trigger(connection: Connection, name: str) -> Teams | None:
    """Also of one that was removed: by what was declared last."""
    return _of_declared(connection, triggers.KIND, triggers.get(connection, name), name)


def _of_declared(connection: Connection, kind: str, row: Row | None, name: str) -> Teams | None:
    if row is not None:
        return teams_of_work(row["definition"])
    changes = revisions.of_object(connection, kind, name, limit=1)
    return teams_of_work(changes[0]["before"]) if changes and changes[0]["before"] else None


def of_family(_connection: Connection, name: str) -> Teams | None:
    return frozenset({team_of_family(name)})


def of_team(_connection: Connection, name: str) -> Teams | None:
    return frozenset({name})


def of_window(connection: Connection, name: str) -> Teams | None:
    row = windows.get(connection, name)
    return _team_in(row) if row else None


def of_alert(connection: Connection, number: str) -> Teams | None:
    """One about a node and no job is the fleet's; what is about neither is nobody's to see but the fleet's admins'."""
    found = alerts.several(connection, [int(number)]) if number.isdecimal() else []
    return team_of_alert(found[0]) if found else None


def team_of_alert(row: Row) -> Teams | None:
    if row["team"] is None and (row["job_id"] is not None or row["node"] is None):
        return None
    return _team_in(row)


def of_silence(connection: Connection, number: str) -> Teams | None:
    row = silences.get(connection, int(number)) if number.isdecimal() else None
    return team_of_silence(connection, row) if row else None


def team_of_silence(connection: Connection, said: Row) -> Teams:
    """The team that it names, or that of the job that it names."""
    if said["team"] or not said["job"]:
        return _team_in(said)
    return of_job(connection, said["job"]) or NOBODY


def of_rule(connection: Connection, name: str) -> Teams | None:
    definition = connection.execute(_RULE, {"rule": name}).scalar() or DEFAULTS.get(name)
    return teams_of_rule(definition) if definition else None


def of_token(connection: Connection, token_id: str) -> Teams | None:
    row = tokens.get(connection, token_id)
    return teams_of_token(row) if row else None


def teams_of_token(row: Row) -> Teams:
    """None of a token that may something beyond its teams."""
    return frozenset(row["teams"]) if row["role"] == TEAM else NOBODY


def _team_in(row: Row) -> Teams:
    return frozenset({row["team"]}) if row["team"] else NOBODY


def visible(
    find: Callable[[int, str], Sequence[Row]], seen: Collection[str] | None, *, limit: int, after: str
) -> list[Row]:
    """A page of what is declared by name, without what belongs to a team that is not seen; `find(limit, after)`."""
    if seen is None:
        return list(find(limit, after))
    found: list[Row] = []
    while len(found) < limit:
        page = find(_PAGE, after)
        found += [row for row in page if teams_of_work(row["definition"]) <= set(seen)]
        if len(page) < _PAGE:
            break
        after = page[-1]["name"]
    return found[:limit]


def hidden_jobs(connection: Connection, job_ids: Iterable[str], seen: Collection[str] | None) -> set[str]:
    """Those of these jobs that belong to a team that is not seen."""
    if seen is None:
        return set()
    return {job_id for job_id, team in teams_of_jobs(connection, list(job_ids)).items() if team not in seen}


def refuse_hidden(connection: Connection, job_ids: Iterable[str], seen: Collection[str] | None) -> None:
    """Raise NotFound, as for what there is not, where a job belongs to a team that is not seen."""
    hidden = hidden_jobs(connection, job_ids, seen)
    if hidden:
        raise unknown_job(min(hidden))


def hidden_attempts(connection: Connection, attempt_ids: Iterable[str], seen: Collection[str] | None) -> set[str]:
    """Those of these attempts whose job belongs to a team that is not seen."""
    wanted = sorted(set(attempt_ids))
    if seen is None or not wanted:
        return set()
    rows = connection.execute(_OF_ATTEMPTS, {"ids": wanted})
    return {row.id for row in rows if row.team not in seen}


_IDS = bindparam("ids", expanding=True)
_TEAMS = select(jobs.c.id, jobs.c.team).where(jobs.c.id.in_(_IDS))
_OF_PIPELINE = select(jobs.c.team).where(jobs.c.pipeline == bindparam("pipeline")).distinct()
_OF_ATTEMPTS = (
    select(attempts.c.id, jobs.c.team)
    .join_from(attempts, jobs, jobs.c.id == attempts.c.job_id)
    .where(attempts.c.id.in_(_IDS))
)
_RULE = select(alert_rules.c.definition).where(alert_rules.c.name == bindparam("rule"))
