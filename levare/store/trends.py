"""How the runs of a family went one after the other: how long, how well, at what cost."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from levare.errors import NotFound
from levare.model import LIVE
from levare.store.reports import seconds_between
from levare.store.tables import attempts, jobs, metrics
from levare.store.views import MOST_NAMES, entries_of

Row = Mapping[str, Any]
MOST_POINTS = 20_000
"""Of runs that told more points than this the best values are not looked for here."""

_A, _J = attempts.c, jobs.c


def runs(connection: Connection, family: str, *, since: datetime | None, schedule: str | None, limit: int) -> list[Row]:
    """Attempts that have ended, the newest first, each with the best values of its metrics."""
    wait = seconds_between(connection, _J.created_at, _A.placed_at).label("wait_seconds")
    lasted = seconds_between(connection, _A.started_at, _A.ended_at).label("seconds")
    names = ("number", "rank", "state", "failure", "node", "ended_at", "cost", "energy_joules", "points")
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
    best = _best(connection, [row["attempt"] for row in rows if 0 < row["points"] <= MOST_POINTS])
    return [{**row, "metrics": best.get(row["attempt"], {})} for row in rows]


def _best(connection: Connection, attempt_ids: Sequence[str]) -> dict[str, dict[str, dict[str, Row]]]:
    """Attempt -> stage -> metric -> its least and its greatest finite value."""
    found: dict[str, dict[str, dict[str, Row]]] = defaultdict(lambda: defaultdict(dict))
    if not attempt_ids:
        return found
    entries, number = entries_of(connection)
    least, most = func.min(number).label("best_min"), func.max(number).label("best_max")
    query = (
        select(metrics.c.attempt_id, metrics.c.stage, entries.c.key, least, most)
        .where(metrics.c.attempt_id.in_(attempt_ids))
        .group_by(metrics.c.attempt_id, metrics.c.stage, entries.c.key)
        .limit(MOST_NAMES)
    )
    for row in connection.execute(query):
        value = {"best_min": row.best_min, "best_max": row.best_max}
        found[row.attempt_id][row.stage or ""][row.key] = value
    return found
