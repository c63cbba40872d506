"""Fires: what became of each due instant of a schedule, written in one transaction with its job."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from levare.decide.due import ALLOW, LATEST, RUN, SKIPPED, Fire, OpenRun, Schedule, Settled, stamp
from levare.decide.timing import timing_of
from levare.errors import LevareError
from levare.model import BLOCKED, LIVE, WAITING, Rules
from levare.store import jobs, work
from levare.store.audit import Actor
from levare.store.jobs import Intake
from levare.store.tables import jobs as jobs_table
from levare.store.tables_time import fires, schedules
from levare.store.types import Utc, is_one_of
from levare.store.work import Cause

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Due:
    """A schedule of which something is to fire, and what its fate depends on, as it was read."""

    schedule: Schedule
    definition: Row
    owner: str
    revision: int


def next_at(connection: Connection) -> datetime | None:
    """When the next schedule is to fire."""
    return connection.execute(_NEXT).scalar()


def due(connection: Connection, *, now: datetime, limit: int) -> tuple[list[Due], list[tuple[str, LevareError]]]:
    """
    Schedules that are to fire, the longest overdue first, and what is wrong with those that cannot be understood.

    That may be a time zone that this machine does not know.
    """
    rows = [dict(row) for row in connection.execute(_DUE, {"now": now, "most": limit}).mappings()]
    wanted = [row["name"] for row in rows if row["definition"].get("overlap", ALLOW) != ALLOW]
    runs = open_runs(connection, wanted) if wanted else {}
    found, unreadable = [], []
    for row in rows:
        try:
            found.append(Due(_schedule(row, runs), row["definition"], row["owner"], row["revision"]))
        except LevareError as error:
            unreadable.append((row["name"], error))
    return found, unreadable


def put_off(connection: Connection, name: str, until: datetime) -> None:
    """Have beat look at it no earlier; what is due stays owed."""
    connection.execute(_PUT_OFF, {"of_name": name, "until": until})


def _schedule(row: Row, runs: Mapping[str, Sequence[OpenRun]]) -> Schedule:
    definition = row["definition"]
    lateness = definition.get("max_lateness_seconds")
    return Schedule(
        row["name"],
        timing_of(definition),
        row["settled_to"],
        definition.get("misfire", LATEST),
        None if lateness is None else timedelta(seconds=lateness),
        definition.get("overlap", ALLOW),
        _paused(row) if row["paused_at"] else None,
        runs.get(row["name"], ()),
    )


def _paused(row: Row) -> str:
    why = f": {row['paused_reason'].rstrip('.')}" if row["paused_reason"] else ""
    return f"Paused by {row['paused_by']} since {stamp(row['paused_at'])}{why}."


def open_runs(connection: Connection, names: Sequence[str]) -> dict[str, list[OpenRun]]:
    """Runs of which a job is not final, by their schedules, oldest first."""
    found: dict[tuple[str, datetime | None, str], list[str]] = defaultdict(list)
    for row in connection.execute(_OPEN, {"names": names}):
        found[row.schedule, row.due_at, row.pipeline or row.id].append(row.id)
    runs: dict[str, list[OpenRun]] = defaultdict(list)
    for (schedule, due_at, _), ids in found.items():
        runs[schedule].append(OpenRun(due_at, ids))
    return runs


def write(
    connection: Connection,
    owed: Iterable[tuple[Due, Settled]],
    *,
    epoch: int,
    now: datetime,
    rules: Rules,
    new_id: Callable[[], str],
) -> int:
    """
    Give every instant its row, and what runs its job; return how many rows.

    A schedule that was changed since it was read is left as it is, for the next look. To be called in a leader's
    transaction only.
    """
    rows: list[dict[str, Any]] = []
    intakes: dict[str, Intake] = {}
    for each, settled in owed:
        if _advance(connection, each, settled):
            actor = Actor("", each.owner, source="schedule")
            intake = intakes.setdefault(each.owner, Intake(connection, actor, now=now, rules=rules))
            rows += _rows(intake, each, settled.fires, new_id)
    made = {"decided_at": now, "epoch": epoch}
    if rows:
        connection.execute(insert(fires), [row | made for row in rows])
    return len(rows)


def _advance(connection: Connection, each: Due, settled: Settled) -> bool:
    seen = {"of_name": each.schedule.name, "seen_revision": each.revision, "seen_to": each.schedule.settled_to}
    to = {"to": settled.settled_to, "next_due": settled.due_at, "next_fire": settled.fires_at}
    return bool(connection.execute(_ADVANCE, seen | to).rowcount)


def _rows(intake: Intake, each: Due, decided: Sequence[Fire], new_id: Callable[[], str]) -> list[dict[str, Any]]:
    rows, previous = [], ()
    for fire in decided:
        row = {"schedule": each.schedule.name, "due_at": fire.due_at, "until": fire.until, "outcome": fire.outcome}
        row |= {"reason": fire.reason, "job_id": None, "pipeline": None}
        if fire.outcome == RUN:
            try:
                started = _start(intake, each, fire, previous if fire.after_previous else (), new_id)
            except LevareError as error:
                row |= {"outcome": SKIPPED, "reason": f"It could not be submitted: {error}"}
            else:
                previous = started.jobs
                row |= {"job_id": started.jobs[0], "pipeline": started.pipeline}
        rows.append(row)
    return rows


def _start(intake: Intake, each: Due, fire: Fire, previous: Sequence[str], new_id: Callable[[], str]) -> work.Started:
    with _all_or_nothing(intake.connection, each.definition):
        for job_id in fire.cancels:
            jobs.wish_cancel(intake.connection, job_id, actor=intake.actor, now=intake.now)
        cause = cause_of(each.schedule.name, each.definition, fire.due_at, after=[*fire.after, *previous])
        return work.start(intake, each.definition, cause, new_id=new_id)


def _all_or_nothing(connection: Connection, definition: Row) -> AbstractContextManager[object]:
    """A single job is written last of all, after everything that may refuse it."""
    is_one = "job" in definition and definition.get("overlap") != "replace"
    return nullcontext() if is_one else connection.begin_nested()


def cause_of(name: str, definition: Row, due_at: datetime | None, *, after: Sequence[str] = ()) -> Cause:
    """What the jobs of a run learn: the due time in UTC and as the clocks of its zone show it."""
    env = {}
    if due_at:
        zone = timing_of(definition).zone
        env = {"LEVARE_DUE_AT": f"{due_at:%Y-%m-%dT%H:%M:%SZ}", "LEVARE_DUE_LOCAL": due_at.astimezone(zone).isoformat()}
    parameters = definition.get("parameters", {})
    return Cause(schedule=name, due_at=due_at, parameters=parameters, env=env, after=after)


_NEXT = select(func.min(schedules.c.fires_at))
_DUE = (
    select(schedules)
    .where(schedules.c.fires_at <= bindparam("now", type_=Utc))
    .order_by(schedules.c.fires_at)
    .limit(bindparam("most"))
)
_OPEN = (
    select(jobs_table.c.id, jobs_table.c.schedule, jobs_table.c.due_at, jobs_table.c.pipeline)
    .where(
        jobs_table.c.schedule.in_(bindparam("names", expanding=True)),
        is_one_of(jobs_table.c.state, (BLOCKED, WAITING, *LIVE)),
        jobs_table.c.array_id.is_(None),
    )
    .order_by(jobs_table.c.created_at, jobs_table.c.due_at, jobs_table.c.id)
)
_ADVANCE = (
    update(schedules)
    .where(
        schedules.c.name == bindparam("of_name"),
        schedules.c.revision == bindparam("seen_revision"),
        schedules.c.settled_to == bindparam("seen_to", type_=Utc),
    )
    .values(
        settled_to=bindparam("to", type_=Utc),
        due_at=bindparam("next_due", type_=Utc),
        fires_at=bindparam("next_fire", type_=Utc),
    )
)
_PUT_OFF = (
    update(schedules).where(schedules.c.name == bindparam("of_name")).values(fires_at=bindparam("until", type_=Utc))
)
