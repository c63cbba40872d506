"""How the runs of a family went one after the other: how long, how well, at what cost."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from levare.decide.summaries import Key, Summary
from levare.errors import NotFound
from levare.model import LIVE
from levare.store import curves
from levare.store.reports import seconds_between
from levare.store.tables import attempts, jobs

Row = Mapping[str, Any]
_A, _J = attempts.c, jobs.c


def runs(connection: Connection, family: str, *, since: datetime | None, schedule: str | None, limit: int) -> list[Row]:
    """Attempts that have ended, the newest first, each with the best values of its metrics."""
    wait = seconds_between(connection, _J.created_at, _A.placed_at).label("wait_seconds")
    lasted = seconds_between(connection, _A.started_at, _A.ended_at).label("seconds")
    names = ("number", "rank", "state", "failure", "node", "ended_at", "cost", "energy_joules")
    used = ("peak_memory_mib", "gpu_memory_mib", "gpu_utilisation_percent")
    columns = (_A.id.label("attempt"), _J.id.label("job"), _J.schedule, _J.due_at, wait, lasted)
    query = (
        select(*columns, *(_A[name] for name in (*names, *used)))
        .join_from(attempts, jobs, _J.id == _A.job_id)
        .where(_J.family == family, _A.state.not_in(LIVE), _A.rank == 0)
        .order_by(_A.ended_at.desc(), _A.id)
        .limit(limit)
    )
    query = query.where(_A.ended_at >= since) if since is not None else query
    query = query.where(_J.schedule == schedule) if schedule is not None else query
    rows = connection.execute(query).mappings().all()
    if not rows and not connection.execute(select(_J.id).where(_J.family == family).limit(1)).first():
        raise NotFound(f"There is no job of a family {family!r}.", "`levare families` lists them: team/project/name.")
    told = curves.summaries_of(connection, [row["attempt"] for row in rows])
    return [{**row, "metrics": _spans(told.get(row["attempt"], {}))} for row in rows]


def _spans(told: Mapping[Key, Summary]) -> dict[str, dict[str, Row]]:
    """Stage -> metric -> its least and its greatest finite value."""
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    for (stage, name), each in told.items():
        found[stage][name] = {"best_min": each.least, "best_max": each.greatest}
    return dict(found)
