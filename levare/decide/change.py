"""The smallest change of a waiting job with which it would start at the next decision."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levare.decide.amounts import counted, size
from levare.decide.capacity import Room
from levare.decide.fleet import Fleet, licences_short
from levare.decide.line import is_off_hours
from levare.decide.placement import place
from levare.decide.sharing import Books
from levare.model import Duration, Node, Sharing, Waiting

MOST_TRIES = 12
"""So many decisions are tried at most before it is said that no small change would do,"""
MOST_WORK = 8_000
"""and so many looks of a lane or of a node at the queue, but 3 tries at least."""
_SECOND, _MINUTE, _HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
_HOURS = [number * _HOUR for number in (24, 12, 8, 6, 4, 3, 2, 1)]
_MINUTES = [number * _MINUTE for number in (30, 15, 5)]


@dataclass(frozen=True)
class Change:
    """
    A change of one field of a submission, as a value and in words.

    With it the job, submitted anew in the place of the old one, starts at the next decision, if nothing else changes.
    """

    field: str
    value: object
    message: str


Tried = tuple[Waiting, Change]


def smallest_change(
    job: Waiting, others: Sequence[Waiting], nodes: Sequence[Node], *, now: datetime, sharing: Sharing
) -> Change | None:
    """The first of the conceivable changes, the least first, that starts the job; None if no single one does."""
    trial = _Trial(job, others, nodes, now, sharing)
    tries = max(3, min(MOST_TRIES, MOST_WORK // (len(nodes) + len({other.lane for other in others}) + 1)))
    for changed, change in _changes(trial):
        if trial.could_start(changed):
            if trial.starts(changed):
                return change
            tries -= 1
            if not tries:
                return None
    return None


class _Trial:
    """The facts, with the job as if it were submitted anew: what it has waited is lost with that."""

    def __init__(
        self, job: Waiting, others: Sequence[Waiting], nodes: Sequence[Node], now: datetime, sharing: Sharing
    ) -> None:
        self.job, self.nodes = replace(job, since=now, owed_since=None, promised_at=None), nodes
        self._others, self._now, self._sharing = others, now, sharing
        self._fleet = Fleet(nodes, licences=sharing.licences, now=now)
        self._books = Books(sharing, nodes, now=now)

    @property
    def rooms(self) -> Iterable[Room]:
        return self._fleet.rooms.values()

    @property
    def licences(self) -> dict[str, int]:
        return self._fleet.licences

    def could_start(self, job: Waiting) -> bool:
        """Whether it would start if nobody else waited, which is soon known."""
        is_refused = is_off_hours(job, self._now) or self._books.refusal(job) is not None
        return not is_refused and self._fleet.spots_for(job) is not None

    def starts(self, job: Waiting) -> bool:
        decision = place([*self._others, job], self.nodes, now=self._now, sharing=self._sharing)
        return any(placement.job_id == job.job_id for placement in decision.placements)


def _changes(trial: _Trial) -> Iterator[Tried]:
    yield from _if_the_last_helps(trial, list(_shorter(trial.job, _HOURS)))
    yield from _less(trial)
    yield from _elsewhere(trial.job)
    yield from _if_the_last_helps(trial, list(_shorter(trial.job, _MINUTES)))
    yield from _if_the_last_helps(trial, list(_more_urgent(trial.job)))


def _if_the_last_helps(trial: _Trial, ascending: Sequence[Tried]) -> Iterator[Tried]:
    """The least that helps. Where the greatest change does not help, a smaller one of the same kind does not either."""

    def helps(tried: Tried) -> bool:
        return trial.could_start(tried[0]) and trial.starts(tried[0])

    if ascending and helps(ascending[-1]):
        yield ascending[bisect_left(ascending, True, hi=len(ascending) - 1, key=helps)]


def _shorter(job: Waiting, limits: Iterable[timedelta]) -> Iterator[Tried]:
    """A limit lets it run before a node is needed for another; never one that its kind usually outlasts."""
    known = job.expected
    for limit in limits:
        is_usual = known is None or known.typical in (known.promised, min(known.typical, limit))
        if is_usual and (known is None or limit < known.promised):
            typical = min(known.typical, limit) if known else limit
            number, unit = (limit // _HOUR, "h") if limit >= _HOUR else (limit // _MINUTE, "min")
            text = f"With a limit of {number} {unit} (--timeout {number}{unit[0]}) it would start now."
            yield replace(job, expected=Duration(typical, limit)), Change("timeout_seconds", limit // _SECOND, text)


def _less(trial: _Trial) -> Iterator[Tried]:
    """Less of one thing: as much of it as there is somewhere, the most first."""
    job, request = trial.job, trial.job.request
    for field, amounts in _amounts(trial).items():
        asked = getattr(request, field)
        less = sorted({amount for amount in amounts if amount > 0 and (asked is None or amount < asked)}, reverse=True)
        first = bisect_left(less, True, key=lambda value: trial.could_start(_with(job, **{field: value})))
        for value in less[first : first + 3]:
            text = f"With {_phrase(field, value)} instead of {_before(field, asked)} it would start now."
            yield _with(job, **{field: value}), Change(field, value, text)
    yield from _fewer_resources(trial)


def _amounts(trial: _Trial) -> dict[str, Iterable[int]]:
    """What to try of each field: counts one by one, sizes as some node has them free."""
    request, rooms = trial.job.request, list(trial.rooms)
    return {
        "gpus": range(1, request.gpus),
        "cpus": range(1, request.cpus),
        "memory_mib": [room.memory_mib for room in rooms],
        "scratch_mib": [room.scratch_mib for room in rooms],
        "gpu_memory_mib": [mib for room in rooms for mib in room.free.values()] if request.gpus else [],
        "nodes": range(1, request.nodes),
    }


def _fewer_resources(trial: _Trial) -> Iterator[Tried]:
    job = trial.job
    short = {name: left for name, _, left in licences_short(job.request, trial.licences)}
    for name, asked in job.request.resources:
        there = max((room.node.resources.get(name, 0) and room.resources[name] for room in trial.rooms), default=0)
        left = max(0, min(asked - 1, short.get(name, there)))
        rest = dict(job.request.resources) | {name: left} if left else _without(job.request.resources, name)
        less = f"{left} {name} instead of {asked}" if left else None
        text = f"With {less} it would start now." if less else f"Without --resource {name}={asked} it would start now."
        yield _with(job, resources=tuple(sorted(rest.items()))), Change("resources", rest, text)


def _elsewhere(job: Waiting) -> Iterator[Tried]:
    """Without one of the things that a node must have or must not."""
    for field in ("require", "avoid"):
        for name, value in getattr(job.request, field):
            rest = _without(getattr(job.request, field), name)
            text = f"Without --{field} {name}={value} it would start now."
            yield _with(job, **{field: tuple(sorted(rest.items()))}), Change(field, rest, text)
    if job.request.gpu_model:
        text = f"With any GPU instead of {job.request.gpu_model} it would start now."
        yield _with(job, gpu_model=None), Change("gpu_model", None, text)
    if job.only_between:
        text = f"Without --only-between, at any hour, it would start now; so far it is between {job.only_between}."
        yield replace(job, only_between=None), Change("only_between", None, text)


def _more_urgent(job: Waiting) -> Iterator[Tried]:
    for priority in range(job.priority + 1, 10):
        text = f"With priority {priority} instead of {job.priority} it would start now."
        yield replace(job, priority=priority), Change("priority", priority, text)


def _with(job: Waiting, **fields: object) -> Waiting:
    return replace(job, request=replace(job.request, **fields))


def _without(pairs: Iterable[tuple[str, object]], name: str) -> dict[str, object]:
    return {key: value for key, value in pairs if key != name}


def _phrase(field: str, value: int) -> str:
    return f"{size(value)} of {_SIZES[field]}" if field in _SIZES else counted(value, _COUNTS[field])


def _before(field: str, asked: int | None) -> str:
    if asked is None:
        return "whole GPUs"
    return size(asked) if field in _SIZES else str(asked)


_SIZES = {"memory_mib": "memory", "scratch_mib": "scratch", "gpu_memory_mib": "GPU memory"}
_COUNTS = {"gpus": "GPU", "cpus": "CPU", "nodes": "node"}
