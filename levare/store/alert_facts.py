"""What rules of alerts read: bounded by what runs and by what has ended since the last look, not by the past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select

from levare.decide.alerts.facts import Job, Over, Point, Waiting
from levare.decide.amounts import counted
from levare.model import FAILED, LIVE, RUNNING, SUCCEEDED, WAITING
from levare.store.tables import attempts, devices, jobs, logs, metrics, nodes
from levare.store.tables_alerts import alert_endings
from levare.store.types import Utc, is_one_of

MOST_ENDINGS = 500
MOST_WAITING = 100
MOST_POINTS = 500
"""Of an attempt at one look, the newest."""
MOST_PIECES = 4
MOST_OF_A_RUN = 20_000
"""So many of the last points of a run say what it came to."""


@dataclass(frozen=True)
class Running:
    """An attempt that runs, of a gang the one of rank 0, as SQL has it."""

    job: Job
    attempt: str
    node: str
    devices: Mapping[str, int]
    started_at: datetime
    saved_at: datetime | None
    points: int
    log_bytes: int


@dataclass(frozen=True)
class Ended:
    over: Over
    run: Running | None
    """Its last attempt, if it ever began."""


def running(connection: Connection) -> list[Running]:
    """What runs and nobody has told to end."""
    return [_running(row) for row in connection.execute(_RUNNING)]


def ended(connection: Connection) -> list[Ended]:
    """What has ended and no rule has looked at, in its order."""
    return [_ended(row) for row in connection.execute(_ENDED, {"most": MOST_ENDINGS})]


def settling(connection: Connection) -> frozenset[str]:
    """Jobs whose attempt has ended, and of which nobody has decided yet what becomes of them."""
    return frozenset(connection.execute(_SETTLING).scalars())


def forget(connection: Connection, job_ids: Sequence[str]) -> None:
    """The rules have looked at these."""
    if job_ids:
        connection.execute(_FORGET, {"ids": list(job_ids)})


def note_endings(connection: Connection, job_ids: Sequence[str]) -> None:
    """Of these jobs, note those that have succeeded or failed now."""
    if job_ids:
        connection.execute(_NOTE, {"ids": list(job_ids)})


def points(connection: Connection, attempt: str, *, after: int, most: int = MOST_POINTS) -> list[tuple[int, Point]]:
    """The newest lines of metrics behind this offset, oldest first, each with its offset."""
    rows = connection.execute(_POINTS, {"attempt": attempt, "after": after, "most": most}).all()
    return [(row.offset, _point(row)) for row in rows][::-1]


def log_end(connection: Connection, attempt: str) -> int:
    """Where the last piece of a log begins; -1 before any."""
    found = connection.execute(_LOG_END, {"attempt": attempt}).scalar()
    return -1 if found is None else found


def log_pieces(connection: Connection, attempt: str, *, after: int) -> list[tuple[int, bytes]]:
    """The next pieces of a log that begin behind this offset."""
    rows = connection.execute(_PIECES, {"attempt": attempt, "after": after, "most": MOST_PIECES})
    return [(row.offset, row.data) for row in rows]


def waiting(connection: Connection, *, before: datetime) -> list[Waiting]:
    """Jobs that have waited since before then for their first attempt, longest first; a bounded number."""
    found = connection.execute(_WAITING, {"before": before, "most": MOST_WAITING})
    return [Waiting(job=_job(row), since=_since(row), asks=_asks(row)) for row in found]


def nodes_of(connection: Connection) -> Sequence[Any]:
    """Name, state, renewals and when its lease was last renewed of each node."""
    return connection.execute(_NODES).all()


def cards(connection: Connection) -> Mapping[str, Any]:
    """UUID -> node, number and whether it is simulated."""
    return {row.uuid: row for row in connection.execute(_CARDS)}


def _running(row: Any) -> Running:
    return Running(
        _job(row),
        row.attempt_id,
        row.node,
        row.devices,
        row.started_at or row.placed_at,
        row.safe_at,
        row.points,
        row.log_bytes,
    )


def _ended(row: Any) -> Ended:
    run = _running(row) if row.attempt_id and row.placed_at else None
    took = (row.ended_at - row.started_at).total_seconds() if row.ended_at and row.started_at else None
    over = Over(
        job=_job(row),
        state=row.job_state,
        reason=row.reason or "",
        at=row.finished_at,
        attempts=max(row.number, 1),
        seconds=took,
        exit_code=row.exit_code,
        node=row.node,
        failure=row.failure,
    )
    return Ended(over, run)


def _job(row: Any) -> Job:
    return Job(
        id=row.id,
        name=row.name,
        team=row.team,
        project=row.project,
        family=row.family,
        user=row.user,
        schedule=row.schedule,
        trigger=row.trigger,
        array=row.array_id,
    )


def _point(row: Any) -> Point:
    values = {name: float(value) for name, value in row._mapping["values"].items()}  # noqa: SLF001 - a row has its own `values`
    return Point(row.at, row.stage or "", row.step, values)


def _since(row: Any) -> datetime:
    return max(row.created_at, row.start_after or row.created_at)


def _asks(row: Any) -> str:
    parts = [counted(row.gpus, "GPU")] if row.gpus else []
    parts += [counted(row.cpus, "CPU")]
    return " and ".join(parts) + (f" on each of {row.nodes} nodes" if row.nodes > 1 else "")


_J, _A = jobs.c, attempts.c
_OF_JOB = ("id", "name", "team", "project", "family", "user", "schedule", "trigger", "array_id")
_OF_ATTEMPT = ("node", "devices", "placed_at", "started_at", "safe_at", "points", "log_bytes")
_WHOSE = [_J[name] for name in _OF_JOB]
_WHICH = [_A.id.label("attempt_id"), *(_A[name] for name in _OF_ATTEMPT)]
_LATEST = and_(_A.job_id == _J.id, _A.number == _J.attempt, _A.rank == 0)
_RUNNING = (
    select(*_WHOSE, *_WHICH)
    .select_from(attempts.join(jobs, _LATEST))
    .where(_A.state == RUNNING, _A.preempted_at.is_(None), _J.cancel_requested_at.is_(None))
)
_SETTLING = select(_A.job_id).where(_A.settled.is_(False), ~is_one_of(_A.state, LIVE))
_ENDED = (
    select(
        *_WHOSE,
        *_WHICH,
        _J.state.label("job_state"),
        _J.reason,
        _J.finished_at,
        _J.exit_code,
        _J.attempt.label("number"),
        _A.ended_at,
        _A.failure,
    )
    .select_from(alert_endings.join(jobs, _J.id == alert_endings.c.job_id).outerjoin(attempts, _LATEST))
    .order_by(_J.finished_at, _J.id)
    .limit(bindparam("most"))
)
_FORGET = delete(alert_endings).where(alert_endings.c.job_id.in_(bindparam("ids", expanding=True)))
_NOTE = insert(alert_endings).from_select(
    ["job_id"],
    select(_J.id).where(
        _J.id.in_(bindparam("ids", expanding=True)),
        is_one_of(_J.state, (SUCCEEDED, FAILED)),
        ~select(alert_endings.c.job_id).where(alert_endings.c.job_id == _J.id).correlate(jobs).exists(),
    ),
)
_M = metrics.c
_POINTS = (
    select(_M.offset, _M.at, _M.stage, _M.step, _M["values"])
    .where(_M.attempt_id == bindparam("attempt"), _M.offset > bindparam("after"))
    .order_by(_M.offset.desc())
    .limit(bindparam("most"))
)
_LOG_END = select(func.max(logs.c.offset)).where(logs.c.attempt_id == bindparam("attempt"))
_PIECES = (
    select(logs.c.offset, logs.c.data)
    .where(logs.c.attempt_id == bindparam("attempt"), logs.c.offset > bindparam("after"))
    .order_by(logs.c.offset)
    .limit(bindparam("most"))
)
_WAITING = (
    select(*_WHOSE, *(_J[name] for name in ("created_at", "start_after", "gpus", "cpus", "nodes")))
    .where(
        _J.state == WAITING,
        _J.attempt == 0,
        _J.created_at <= bindparam("before", type_=Utc),
        _J.array_size.is_(None),
    )
    .order_by(_J.created_at, _J.id)
    .limit(bindparam("most"))
)
_NODES = select(nodes.c.name, nodes.c.state, nodes.c.renewals, nodes.c.renewed_at).order_by(nodes.c.name)
_CARDS = select(devices.c.uuid, devices.c.node, devices.c["index"], devices.c.simulated)
