"""How schedules stand and what became of them: their last fires, their runs, their revisions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, select
from sqlalchemy import Row as Found

from levare.decide.due import OUTCOMES, RUN, OpenRun
from levare.decide.pipelines import state_of
from levare.errors import NotFound
from levare.model import CANCELLED, FAILED, SUCCEEDED
from levare.store import revisions
from levare.store.fires import open_runs
from levare.store.schedules import KIND
from levare.store.tables import jobs
from levare.store.tables_time import fires
from levare.store.types import Utc

Row = Mapping[str, Any]

COUNTED = 20
"""So many runs are looked at for the rate of success."""
_MOST_OPEN = 20
ACTIVE, PAUSED, DONE = "active", "paused", "done"
STATES = (ACTIVE, PAUSED, DONE)


@dataclass(frozen=True)
class Success:
    """Of the last runs that have succeeded or failed; what was cancelled says nothing."""

    succeeded: int
    ended: int

    @property
    def percent(self) -> float | None:
        return 100 * self.succeeded / self.ended if self.ended else None


def standing(connection: Connection, rows: Sequence[Row]) -> list[Row]:
    """Schedules with their state, their last fire, how their last runs ended, and which are open."""
    opened = open_runs(connection, [row["name"] for row in rows]) if rows else {}
    return [{**row, **_standing(connection, row, opened.get(row["name"], ()))} for row in rows]


def _standing(connection: Connection, row: Row, opened: Sequence[OpenRun]) -> Row:
    last = fires_of(connection, row["name"], limit=1)
    success = _success(connection, row["name"])
    return {
        "state": state_of_schedule(row),
        "last": last[0] if last else None,
        "success_percent": success.percent,
        "runs_counted": success.ended,
        "open_runs": [{"due_at": run.due_at, "jobs": list(run.jobs)} for run in opened[-_MOST_OPEN:]],
        "open_count": len(opened),
    }


def state_of_schedule(row: Row) -> str:
    if row["paused_at"]:
        return PAUSED
    return ACTIVE if row["due_at"] else DONE


def fires_of(
    connection: Connection,
    name: str,
    *,
    limit: int,
    before: datetime | None = None,
    outcomes: Sequence[str] = OUTCOMES,
) -> list[Row]:
    """Fires, the newest first, those of an earlier due instant only; each with where its job or pipeline stands."""
    asked = {"of_name": name, "outcomes": list(outcomes), "most": limit}
    if before is None:
        found = connection.execute(_NEWEST, asked).all()
    else:
        found = connection.execute(_BEHIND, {**asked, "behind": before}).all()
    return _with_states(connection, found)


def fire_at(connection: Connection, name: str, due_at: datetime) -> Row | None:
    """The fire of a due instant, or the one that stands for it."""
    found = connection.execute(_AT, {"of_name": name, "due": due_at}).all()
    is_of_it = found and (found[0].due_at == due_at or (found[0].until and due_at <= found[0].until))
    return _with_states(connection, found)[0] if is_of_it else None


def has_fired(connection: Connection, name: str) -> bool:
    return bool(connection.execute(_NEWEST, {"of_name": name, "outcomes": list(OUTCOMES), "most": 1}).first())


def of_schedule(connection: Connection, name: str, *, limit: int) -> list[Row]:
    """Its revisions, newest first, also after it was removed; raise NotFound if there was never one."""
    found = revisions.of_object(connection, KIND, name, limit=limit)
    if not found:
        raise NotFound(f"There is no schedule {name!r}, and there was none.", "`levare schedules` lists them.")
    return found


def _success(connection: Connection, name: str) -> Success:
    runs = connection.execute(_NEWEST, {"of_name": name, "outcomes": [RUN], "most": COUNTED}).all()
    states = [row["state"] for row in _with_states(connection, runs)]
    succeeded, failed = states.count(SUCCEEDED), states.count(FAILED)
    return Success(succeeded, succeeded + failed)


def _with_states(connection: Connection, found: Iterable[Found[Any]]) -> list[Row]:
    rows = [dict(row._mapping) for row in found]  # noqa: SLF001  # its public name
    pipelines = _states(connection, {row["pipeline"] for row in rows if row["pipeline"]})
    return [_shown(row, pipelines) for row in rows]


def _shown(row: Row, pipelines: Mapping[str, str]) -> Row:
    shown = {name: row[name] for name in ("schedule", "due_at", "until", "outcome", "reason", "pipeline", "decided_at")}
    state = pipelines.get(row["pipeline"] or "", row["state"])
    return {**shown, "job": row["job_id"], "state": state}


def _states(connection: Connection, pipelines: Iterable[str]) -> dict[str, str]:
    wanted = sorted(pipelines)
    steps: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for row in connection.execute(_STEPS, {"pipelines": wanted}) if wanted else ():
        steps[row.pipeline].append((row.state, row.state == CANCELLED and row.cancel_requested_at is not None))
    return {pipeline: state_of(found) for pipeline, found in steps.items()}


_WITH_JOB = select(fires, jobs.c.state).outerjoin(jobs, jobs.c.id == fires.c.job_id)
_OF_NAME = fires.c.schedule == bindparam("of_name")
_NEWEST = (
    _WITH_JOB.where(_OF_NAME, fires.c.outcome.in_(bindparam("outcomes", expanding=True)))
    .order_by(fires.c.due_at.desc())
    .limit(bindparam("most"))
)
_BEHIND = _NEWEST.where(fires.c.due_at < bindparam("behind", type_=Utc))
_AT = _WITH_JOB.where(_OF_NAME, fires.c.due_at <= bindparam("due", type_=Utc)).order_by(fires.c.due_at.desc()).limit(1)
_STEPS = select(jobs.c.pipeline, jobs.c.state, jobs.c.cancel_requested_at).where(
    jobs.c.pipeline.in_(bindparam("pipelines", expanding=True)), jobs.c.array_id.is_(None)
)
