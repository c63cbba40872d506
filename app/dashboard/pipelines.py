"""Jobs that were submitted together: which needs which, and how far all of it is."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection

from app import veil
from app.dashboard import graph
from app.dashboard.desk import View
from app.dashboard.reasons import hidden_jobs, told_reason
from levare.model import BLOCKED, FINAL, WAITING
from levare.store import explain, ownership, pipelines, views

Row = Mapping[str, Any]

_MOST = 60


def load(view: View) -> dict[str, Any]:
    with view.call.database.reading() as connection:
        rows = pipelines.find(connection, limit=_MOST + 1, seen=view.call.seen)
    return {"pipelines": [_shown(row) for row in rows[:_MOST]], "is_cut": len(rows) > _MOST}


def _shown(row: Row) -> dict[str, Any]:
    steps = row["steps"]
    begun = [step["started_at"] for step in steps if step["started_at"]]
    ended = [step["finished_at"] for step in steps if step["finished_at"]]
    is_final = row["state"] in FINAL
    took = max(ended) - min(begun) if is_final and begun and ended else None
    return {**row, "states": Counter(step["state"] for step in steps).most_common(), "took": took, "is_final": is_final}


def load_one(view: View) -> dict[str, Any]:
    pipeline_id = view.names["pipeline_id"]
    with view.call.database.reading() as connection:
        row = pipelines.pipeline(connection, pipeline_id)
        teams = ownership.of_pipeline(connection, pipeline_id) or frozenset[str]()
        elsewhere = [name for step in row["steps"] for name, _ in graph.needed(step)]
        hidden = ownership.hidden_jobs(connection, elsewhere, view.call.seen) | hidden_jobs(connection, view)
        waits = _waits(connection, view, row["steps"])
    return {
        "title": row["name"],
        "pipeline": _shown(row),
        "steps": [
            {
                **step,
                "reason": veil.without(waits.get(step["job"], step["reason"] or ""), hidden),
                "needed": [pair for pair in graph.needed(step) if pair[0] not in hidden],
            }
            for step in row["steps"]
        ],
        "teams": sorted(teams),
        "drawing": graph.drawn(row["steps"]),
        "box": (graph.BOX_WIDTH, graph.BOX_HEIGHT),
        "mine": view.may_for(teams),
    }


def _waits(connection: Connection, view: View, steps: Sequence[Row]) -> dict[str, str]:
    """Job -> why it has not begun, of the steps that have not."""
    jobs = [views.job(connection, step["job"]) for step in steps if step["state"] in (BLOCKED, WAITING)]
    blocked = explain.blockers(connection, [job for job in jobs if job["state"] == BLOCKED])
    return {job["id"]: told_reason(job, view.stands.get(job["id"]), blocked) for job in jobs}
