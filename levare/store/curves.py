"""What trainings tell, summed up as it comes: what each metric came to, how far an attempt is, what is kept of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from math import inf, isfinite
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, update

from levare.decide.course import Course, News, furthered
from levare.decide.curves import Kinds, Line, thinned, thinned_to
from levare.decide.summaries import Key, Summary, Value, summed
from levare.store.tables import metrics
from levare.store.tables_metrics import courses, summaries
from levare.store.upsert import upsert

Row = Mapping[str, Any]

MOST_KEPT = 50_000
"""Points of one attempt; beyond, they are thinned to half of it."""
_AT_ONCE = 500


def note(connection: Connection, attempt_id: str, points: Sequence[Any], news: News) -> tuple[list[Any], Course]:
    """
    Sum up new points of an attempt, in the transaction that adds them.

    Returns those that are to be kept, all of them while there are not too many, and how far the attempt is now.
    """
    found = connection.execute(_COURSE, {"attempt": attempt_id}).mappings().first()
    known = _course(found) if found else Course()
    window = found["window"] if found else None
    kept = _thinned(points, window) if window else list(points)
    course = furthered(known, news)
    row = {"attempt_id": attempt_id, "kept": (found["kept"] if found else 0) + len(kept), "window": window}
    _PUT_COURSE.run(connection, [row | {name: getattr(course, name) for name in _COURSE_FIELDS}])
    _sum_up(connection, attempt_id, points)
    return kept, course


def _sum_up(connection: Connection, attempt_id: str, points: Sequence[Any]) -> None:
    if not points:
        return
    known = summaries_of(connection, [attempt_id]).get(attempt_id, {})
    changed = summed(known, ((point.stage, point.step, point.at, point.values) for point in points))
    _PUT_SUMMARY.run(connection, [_summary_row(attempt_id, *each) for each in changed.items()])


def summaries_of(
    connection: Connection, attempt_ids: Sequence[str], *, stage: str | None = None, name: str | None = None
) -> dict[str, dict[Key, Summary]]:
    """Attempt -> stage and metric -> what it came to, by stage and name."""
    query = _SUMMARIES
    if stage is not None:
        query = query.where(summaries.c.stage == stage)
    if name is not None:
        query = query.where(summaries.c.name == name)
    found: dict[str, dict[Key, Summary]] = {}
    for row in connection.execute(query, {"attempts": list(attempt_ids)}).mappings() if attempt_ids else ():
        found.setdefault(row["attempt_id"], {})[row["stage"], row["name"]] = _summary(row)
    return found


def courses_of(connection: Connection, attempt_ids: Sequence[str]) -> dict[str, Course]:
    """How far these attempts are, those that have told anything."""
    rows = connection.execute(_COURSES, {"attempts": list(attempt_ids)}).mappings() if attempt_ids else ()
    return {row["attempt_id"]: _course(row) for row in rows}


def kept_of(connection: Connection, attempt_id: str) -> tuple[int, int | None]:
    """How many points of an attempt are kept, and by which window they were thinned; None while all are kept."""
    row = connection.execute(_COURSE, {"attempt": attempt_id}).first()
    return (row.kept, row.window) if row else (0, None)


def find_thinner(connection: Connection, attempt_id: str) -> tuple[list[int], int] | None:
    """Where an attempt has too many points: the offsets of those to give up, and the window that says so."""
    kept, window = kept_of(connection, attempt_id)
    if kept <= MOST_KEPT:
        return None
    kinds, streaming = Kinds(), connection.execution_options(yield_per=_AT_ONCE)
    lines = [_line(row, kinds) for row in streaming.execute(_POINTS, {"attempt": attempt_id})]
    if not lines:
        return None
    stay, wider = thinned_to(lines, MOST_KEPT // 2, window)
    return [line.offset for line in lines if line.offset not in stay], wider


def thin(connection: Connection, attempt_id: str, offsets: Sequence[int], window: int) -> None:
    """Give up these points, and from now on what `window` says; safe to repeat."""
    for begin in range(0, len(offsets), _AT_ONCE):
        some = list(offsets[begin : begin + _AT_ONCE])
        connection.execute(_GIVE_UP, {"attempt": attempt_id, "offsets": some})
    connection.execute(_THINNED, {"attempt": attempt_id, "wider": window})


def _thinned(points: Sequence[Any], window: int) -> list[Any]:
    kinds = Kinds()
    stay = thinned((_line(point, kinds) for point in points), window)
    return [point for point in points if point.offset in stay]


def _line(point: Any, kinds: Kinds) -> Line:
    values: Mapping[str, Value] = point.values if isinstance(point.values, dict) else point._mapping["values"]  # noqa: SLF001 - a row has a method of this name
    first = next(iter(values.values()), inf)
    number = first if isinstance(first, int | float) and isfinite(first) else inf
    return Line(point.offset, kinds[point.stage, tuple(values)], number)


def _summary(row: Row) -> Summary:
    values = {name: row[name] for name in _SUMMARY_FIELDS}
    return Summary(**values | {"last": row["last_word"] if row["last"] is None else row["last"]})


def _summary_row(attempt_id: str, key: Key, summary: Summary) -> dict[str, Any]:
    values = {name: getattr(summary, name) for name in _SUMMARY_FIELDS}
    word = summary.last if isinstance(summary.last, str) else None
    last = None if word else summary.last
    return {"attempt_id": attempt_id, "stage": key[0], "name": key[1], **values, "last": last, "last_word": word}


def _course(row: Row) -> Course:
    return Course(**{name: row[name] for name in _COURSE_FIELDS})


def news_of(points: Iterable[Any], progress: float | None, params: Mapping[str, Any], now: datetime) -> News:
    """What a stretch of a metrics file tells of how far its attempt is."""
    steps: list[int] = []
    epochs: list[float] = []
    at = now
    for point in points:
        at = point.at
        steps += [point.step] if point.step is not None else []
        epochs += [point.epoch] if point.epoch is not None and isfinite(point.epoch) else []
    return News(min(at, now), max(steps, default=None), max(epochs, default=None), progress, params)


_SUMMARY_FIELDS = [field.name for field in fields(Summary)]
_COURSE_FIELDS = [field.name for field in fields(Course)]
_ATTEMPTS = bindparam("attempts", expanding=True)
_SUMMARIES = (
    select(summaries)
    .where(summaries.c.attempt_id.in_(_ATTEMPTS))
    .order_by(summaries.c.attempt_id, summaries.c.stage, summaries.c.name)
)
_COURSE = select(courses).where(courses.c.attempt_id == bindparam("attempt"))
_COURSES = select(courses).where(courses.c.attempt_id.in_(_ATTEMPTS))
_PUT_SUMMARY = upsert(summaries, replacing=[*_SUMMARY_FIELDS, "last_word"])
_PUT_COURSE = upsert(courses, replacing=[*_COURSE_FIELDS, "kept", "window"])
_OF_IT = metrics.c.attempt_id == bindparam("attempt")
_POINTS = select(metrics.c.offset, metrics.c.stage, metrics.c["values"]).where(_OF_IT).order_by(metrics.c.offset)
_GIVE_UP = delete(metrics).where(_OF_IT, metrics.c.offset.in_(bindparam("offsets", expanding=True)))
_KEPT = select(func.count()).select_from(metrics).where(_OF_IT).scalar_subquery()
_THINNED = (
    update(courses).where(courses.c.attempt_id == bindparam("attempt")).values(kept=_KEPT, window=bindparam("wider"))
)
