"""The past as it really was, for a replay: what was asked for and when, and which attempts there were of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, bindparam, func, or_, select

from levare.decide.durations import corrected
from levare.errors import Contradiction, Fault
from levare.model import BLOCKED, FINAL, LIVE, LOST, PREEMPTED, SUCCEEDED, WAITING, DayWindow, Duration
from levare.model.past import Course, PastJob, Stay
from levare.store.asked import request_of
from levare.store.declared import in_parts
from levare.store.expectations import Expectations, Histories
from levare.store.tables import attempts, jobs, needs
from levare.store.types import Utc, is_one_of

MOST_JOBS = 20_000
_NOTHING = timedelta()


@dataclass(frozen=True)
class Past:
    """The jobs, how it really went, and how many jobs are left out as nothing tells how long they take."""

    jobs: Sequence[PastJob]
    course: Course
    untold: int


def load(connection: Connection, *, begin: datetime, until: datetime) -> Past:
    """
    What came before `until` and had not ended at `begin`; what was cancelled before it began is no part of it.

    Raise Contradiction if that is too much for one replay.
    """
    _refuse_too_many(connection, begin, until)
    asked = {"begin": begin, "until": until}
    rows = connection.execute(_JOBS, asked).all()
    tries = _tries(connection, [row.id for row in rows], until)
    after = _after(connection, rows)
    expectations = Histories().read(connection, {row.family for row in rows if row.state not in FINAL})
    told = [row for row in rows if _has_a_length(row, tries, expectations)]
    past = [_job(row, tries.get(row.id, ()), after.get(row.id, ()), expectations, until) for row in told]
    stays = [stay for job in past for stay in _stays(job, tries.get(job.id, ()))]
    return Past(past, Course(stays, _ready(past, told), until), len(rows) - len(told))


@dataclass(frozen=True)
class _Try:
    """An attempt, or all parts of one of a gang."""

    held: tuple[tuple[str, Mapping[str, int]], ...]
    began: datetime
    ended: datetime
    state: str
    safe_at: datetime | None
    progress: float | None

    @property
    def lasted(self) -> timedelta:
        return max(self.ended - self.began, _NOTHING)

    @property
    def kept(self) -> timedelta:
        """What was not thrown away of it."""
        if self.state not in (PREEMPTED, LOST):
            return self.lasted
        return _NOTHING if self.safe_at is None else max(min(self.safe_at, self.ended) - self.began, _NOTHING)


def _refuse_too_many(connection: Connection, begin: datetime, until: datetime) -> None:
    count = connection.execute(_COUNT, {"begin": begin, "until": until}).scalar_one()
    if count > MOST_JOBS:
        fault = Fault("since", "is so long ago that it brings too many jobs", count, f"at most {MOST_JOBS}")
        raise Contradiction("That is too much for one simulation.", "Give a later `since`.", [fault])


def _tries(connection: Connection, job_ids: Sequence[str], until: datetime) -> dict[str, list[_Try]]:
    parts: dict[tuple[str, int], list[Any]] = defaultdict(list)
    for row in in_parts(connection, _ATTEMPTS, job_ids):
        if row.placed_at < until:
            parts[row.job_id, row.number].append(row)
    found: dict[str, list[_Try]] = defaultdict(list)
    for (job_id, _), rows in sorted(parts.items()):
        found[job_id].append(_try(rows, until))
    return found


def _try(rows: Sequence[Any], until: datetime) -> _Try:
    """A node's clock may be wrong, so an end is believed only between the start and the time that is looked at."""
    first = min(rows, key=lambda row: row.rank)
    began = min(row.placed_at for row in rows)
    ended = max(began, min(max(row.ended_at or until for row in rows), until))
    held = tuple((row.node, row.devices) for row in sorted(rows, key=lambda row: row.rank))
    return _Try(held, began, ended, first.state, first.safe_at, first.progress)


def _after(connection: Connection, rows: Sequence[Any]) -> Mapping[str, tuple[str, ...]]:
    """What each needed; an element of an array with a cap waits for the one that is so many before it."""
    found: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for row in in_parts(connection, _NEEDS, [row.id for row in rows]):
        found[row.job_id] += (row.needed_id,)
    arrays = sorted({row.array_id for row in rows if row.array_id})
    caps = {row.id: row.array_cap for row in in_parts(connection, _CAPS, arrays)}
    for row in rows:
        if row.array_id and (cap := caps.get(row.array_id)) and row.array_index >= cap:
            found[row.id] += (f"{row.array_id}_{row.array_index - cap}",)
    return found


