"""
What attempts have used, charged when they are settled.

`use` fades: a row holds what was left of it at its `as_of`, and what is added later or earlier is faded to the later
of the two moments. `use_days` only grows. An attempt uses what it holds from when it is placed until it has ended, for
nobody else can use that meanwhile.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select, tuple_, update

from levare.decide.use import GPUS_PER_CPU, accrued, by_day, fading, gpus_held
from levare.store.tables import devices, jobs, use, use_days
from levare.store.types import Utc
from levare.store.upsert import upsert

Whose = tuple[str, str, str]
"""Team, project and user."""


@dataclass(frozen=True)
class _Used:
    """What one attempt held, and from when until when."""

    whose: Whose
    gpus: float
    cpus: int
    start: datetime
    end: datetime

    def left_at(self, moment: datetime, half_life: timedelta) -> float:
        """What is left of it at a moment after its end, in weighted GPU-seconds."""
        rate = self.gpus + GPUS_PER_CPU * self.cpus
        return accrued(rate, self.end - self.start, half_life) * fading(moment - self.end, half_life)


def charge(connection: Connection, settled: Sequence[Any], *, half_life: timedelta, now: datetime) -> None:
    """
    Add what these attempts have used to the accounts of their jobs.

    They are rows with job_id, devices, cpus, placed_at and ended_at that this transaction, and no other, has settled.
    """
    if settled:
        used = _used(connection, settled, now)
        _add_to_use(connection, used, half_life)
        _add_to_days(connection, used)


def _used(connection: Connection, settled: Sequence[Any], now: datetime) -> list[_Used]:
    memory_mib: dict[str, int] = dict(
        connection.execute(_DEVICES, {"uuids": sorted({uuid for row in settled for uuid in row.devices})}).all()
    )
    asked = {"jobs": list({row.job_id for row in settled})}
    owners = {row.id: (row.team, row.project, row.user) for row in connection.execute(_OWNERS, asked)}
    return [_used_by(row, owners[row.job_id], memory_mib, now) for row in settled]


def _used_by(row: Any, whose: Whose, memory_mib: Mapping[str, int], now: datetime) -> _Used:
    """A node's clock may be wrong, so an end is believed only between its start and now."""
    end = max(row.placed_at, min(row.ended_at or now, now))
    return _Used(whose, gpus_held(row.devices, memory_mib), row.cpus, row.placed_at, end)


def _add_to_use(connection: Connection, used: Sequence[_Used], half_life: timedelta) -> None:
    """The rows are locked in one order, so that two who charge the same accounts wait, and do not block, each other."""
    by_whose = _grouped(used)
    beginning = [_keys(whose) | {"use": 0.0, "as_of": runs[0].end} for whose, runs in by_whose.items()]
    _BEGIN.run(connection, beginning)
    rows = connection.execute(_LOCKED, {"whose": list(by_whose)}).all()
    changed = [_added(row, by_whose[row.team, row.project, row.user], half_life) for row in rows]
    connection.execute(_SET, changed)


def _added(row: Any, runs: Sequence[_Used], half_life: timedelta) -> dict[str, Any]:
    as_of = max(row.as_of, *(run.end for run in runs))
    before = row.use * fading(as_of - row.as_of, half_life)
    added = sum(run.left_at(as_of, half_life) for run in runs)
    return {"of_team": row.team, "of_project": row.project, "of_user": row.user, "new": before + added, "at": as_of}


def _add_to_days(connection: Connection, used: Sequence[_Used]) -> None:
    """The attempt itself counts on the day on which it ended."""
    days: dict[tuple[Whose, str], list[float]] = defaultdict(lambda: [0.0, 0.0, 0])
    for run in used:
        for day, seconds in by_day(run.start, run.end):
            sums = days[run.whose, day]
            sums[0] += run.gpus * seconds
            sums[1] += run.cpus * seconds
        days[run.whose, run.end.date().isoformat()][2] += 1
    names = ("gpu_seconds", "cpu_seconds", "attempts")
    rows = [
        _keys(whose) | {"day": day} | dict(zip(names, sums, strict=True)) for (whose, day), sums in sorted(days.items())
    ]
    _ADD_DAYS.run(connection, rows)


def _grouped(used: Sequence[_Used]) -> dict[Whose, list[_Used]]:
    grouped: dict[Whose, list[_Used]] = defaultdict(list)
    for run in sorted(used, key=lambda run: run.whose):
        grouped[run.whose].append(run)
    return grouped


def _keys(whose: Whose) -> dict[str, Any]:
    return dict(zip(("team", "project", "user"), whose, strict=True))


_WHOSE = (use.c.team, use.c.project, use.c.user)
_DEVICES = select(devices.c.uuid, devices.c.memory_mib).where(devices.c.uuid.in_(bindparam("uuids", expanding=True)))
_OWNERS = select(jobs.c.id, jobs.c.team, jobs.c.project, jobs.c.user).where(
    jobs.c.id.in_(bindparam("jobs", expanding=True))
)
_BEGIN = upsert(use)
_LOCKED = select(use).where(tuple_(*_WHOSE).in_(bindparam("whose", expanding=True))).order_by(*_WHOSE).with_for_update()
_SET = (
    update(use)
    .where(*(column == bindparam(f"of_{column.name}") for column in _WHOSE))
    .values(use=bindparam("new"), as_of=bindparam("at", type_=Utc))
)
_ADD_DAYS = upsert(use_days, adding=("gpu_seconds", "cpu_seconds", "attempts"))
