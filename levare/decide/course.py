"""How far a training is, what it is given, and how long it still takes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import isfinite
from statistics import median
from typing import Literal, TypeVar

Source = Literal["told", "steps", "epochs"]
Basis = Literal["progress", "steps", "epochs", "history"]
Param = str | float | bool

MOST_PARAMS = 300
"""Parameters of one attempt, the first that came."""
LEAST_PROGRESS = 0.001
"""Before so much is done nothing is said by the pace."""

_STEPS = ("max_steps", "total_steps", "num_steps", "train_steps", "num_boost_round", "steps")
_EPOCHS = ("epochs", "max_epochs", "num_epochs", "num_train_epochs", "n_epochs", "total_epochs")


@dataclass(frozen=True)
class Course:
    """
    How far an attempt is. `progress` is from 0 to 1, as it was told or as `source` says that it is taken.

    `begun` is the progress that was known first, at `begun_at`: what goes on from a checkpoint does not begin at 0.
    """

    step: int | None = None
    epoch: float | None = None
    progress: float | None = None
    source: Source | None = None
    begun: float | None = None
    begun_at: datetime | None = None
    told_at: datetime | None = None
    params: Mapping[str, Param] = field(default_factory=dict)


@dataclass(frozen=True)
class News:
    """What a stretch of a metrics file tells of it, the last of each."""

    at: datetime
    step: int | None = None
    epoch: float | None = None
    progress: float | None = None
    params: Mapping[str, Param] = field(default_factory=dict)


def furthered(course: Course, news: News) -> Course:
    """The course after the news. What was told counts for more than steps, and steps for more than epochs."""
    params = {**course.params, **news.params}
    now = replace(
        course,
        step=_later(course.step, news.step),
        epoch=_later(course.epoch, news.epoch),
        params=dict(list(params.items())[:MOST_PARAMS]),
    )
    progress, source = _progress(now, news)
    if progress is None or (source == course.source and progress == course.progress):
        return now
    if course.begun is None or source != course.source:
        now = replace(now, begun=progress, begun_at=news.at)
    return replace(now, progress=progress, source=source, told_at=news.at)


_Number = TypeVar("_Number", bound=float)


def _later(before: _Number | None, now: _Number | None) -> _Number | None:
    return before if now is None else now if before is None else max(before, now)


def _progress(course: Course, news: News) -> tuple[float | None, Source | None]:
    if news.progress is not None:
        return news.progress, "told"
    if course.source == "told":
        return None, None
    for source, done, names in (("steps", course.step, _STEPS), ("epochs", course.epoch, _EPOCHS)):
        total = total_of(course.params, names)
        if done is not None and total is not None and 0 <= done <= total:
            return done / total, source
    return None, None


def total_of(params: Mapping[str, Param], names: Iterable[str]) -> float | None:
    """The first of these parameters that is a number above 0."""
    for name in names:
        try:
            number = float(params.get(name, 0))
        except ValueError:
            continue
        if number > 0 and isfinite(number):
            return number
    return None


@dataclass(frozen=True)
class Left:
    """How long a run still takes, and what that is taken from."""

    seconds: float
    basis: Basis


def left(course: Course | None, family: Sequence[float], *, started_at: datetime | None, now: datetime) -> Left | None:
    """
    How long a running attempt still takes: by its pace, else by how long the runs of its family took.

    None where nothing tells, and for one that has outlived all of its family.
    """
    if started_at is None:
        return None
    by_pace = _by_pace(course, started_at, now) if course else None
    if by_pace is not None:
        return by_pace
    elapsed = (now - started_at).total_seconds()
    usual = [seconds for seconds in family if seconds > elapsed]
    return Left(median(usual) - elapsed, "history") if usual else None


def _by_pace(course: Course, started_at: datetime, now: datetime) -> Left | None:
    if course.progress is None or course.told_at is None or course.progress < LEAST_PROGRESS:
        return None
    done, taken = course.progress, course.told_at - started_at
    if course.begun is not None and course.begun_at is not None and course.progress > course.begun:
        done, taken = course.progress - course.begun, course.told_at - course.begun_at
    if taken <= timedelta():
        return None
    rest = taken.total_seconds() * (1 - course.progress) / done - (now - course.told_at).total_seconds()
    return Left(max(0.0, rest), "progress" if course.source in ("told", None) else course.source)
