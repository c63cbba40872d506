"""What trainings told, for readers: each metric in a few numbers, curves for plots, how long a run still takes."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import nan
from typing import Any

from sqlalchemy import Connection, bindparam, func, select

from levare.decide.course import Course, left
from levare.decide.curves import sampled
from levare.decide.summaries import Direction, Summary, best, direction
from levare.model import RUNNING
from levare.store import curves
from levare.store.tables import families, jobs, metrics

Row = Mapping[str, Any]
Goals = Mapping[str, Direction]
"""Which way is better, of metrics whose name does not say it or says it wrong."""

MOST_CURVES = 100
"""In one answer, the first by stage and name."""


def summary(
    connection: Connection,
    attempt_id: str,
    *,
    stage: str | None = None,
    name: str | None = None,
    goals: Goals | None = None,
) -> dict[str, dict[str, Row]]:
    """
    Stage -> metric -> what it came to: exact, whatever was thinned of its points.

    What was told without a stage is under the stage "".
    """
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    known = curves.summaries_of(connection, [attempt_id], stage=stage, name=name).get(attempt_id, {})
    for (of_stage, metric), each in known.items():
        found[of_stage][metric] = trend(metric, each, goals)
    return dict(found)


def trend(name: str, told: Summary, goals: Goals | None = None) -> Row:
    way = direction(name, goals)
    value, step = best(told, way)
    return {
        "last": told.last,
        "last_step": told.last_step,
        "last_at": told.last_at,
        "best": value,
        "best_step": step,
        "direction": way,
        "mean": told.mean if told.finite else None,
        "best_min": told.least,
        "best_max": told.greatest,
        "count": told.count,
        "not_finite": told.count - told.finite,
    }


@dataclass
class _Series:
    """One metric in one stage, point by point."""

    steps: list[int | None]
    rows: list[Any]
    values: list[float | str]

    def points(self, most: int) -> list[Row]:
        ys = [value if isinstance(value, int | float) else nan for value in self.values]
        has_steps = all(step is not None for step in self.steps)
        xs = [float(step or 0) for step in self.steps] if has_steps else [float(place) for place in range(len(ys))]
        return [self._point(place) for place in sampled(xs, ys, most)]

    def _point(self, place: int) -> Row:
        row = self.rows[place]
        return {"step": row.step, "epoch": row.epoch, "at": row.at, "value": self.values[place]}


def plotted(
    connection: Connection, attempt_id: str, *, stage: str | None, name: str | None, most: int
) -> list[dict[str, Any]]:
    """The curves of an attempt, each in at most so many points that look like all of them."""
    series: dict[tuple[str, str], _Series] = {}
    query = _CURVES if stage is None else _CURVES.where(func.coalesce(metrics.c.stage, "") == stage)
    for row in connection.execution_options(yield_per=1000).execute(query, {"attempt": attempt_id}):
        for metric, value in row._mapping["values"].items():  # noqa: SLF001 - a row has a method of this name
            if name is None or metric == name:
                _add(series, (row.stage or "", metric), row, value)
    return [
        {"stage": of_stage, "name": metric, "points": series[of_stage, metric].points(most)}
        for of_stage, metric in sorted(series)[:MOST_CURVES]
    ]


def _add(series: dict[tuple[str, str], _Series], key: tuple[str, str], row: Any, value: float | str) -> None:
    known = series.get(key)
    if known is None:
        known = series[key] = _Series([], [], [])
    known.steps.append(row.step)
    known.rows.append(row)
    known.values.append(value)


def thinning(connection: Connection, attempt: Row) -> Row | None:
    """How many points of an attempt are kept of how many; None while all are."""
    kept, window = curves.kept_of(connection, attempt["id"])
    return None if window is None else {"told": attempt["points"], "kept": kept, "window_bytes": window}


def params(connection: Connection, attempt_id: str) -> Row:
    """What an attempt told that it was given."""
    course = curves.courses_of(connection, [attempt_id]).get(attempt_id)
    return dict(course.params) if course else {}


def with_left(connection: Connection, rows: Sequence[Row], *, now: datetime) -> list[Row]:
    """Jobs with where their progress is taken from, and, of those that run, how long they still take."""
    live = {row["id"]: f"{row['id']}-{row['attempt']}" for row in rows if row["progress"] is not None or _runs(row)}
    if not live:
        return [*rows]
    courses = curves.courses_of(connection, list(live.values()))
    learned = _learned(connection, [row for row in rows if _runs(row)])
    return [_with_left(row, courses.get(live[row["id"]]), learned, now) if row["id"] in live else row for row in rows]


def _runs(row: Row) -> bool:
    return row["state"] == RUNNING and row["array"] is None


def _learned(connection: Connection, running: Sequence[Row]) -> Mapping[str, Sequence[float]]:
    """Job -> how long the runs of its family took."""
    ids = [row["id"] for row in running]
    return {row.id: row.seconds for row in connection.execute(_LEARNED, {"jobs": ids})} if ids else {}


def _with_left(row: Row, course: Course | None, learned: Mapping[str, Sequence[float]], now: datetime) -> Row:
    source = None if row["progress"] is None else (course.source if course and course.source else "told")
    found = None
    if _runs(row):
        found = left(course, learned.get(row["id"], ()), started_at=row["started_at"], now=now)
    return {
        **row,
        "progress_from": source,
        "left_seconds": None if found is None else round(found.seconds, 1),
        "left_from": None if found is None else found.basis,
    }


_CURVES = select(metrics).where(metrics.c.attempt_id == bindparam("attempt")).order_by(metrics.c.offset)
_LEARNED = (
    select(jobs.c.id, families.c.seconds)
    .join(families, families.c.name == jobs.c.family)
    .where(jobs.c.id.in_(bindparam("jobs", expanding=True)))
)
