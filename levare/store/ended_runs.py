"""Runs that have ended, as triggers look at them: jobs and whole pipelines, and the numbers that they told."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, or_, select

from levare.decide.declared import Metric, RunFilter
from levare.decide.happenings import Run, is_of
from levare.decide.pipelines import state_of
from levare.decide.summaries import Summary, together
from levare.model import FINAL, SUCCEEDED
from levare.store import curves
from levare.store.tables import attempts, jobs, metrics, pipelines
from levare.store.tables_triggers import endings
from levare.store.types import is_one_of
from levare.store.views import entries_of

MOST_AT_ONCE = 200
MOST_IN_HISTORY = 5000
_SOME = 50


def noted(connection: Connection) -> tuple[list[Run], list[str]]:
    """What has ended and no trigger has seen yet, in its order, and the ids that note it."""
    rows = connection.execute(_NOTED, {"most": MOST_AT_ONCE}).all()
    wholes = _wholes(connection, {row.pipeline for row in rows if row.pipeline is not None})
    return _in_order([*map(_of_job, rows), *wholes]), [row.id for row in rows]


def forget(connection: Connection, job_ids: Sequence[str]) -> None:
    """The triggers have seen that these have ended."""
    if job_ids:
        connection.execute(_FORGET, {"ids": list(job_ids)})


def history(connection: Connection, wanted: RunFilter, *, since: datetime | None, until: datetime) -> list[Run]:
    """Runs that ended in this time, oldest first; at most so many jobs of them, the newest."""
    query = _ENDED.where(*_conditions(wanted, jobs_only=not wanted.is_of_wholes), jobs.c.finished_at < until)
    if since is not None:
        query = query.where(jobs.c.finished_at >= since)
    rows = connection.execute(query.order_by(jobs.c.finished_at.desc()).limit(MOST_IN_HISTORY)).all()
    wholes = _wholes(connection, {row.pipeline for row in rows if row.pipeline is not None})
    return _in_order(run for run in [*map(_of_job, rows), *wholes] if is_of(wanted, run))


def jobs_in_history(connection: Connection, wanted: RunFilter, *, since: datetime, until: datetime) -> list[Run]:
    """As `history`, but of jobs alone, whether they are steps or not."""
    query = _ENDED.where(*_conditions(wanted), jobs.c.finished_at >= since, jobs.c.finished_at < until)
    rows = connection.execute(query.order_by(jobs.c.finished_at.desc()).limit(MOST_IN_HISTORY)).all()
    return _in_order(map(_of_job, rows))


def last_success(connection: Connection, wanted: RunFilter, *, until: datetime) -> datetime | None:
    """When the last of these runs succeeded that is known."""
    if wanted.is_of_wholes:
        ends = [run.finished_at for run in history(connection, wanted, since=None, until=until) if _is_good(run)]
        return max(ends, default=None)
    query = select(func.max(jobs.c.finished_at)).where(*_conditions(wanted), jobs.c.state == SUCCEEDED)
    return connection.execute(query.where(jobs.c.array_id.is_(None))).scalar_one()


def values_until(connection: Connection, wanted: Metric, run: Run) -> list[float]:
    """The number of each of the last runs that have one, this one being the last, oldest first."""
    found: list[float] = []
    is_until = or_(
        jobs.c.finished_at < run.finished_at, and_(jobs.c.finished_at == run.finished_at, jobs.c.id <= run.id)
    )
    query = _ENDED.where(*_conditions(wanted.of), is_until)
    query = query.order_by(jobs.c.finished_at.desc(), jobs.c.id.desc())
    for row in connection.execute(query.limit(_SOME + 2 * wanted.test.reach)).all():
        value = value_of(connection, wanted, row.id)
        if value is not None:
            found.append(value)
        if len(found) >= wanted.test.reach:
            break
    return found[::-1]


def value_of(connection: Connection, wanted: Metric, job_id: str) -> float | None:
    """The number of one run; None if it told none. Of a gang it is rank 0 that counts."""
    attempt_id = connection.execute(_LATEST.where(jobs.c.id == job_id)).scalar()
    if attempt_id is None:
        return None
    told = curves.summaries_of(connection, [attempt_id], stage=wanted.stage, name=wanted.metric)
    whole = together(list(told.get(attempt_id, {}).values()))
    return _of_whole(whole, wanted.aggregate) if whole else None


def _of_whole(told: Summary, aggregate: str) -> float | None:
    if aggregate == "last":
        return float(told.last)
    values = {"min": told.least, "max": told.greatest, "mean": told.mean if told.finite else None}
    return values[aggregate]


def value_in_window(connection: Connection, wanted: Metric, *, begin: datetime) -> float | None:
    """One number of all that such runs told from then on."""
    is_recent = or_(jobs.c.finished_at.is_(None), jobs.c.finished_at >= begin)
    of_these = _LATEST.where(*_conditions(wanted.of), is_recent)
    return _aggregate(connection, wanted, and_(attempts.c.id.in_(of_these), metrics.c.at >= begin))


def lasted(connection: Connection, trigger: str) -> list[float]:
    """How many seconds the last jobs of a trigger took from their coming to their end."""
    rows = connection.execute(_LASTED, {"of_trigger": trigger}).all()
    return [(row.finished_at - row.created_at).total_seconds() for row in rows]


def _aggregate(connection: Connection, wanted: Metric, of_these: ColumnElement[bool]) -> float | None:
    entries, number = entries_of(connection)
    kept = metrics.join(attempts, attempts.c.id == metrics.c.attempt_id)
    conditions = [of_these, entries.c.key == wanted.metric]
    if wanted.stage is not None:
        conditions.append(func.coalesce(metrics.c.stage, "") == wanted.stage)
    if wanted.aggregate == "last":
        query = select(metrics.c["values"]).select_from(kept, entries).where(*conditions)
        told = connection.execute(query.order_by(metrics.c.at.desc(), metrics.c.offset.desc()).limit(1)).scalar()
        return float(told[wanted.metric]) if told is not None else None
    how = {"min": func.min, "max": func.max, "mean": func.avg}[wanted.aggregate]
    value = connection.execute(select(how(number)).select_from(kept, entries).where(*conditions)).scalar_one()
    return float(value) if value is not None else None


def _conditions(wanted: RunFilter, *, jobs_only: bool = True) -> list[ColumnElement[bool]]:
    """Of the jobs, or of the steps of what may be a whole one that is wanted."""
    said = wanted.said if jobs_only else {key: wanted.said[key] for key in _OF_WHOLES if key in wanted.said}
    return [(pipelines.c.name if key == "pipeline" else jobs.c[key]) == value for key, value in said.items()]


def _of_job(row: Any) -> Run:
    known = {name: getattr(row, name) for name in _KNOWN}
    return Run(**known, pipeline=row.pipeline_name, is_whole=row.pipeline is None)


def _wholes(connection: Connection, ids: Iterable[str]) -> list[Run]:
    """Those of these pipelines whose steps are all over."""
    wanted = sorted(set(ids))
    steps: dict[str, list[Any]] = {pipeline: [] for pipeline in wanted}
    for row in connection.execute(_STEPS, {"ids": wanted}) if wanted else ():
        steps[row.pipeline].append(row)
    return [_whole(rows) for rows in steps.values() if rows and all(row.state in FINAL for row in rows)]


def _whole(rows: Sequence[Any]) -> Run:
    first = rows[0]
    state = state_of((row.state, row.cancel_requested_at is not None) for row in rows)
    failed = [row.step for row in rows if row.state != SUCCEEDED]
    return Run(
        id=first.pipeline,
        name=first.pipeline_name,
        team=_common(rows, "team"),
        project=_common(rows, "project"),
        family=None,
        schedule=first.schedule,
        trigger=first.trigger,
        pipeline=first.pipeline_name,
        is_whole=True,
        state=state,
        reason=f"Steps that did not succeed: {', '.join(failed)}." if failed else "All steps succeeded.",
        finished_at=max(row.finished_at for row in rows),
        parameters=first.parameters,
    )


def _common(rows: Sequence[Any], name: str) -> str | None:
    found = {getattr(row, name) for row in rows}
    return found.pop() if len(found) == 1 else None


def _in_order(runs: Iterable[Run]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.finished_at, run.id))


def _is_good(run: Run) -> bool:
    return run.state == SUCCEEDED


_OF_WHOLES = ("schedule", "trigger", "pipeline")
_KNOWN: Mapping[str, None] = dict.fromkeys(
    ("id", "name", "team", "project", "family", "schedule", "trigger", "state", "reason", "finished_at", "parameters")
)
_ALL = select(
    *(jobs.c[name] for name in _KNOWN),
    jobs.c.pipeline,
    jobs.c.step,
    jobs.c.cancel_requested_at,
    pipelines.c.name.label("pipeline_name"),
)
_FROM = jobs.outerjoin(pipelines, pipelines.c.id == jobs.c.pipeline)
_ENDED = _ALL.select_from(_FROM).where(is_one_of(jobs.c.state, FINAL), jobs.c.array_id.is_(None))
_NOTED = (
    _ALL.select_from(_FROM.join(endings, endings.c.job_id == jobs.c.id))
    .order_by(jobs.c.finished_at, jobs.c.id)
    .limit(bindparam("most"))
)
_FORGET = delete(endings).where(endings.c.job_id.in_(bindparam("ids", expanding=True)))
_STEPS = (
    _ALL.select_from(_FROM)
    .where(jobs.c.pipeline.in_(bindparam("ids", expanding=True)), jobs.c.array_id.is_(None))
    .order_by(jobs.c.created_at, jobs.c.step)
)
_LATEST = (
    select(attempts.c.id)
    .select_from(jobs.join(attempts, and_(attempts.c.job_id == jobs.c.id, attempts.c.number == jobs.c.attempt)))
    .outerjoin(pipelines, pipelines.c.id == jobs.c.pipeline)
    .where(attempts.c.rank == 0, jobs.c.array_id.is_(None))
)
_LASTED = (
    select(jobs.c.created_at, jobs.c.finished_at)
    .where(jobs.c.trigger == bindparam("of_trigger"), jobs.c.state == SUCCEEDED, jobs.c.array_id.is_(None))
    .order_by(jobs.c.finished_at.desc())
    .limit(20)
)
