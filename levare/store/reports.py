"""What was asked for and used in a time, per family: added up in SQL, so that many attempts cost one pass each."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, and_, case, cast, func, select

from levare.decide.report import Asked, FamilyUse, Used
from levare.model import LIVE, SUCCEEDED
from levare.model.failures import PREEMPTION
from levare.store.tables import attempts, jobs

MOST_FAMILIES = 500

_A, _J = attempts.c, jobs.c
_FROM = attempts.join(jobs, _J.id == _A.job_id)


def use_of_families(
    connection: Connection,
    *,
    since: datetime,
    until: datetime,
    team: str | None,
    family: str | None = None,
    seen: Collection[str] | None = None,
) -> list[FamilyUse]:
    """The families of which an attempt ended in this time, those that held the most GPU-hours first."""
    wanted = [_A.ended_at >= since, _A.ended_at < until, _A.state.not_in(LIVE)]
    wanted += [_J.team == team] if team is not None else []
    wanted += [_J.team.in_(seen)] if seen is not None else []
    wanted += [_J.family == family] if family is not None else []
    condition = and_(*wanted)
    sums = connection.execute(_sums(connection, condition)).mappings().all()
    failed = _failures(connection, condition)
    asked = {row.family: row for row in connection.execute(_newest(condition))}
    used = _percentiles(connection, condition)
    return [_use(row, asked[row["family"]], used[row["family"]], failed.get(row["family"], {})) for row in sums]


def seconds_between(connection: Connection, begin: ColumnElement[Any], end: ColumnElement[Any]) -> ColumnElement[Any]:
    """Of two times, in the dialect of the database."""
    if connection.dialect.name == "sqlite":
        return (func.julianday(end) - func.julianday(begin)) * 86400.0
    return cast(func.extract("epoch", end - begin), Float)


def _sums(connection: Connection, condition: ColumnElement[bool]) -> Any:
    held = seconds_between(connection, _A.placed_at, _A.ended_at) / 3600.0
    gpu_hours = cast(_J.gpus, Float) * held
    wait = case((and_(_A.number == 1, _A.rank == 0), seconds_between(connection, _J.created_at, _A.placed_at)))
    idle = gpu_hours * (1 - func.coalesce(_A.gpu_utilisation_percent, 100.0) / 100.0)
    total = func.sum(gpu_hours)
    return (
        select(
            *(_J.family, func.max(_J.team).label("team"), func.count().label("attempts")),
            func.sum(case((_A.state == SUCCEEDED, 1), else_=0)).label("succeeded"),
            func.sum(case((and_(_A.failure.is_not(None), _A.failure != PREEMPTION), 1), else_=0)).label("failed"),
            *(total.label("gpu_hours"), func.sum(idle).label("idle_hours"), func.avg(wait).label("wait_seconds")),
            *(func.sum(_A.cost).label("cost"), func.sum(_A.energy_joules).label("energy_joules")),
        )
        .select_from(_FROM)
        .where(condition)
        .group_by(_J.family)
        .order_by(total.desc(), func.count().desc(), _J.family)
        .limit(MOST_FAMILIES)
    )


def _failures(connection: Connection, condition: ColumnElement[bool]) -> dict[str, dict[str, int]]:
    query = select(_J.family, _A.failure, func.count().label("times")).select_from(_FROM)
    found: dict[str, dict[str, int]] = defaultdict(dict)
    for row in connection.execute(query.where(condition, _A.failure.is_not(None)).group_by(_J.family, _A.failure)):
        found[row.family][row.failure] = row.times
    return found


def _newest(condition: ColumnElement[bool]) -> Any:
    """What the newest attempt of each family asked for and held, of those that succeeded if there are any."""
    order = (case((_A.state == SUCCEEDED, 0), else_=1), _A.ended_at.desc(), _A.id)
    place = func.row_number().over(partition_by=_J.family, order_by=order).label("place")
    names = ("cpus", "memory_mib", "gpus", "gpu_memory_mib", "timeout_seconds")
    rows = select(_J.family, *(_J[name] for name in names), _A.devices, place).select_from(_FROM).where(condition)
    newest = rows.subquery()
    return select(newest).where(newest.c.place == 1)


def _percentiles(connection: Connection, condition: ColumnElement[bool]) -> dict[str, dict[str, float]]:
    """Of the runs that succeeded: what all but one in a hundred used at most, and what half of them took."""
    seconds = seconds_between(connection, _A.started_at, _A.ended_at)
    busy = _A.cpu_seconds / func.nullif(seconds, 0)
    measures: list[tuple[str, ColumnElement[Any], int]] = [
        ("memory_mib", cast(_A.peak_memory_mib, Float), 100),
        ("gpu_memory_mib", cast(_A.gpu_memory_mib, Float), 100),
        ("gpu_utilisation_percent", _A.gpu_utilisation_percent, 2),
        ("cpus", case((seconds >= 1, busy)), 100),
        ("seconds", seconds, 100),
        ("typical_seconds", seconds, 2),
    ]
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for name, measure, one_in in measures:
        for row in connection.execute(_percentile(condition, measure, one_in)):
            found[row.family][name] = float(row.value)
    return found


def _percentile(condition: ColumnElement[bool], measure: ColumnElement[Any], one_in: int) -> Any:
    """The value of each family that but one in so many of its values exceed."""
    values = (
        select(
            _J.family.label("family"),
            measure.label("value"),
            func.row_number().over(partition_by=_J.family, order_by=measure.desc()).label("place"),
            func.count().over(partition_by=_J.family).label("size"),
        )
        .select_from(_FROM)
        .where(condition, _A.state == SUCCEEDED, measure.is_not(None))
        .subquery()
    )
    return select(values.c.family, values.c.value).where(values.c.place == values.c.size // one_in + 1)


def _use(row: Any, asked: Any, used: Mapping[str, float], failures: Mapping[str, int]) -> FamilyUse:
    names = ("cpus", "memory_mib", "gpu_memory_mib", "gpu_utilisation_percent", "seconds")
    held = list(asked.devices.values())
    sizes = {name: getattr(asked, name) for name in ("cpus", "memory_mib", "gpus", "gpu_memory_mib", "timeout_seconds")}
    return FamilyUse(
        *(row["family"], row["team"], row["attempts"], row["succeeded"], row["failed"]),
        gpu_hours=row["gpu_hours"] or 0.0,
        idle_hours=row["idle_hours"] or 0.0,
        **{name: row[name] for name in ("wait_seconds", "cost", "energy_joules")},
        asked=Asked(**sizes, gpu_total_mib=max(held, default=None)),
        used=Used(**{name: used.get(name) for name in names}),
        typical_seconds=used.get("typical_seconds"),
        failures=dict(failures),
    )