def _has_a_length(row: Any, tries: Mapping[str, Sequence[_Try]], expectations: Expectations) -> bool:
    return bool(tries.get(row.id)) or (row.state not in FINAL and expectations.of(row) is not None)


def _job(
    row: Any, tries: Sequence[_Try], after: tuple[str, ...], expectations: Expectations, until: datetime
) -> PastJob:
    limit = None if row.timeout_seconds is None else timedelta(seconds=row.timeout_seconds)
    is_over = row.state in FINAL and (row.finished_at is None or row.finished_at <= until)
    return PastJob(
        row.id,
        request_of(row),
        row.priority,
        max(row.created_at, row.start_after or row.created_at),
        _work(tries) if is_over else _whole(tries, expectations.of(row), limit),
        row.team,
        row.project,
        row.user,
        row.family,
        limit,
        timedelta(seconds=row.min_runtime_seconds),
        row.preemptible,
        any(each.safe_at is not None for each in tries),
        row.state == SUCCEEDED,
        DayWindow.parse(row.only_between) if row.only_between else None,
        after,
    )


def _work(tries: Sequence[_Try]) -> timedelta:
    return sum((each.kept for each in tries), _NOTHING)


def _whole(tries: Sequence[_Try], expected: Duration | None, limit: timedelta | None) -> timedelta:
    """What a job takes that has not ended: what it has done, and what is usually left then."""
    if not tries:
        return expected.typical if expected else _NOTHING
    *before, last = tries
    usual = corrected(expected, last.lasted, last.progress, limit) if last.state in LIVE else None
    return _work(before) + (usual.typical if usual else last.kept)


def _stays(job: PastJob, tries: Iterable[_Try]) -> list[Stay]:
    return [Stay(job, each.held, each.began, each.ended, each.state == PREEMPTED) for each in tries]


def _ready(past: Sequence[PastJob], rows: Sequence[Any]) -> dict[str, datetime]:
    """Since when each could have started, as its needs really ended; those of which one has not ended are left out."""
    finished = {row.id: row.finished_at for row in rows}
    ready: dict[str, datetime] = {}
    for job in past:
        ends = [finished[each] for each in job.after if each in finished]
        if all(ends):
            ready[job.id] = max([job.came_at, *ends])
    return ready


# The statements are built once: building one costs more than running it.


_BEGIN, _UNTIL = bindparam("begin", type_=Utc), bindparam("until", type_=Utc)
_NAMES = bindparam("names", expanding=True)
_HAS_BEGUN = jobs.c.started_at.is_not(None)
_IS_OPEN = and_(is_one_of(jobs.c.state, (BLOCKED, WAITING, *LIVE)), jobs.c.cancel_requested_at.is_(None))
_THEN = and_(
    jobs.c.array_size.is_(None),
    jobs.c.created_at < _UNTIL,
    or_(jobs.c.finished_at.is_(None), jobs.c.finished_at >= _BEGIN),
    or_(_HAS_BEGUN, _IS_OPEN),
)
_OF_JOB = (
    *("id", "state", "priority", "created_at", "start_after", "finished_at", "gpus", "gpu_memory_mib", "cpus"),
    *("memory_mib", "scratch_mib", "gpu_model", "resources", "require", "prefer", "avoid", "nodes", "spread"),
    *("team", "project", "user", "family", "timeout_seconds", "min_runtime_seconds", "preemptible", "only_between"),
    *("array_id", "array_index"),
)
_COUNT = select(func.count()).select_from(jobs).where(_THEN)
_JOBS = select(*(jobs.c[name] for name in _OF_JOB)).where(_THEN).order_by(jobs.c.created_at, jobs.c.id)
_ATTEMPTS = (
    select(
        *(attempts.c[name] for name in ("job_id", "number", "rank", "state", "node", "devices")),
        *(attempts.c[name] for name in ("placed_at", "ended_at", "safe_at")),
        jobs.c.progress,
    )
    .join(jobs, jobs.c.id == attempts.c.job_id)
    .where(attempts.c.job_id.in_(_NAMES))
)
_NEEDS = select(needs.c.job_id, needs.c.needed_id).where(needs.c.job_id.in_(_NAMES)).order_by(needs.c.needed_id)
_CAPS = select(jobs.c.id, jobs.c.array_cap).where(jobs.c.id.in_(_NAMES))
