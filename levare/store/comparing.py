"""Attempts beside each other: of jobs that are named, or the last runs of a schedule or family."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, select

from levare.decide.summaries import Direction, Summary, direction
from levare.store import curves, views
from levare.store.tables import attempts, jobs
from levare.store.trends import Goals, trend

Row = Mapping[Any, Any]


@dataclass(frozen=True)
class Compared:
    """Attempts of jobs, and what each told of the same metrics."""

    runs: Sequence[Row]
    metrics: Sequence[Row]


def compared(
    connection: Connection, found: Sequence[Row], *, stage: str | None, name: str | None, goals: Goals | None
) -> Compared:
    """These attempts (as `of_jobs` or `of_work` give them) beside each other, metric by metric."""
    ids = [row["attempt"] for row in found]
    told = curves.summaries_of(connection, ids, stage=stage, name=name)
    courses = curves.courses_of(connection, ids)
    keys = sorted({key for summaries in told.values() for key in summaries})
    runs = [
        {**row, "params": dict(courses[row["attempt"]].params) if row["attempt"] in courses else {}} for row in found
    ]
    return Compared(runs, [_side_by_side(key, [told.get(each, {}).get(key) for each in ids], goals) for key in keys])


def _side_by_side(key: tuple[str, str], told: Sequence[Summary | None], goals: Goals | None) -> Row:
    stage, name = key
    way = direction(name, goals)
    trends = [None if each is None else trend(name, each, goals) for each in told]
    return {"stage": stage, "name": name, "direction": way, "best_run": _best_of(trends, way), "runs": trends}


def _best_of(trends: Sequence[Row | None], way: Direction | None) -> int | None:
    """Which of them, from 0; None where nobody can tell, or there is nothing to choose."""
    known = [(each["best"], place) for place, each in enumerate(trends) if each and each["best"] is not None]
    if way is None or len(known) < 2:  # noqa: PLR2004 - one alone is no best
        return None
    return (min if way == "min" else max)(known, key=lambda pair: pair[0])[1]


def of_jobs(connection: Connection, wanted: Iterable[tuple[str, int | None]]) -> list[Row]:
    """The latest attempts of these jobs, or those of this number; a job without any is there without one."""
    rows = []
    for job_id, number in wanted:
        job, attempt = views.job(connection, job_id), views.attempt(connection, job_id, number)
        rows.append(_run(job, attempt))
    return rows


def of_work(
    connection: Connection, *, schedule: str | None, family: str | None, most: int, seen: Collection[str] | None = None
) -> list[Row]:
    """The last runs of a schedule or family that have started, oldest first."""
    query = _RUNS.where(jobs.c.schedule == schedule) if schedule is not None else _RUNS
    if family is not None:
        query = query.where(jobs.c.family == family)
    if seen is not None:
        query = query.where(jobs.c.team.in_(seen))
    rows = connection.execute(query.limit(most)).mappings().all()
    return [_run(row, {**row, "id": row["attempt_id"]}) for row in reversed(rows)]


def _run(job: Row, attempt: Row | None) -> Row:
    begun, ended = (attempt["started_at"], attempt["ended_at"]) if attempt else (None, None)
    return {
        "job": job["id"],
        "name": job["name"],
        "attempt": attempt["id"] if attempt else "",
        "state": job["state"],
        "started_at": begun,
        "seconds": (ended - begun).total_seconds() if begun and ended else None,
        "parameters": job["parameters"],
    }


_RUNS = (
    select(
        *(jobs.c[name] for name in ("id", "name", "state", "parameters")),
        attempts.c.id.label("attempt_id"),
        attempts.c.started_at,
        attempts.c.ended_at,
    )
    .select_from(
        jobs.join(
            attempts,
            and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt, attempts.c.rank == 0),
        )
    )
    .where(attempts.c.started_at.is_not(None))
    .order_by(jobs.c.created_at.desc(), jobs.c.id.desc())
)
