"""What a worker ships while an attempt runs: pieces of its log, lines of its metrics, each once."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from levare.model import LIVE
from levare.store import curves
from levare.store.tables import attempts, jobs, logs, metrics
from levare.store.types import Utc, is_one_of


@dataclass(frozen=True)
class Point:
    """One line of a metrics file; `offset` is where the line begins."""

    offset: int
    at: datetime
    stage: str | None
    step: int | None
    epoch: float | None
    values: dict[str, float | str]


@dataclass
class Points:
    """A stretch of a metrics file, read from `begin` to `end`."""

    begin: int
    end: int
    points: list[Point] = field(default_factory=list)
    dropped: int = 0
    progress: float | None = None
    params: dict[str, str | float | bool] = field(default_factory=dict)
    read_at: datetime | None = None


def log_position(connection: Connection, attempt_id: str) -> int:
    """Up to where the log of an attempt has been shipped."""
    end = func.max(logs.c.offset + func.length(logs.c.data))
    return connection.execute(select(end).where(logs.c.attempt_id == attempt_id)).scalar() or 0


def metrics_position(connection: Connection, attempt_id: str) -> tuple[int, int]:
    """Up to which byte its metrics have been shipped, and how many points of it are kept."""
    offset = connection.execute(select(attempts.c.metrics_offset).where(attempts.c.id == attempt_id)).scalar_one()
    return offset, curves.kept_of(connection, attempt_id)[0]


def append_log(connection: Connection, attempt_id: str, pieces: Sequence[tuple[int, bytes]], *, size: int) -> None:
    """Add pieces (offset, bytes) that lie behind all that was shipped, and say how much was written in all."""
    rows = [{"attempt_id": attempt_id, "offset": offset, "data": data} for offset, data in pieces]
    if rows:
        connection.execute(insert(logs), rows)
    connection.execute(update(attempts).where(attempts.c.id == attempt_id).values(log_bytes=size))


def drop_log(connection: Connection, attempt_id: str, *, begin: int, end: int) -> None:
    """Give back the pieces that begin in [begin, end)."""
    inside = and_(logs.c.attempt_id == attempt_id, logs.c.offset >= begin, logs.c.offset < end)
    connection.execute(delete(logs).where(inside))


def saved(connection: Connection, attempt_id: str, *, at: datetime) -> None:
    """A live attempt has saved a checkpoint."""
    connection.execute(_SAVED, {"attempt": attempt_id, "at": at})


def append_points(connection: Connection, attempt_id: str, read: Points) -> bool:
    """
    Add what was read and sum it up, unless somebody has shipped that stretch already: then False, and nothing is done.

    Of an attempt that has been thinned, what belongs to no curve of that resolution is summed up and not kept.
    """
    values = {"attempt": attempt_id, "begin": read.begin, "end": read.end, "more": len(read.points)}
    advanced = connection.execute(_ADVANCE, values | {"bad": read.dropped}).one_or_none()
    if advanced is None:
        return False
    if not read.points and read.progress is None and not read.params:
        return True
    now = read.read_at or max((point.at for point in read.points), default=datetime.now(UTC))
    news = curves.news_of(read.points, read.progress, read.params, now)
    kept, course = curves.note(connection, attempt_id, read.points, news)
    if kept:
        connection.execute(insert(metrics), [{"attempt_id": attempt_id, **vars(point)} for point in kept])
    if course.progress is not None:
        connection.execute(_PROGRESS, {"job": advanced.job_id, "now_done": course.progress})
    return True


_ADVANCE = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"), attempts.c.metrics_offset == bindparam("begin"))
    .values(
        metrics_offset=bindparam("end"),
        points=attempts.c.points + bindparam("more"),
        points_dropped=attempts.c.points_dropped + bindparam("bad"),
    )
    .returning(attempts.c.job_id)
)
_PROGRESS = (
    update(jobs)
    .where(jobs.c.id == bindparam("job"), jobs.c.progress.is_distinct_from(bindparam("now_done")))
    .values(progress=bindparam("now_done"))
)
_SAVED = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"), is_one_of(attempts.c.state, LIVE))
    .values(safe_at=bindparam("at", type_=Utc))
)
