"""What successful runs of each family came to, for those that come after; a bounded number of each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from levare.decide.alerts.facts import Profile, Summary
from levare.store import families
from levare.store.tables_alerts import run_summaries

KEPT = 50
READ = 20
"""So many of the last are compared with."""


def profiles(connection: Connection, names: Iterable[str]) -> dict[str, Profile]:
    """What is known of these families."""
    wanted = sorted(set(names))
    known = families.known(connection, wanted)
    return {
        name: Profile(known[name].seconds if name in known else (), _last(connection, name, READ)) for name in wanted
    }


def _last(connection: Connection, family: str, most: int) -> list[Summary]:
    rows = connection.execute(_LAST, {"of_family": family, "most": most}).scalars().all()
    return [_read(row) for row in rows][::-1]


def keep(connection: Connection, job_id: str, family: str, summary: Summary, *, ended_at: datetime) -> None:
    """Of a job that has one it stays as it is."""
    row = {"job_id": job_id, "family": family, "ended_at": ended_at, "summary": _written(summary)}
    connection.execute(_INSERTS[connection.dialect.name], row)
    connection.execute(_PRUNE, {"of_family": family, "most": KEPT})


def between(connection: Connection, since: datetime, until: datetime, *, limit: int) -> Sequence[Any]:
    """Rows of runs that ended in this time, with `summary` read, oldest first."""
    found = connection.execute(
        select(run_summaries)
        .where(run_summaries.c.ended_at >= since, run_summaries.c.ended_at < until)
        .order_by(run_summaries.c.number.desc())
        .limit(limit)
    ).mappings()
    return [{**row, "summary": _read(row["summary"])} for row in found][::-1]


def _written(summary: Summary) -> dict[str, Any]:
    metrics = [[*key, *values] for key, values in sorted(summary.metrics.items())]
    plain = {"startup": summary.startup, "gap": summary.gap, "intervals": dict(summary.intervals)}
    return {**plain, "metrics": metrics}


def _read(row: Mapping[str, Any]) -> Summary:
    metrics = {(stage, name): (last, least, greatest) for stage, name, last, least, greatest in row["metrics"]}
    return Summary(row["startup"], row["gap"], row["intervals"], metrics)


_OF_FAMILY = run_summaries.c.family == bindparam("of_family")
_LAST = (
    select(run_summaries.c.summary).where(_OF_FAMILY).order_by(run_summaries.c.number.desc()).limit(bindparam("most"))
)
_INSERTS: Mapping[str, Any] = {
    "sqlite": sqlite.insert(run_summaries).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(run_summaries).on_conflict_do_nothing(),
}
_KEPT = (
    select(run_summaries.c.number)
    .where(_OF_FAMILY)
    .order_by(run_summaries.c.number.desc())
    .limit(bindparam("most"))
    .subquery()
)
_PRUNE = delete(run_summaries).where(
    _OF_FAMILY, run_summaries.c.number < select(func.min(_KEPT.c.number)).scalar_subquery()
)
