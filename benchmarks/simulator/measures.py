"""
What is read off a simulated month. Waits, delays and window lengths are `timedelta`; shares lie between 0 and 1.

Only the window from the first submit to the last one counts for utilisation and fairness: after it the fleet
drains, and a policy would look the worse the longer its last job runs.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from math import ceil
from typing import Any, TypeVar

from benchmarks.simulator.engine import Result, Span
from benchmarks.simulator.fleet import SimJob

T = TypeVar("T", float, timedelta)

BIG = 4
"""GPUs from which on a job is called big."""
SMALL_UP_TO = timedelta(hours=1)
SLOWDOWN_FLOOR = timedelta(minutes=10)
"""Shorter jobs are taken as this long, so that a wait of a minute before a job of a second is no catastrophe."""


@dataclass(frozen=True)
class Outcome:
    """A job with all its attempts, in order."""

    job: SimJob
    spans: Sequence[Span]
    watched_until: timedelta

    @property
    def started(self) -> timedelta:
        """Of a job that never started: the end of the simulation, so that its wait is at least that long."""
        return self.spans[0].started if self.spans else self.watched_until

    @property
    def wait(self) -> timedelta:
        return self.started - self.job.submitted

    @property
    def slowdown(self) -> float:
        """From submit to end, over the duration (both at least `SLOWDOWN_FLOOR`; Feitelson's bounded slowdown)."""
        ended = self.spans[-1].ended if self.spans else self.watched_until
        return max(1.0, (ended - self.job.submitted) / max(self.job.duration, SLOWDOWN_FLOOR))


def outcomes(result: Result) -> list[Outcome]:
    """One for each job that was submitted while the simulation ran."""
    spans: dict[str, list[Span]] = defaultdict(list)
    for span in sorted(result.spans, key=lambda span: span.started):
        spans[span.job.id].append(span)
    return [Outcome(job, spans[job.id], result.ended) for job in result.jobs if job.submitted <= result.ended]


def is_small(job: SimJob) -> bool:
    return job.gpus == 1 and job.duration < SMALL_UP_TO


def is_big(job: SimJob) -> bool:
    return job.gpus >= BIG


def percentile(values: Iterable[T], percent: float, *, of_none: T) -> T:
    """The smallest value that at least `percent` of all do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)] if ordered else of_none


def window(result: Result) -> tuple[timedelta, timedelta]:
    """From the first submit to the last, or to where the simulation was cut."""
    submits = [job.submitted for job in result.jobs]
    return min(submits), min(max(submits), result.ended)


def utilisation(result: Result) -> float:
    """GPU-seconds granted within the window, over those that the machines have; a shared GPU counts in part."""
    begin, end = window(result)
    available = sum(len(machine.gpus) for machine in result.machines) * (end - begin).total_seconds()
    granted = (span.gpus * _overlap(span, begin, end).total_seconds() for span in result.spans)
    return sum(granted) / available if available else 0.0


def _overlap(span: Span, begin: timedelta, end: timedelta) -> timedelta:
    return max(timedelta(), min(span.ended, end) - max(span.started, begin))


def delays(outcomes: Iterable[Outcome], promised: Mapping[str, timedelta]) -> list[timedelta]:
    """How much later than `promised` each of these jobs started; zero if it came sooner."""
    return [
        max(timedelta(), outcome.started - promised[outcome.job.id])
        for outcome in outcomes
        if outcome.job.id in promised
    ]


def jain(shares: Sequence[float]) -> float:
    """Jain's fairness index: 1 if all are equal, 1/n if one has all. (Jain, Chiu and Hawe, DEC TR-301, 1984.)"""
    squares = len(shares) * sum(share**2 for share in shares)
    return sum(shares) ** 2 / squares if squares else 1.0


@dataclass(frozen=True)
class Service:
    """GPU-hours that a team used, and those that its weight made due, while it and another team had jobs waiting."""

    used: float = 0.0
    due: float = 0.0

    def __add__(self, other: "Service") -> "Service":
        return Service(self.used + other.used, self.due + other.due)


def service(result: Result, weights: Mapping[str, float]) -> Mapping[str, Service]:
    """
    What each team got of what its weight made due, within the window and while teams compete.

    A team competes while at least one of its jobs waits. What all that compete use together is due to them in
    proportion to their weights; a team that has all it wants is not in the comparison.
    """
    (total,) = service_over_time(result, weights, [window(result)])
    return total


def fairness(served: Mapping[str, Service]) -> float:
    """Jain's index of used over due."""
    return jain([team.used / team.due for team in served.values() if team.due])


def service_over_time(
    result: Result, weights: Mapping[str, float], bins: Sequence[tuple[timedelta, timedelta]]
) -> list[Mapping[str, Service]]:
    """`service` in each of these adjoining bins."""
    found: list[dict[str, Service]] = [defaultdict(Service) for _ in bins]
    begins = [begin for begin, _ in bins]
    for moment in _moments(result, [*begins, bins[-1][1]]):
        if bins[0][0] <= moment.begin < bins[-1][1]:
            _serve(found[bisect_right(begins, moment.begin) - 1], moment, weights)
    return [dict(teams) for teams in found]


@dataclass(frozen=True)
class _Moment:
    """A stretch in which nothing changes: the teams that have jobs waiting, and the GPUs of every team."""

    begin: timedelta
    hours: float
    competing: Sequence[str]
    gpus: Mapping[str, float]


def _serve(served: dict[str, Service], moment: _Moment, weights: Mapping[str, float]) -> None:
    if len(moment.competing) < 2:
        return
    together = sum(moment.gpus.get(team, 0.0) for team in moment.competing)
    by_weight = together / sum(weights[team] for team in moment.competing)
    for team in moment.competing:
        used, due = moment.gpus.get(team, 0.0), by_weight * weights[team]
        served[team] += Service(used * moment.hours, due * moment.hours)


def _moments(result: Result, marks: Iterable[timedelta]) -> Iterator[_Moment]:
    waiting: Counter[str] = Counter()
    gpus: dict[str, float] = defaultdict(float)
    changes = sorted([*_changes(result), *((mark, "", 0, 0.0) for mark in marks)], key=lambda change: change[0])
    for (at, team, jobs, share), (until, *_) in pairwise(changes):
        if team:
            waiting[team] += jobs
            gpus[team] += share
        if until > at:
            competing = sorted(team for team, number in waiting.items() if number)
            yield _Moment(at, (until - at).total_seconds() / 3600, competing, gpus)


def _changes(result: Result) -> Iterator[tuple[timedelta, str, int, float]]:
    """At which instant a team has so many more jobs waiting, and holds so many more GPUs."""
    for outcome in outcomes(result):
        team, since = outcome.job.team, outcome.job.submitted
        for span in outcome.spans:
            yield from ((since, team, 1, 0.0), (span.started, team, -1, span.gpus), (span.ended, team, 0, -span.gpus))
            since = span.ended
        if not outcome.spans or outcome.spans[-1].preempted:
            yield (since, team, 1, 0.0)


@dataclass(frozen=True)
class Summary:
    """One row of the table. Times are in hours."""

    utilisation: float
    wait_p50: float
    wait_p95: float
    wait_mean: float
    small_p50: float
    small_p95: float
    big_p50: float
    big_p95: float
    slowdown_p50: float
    slowdown_mean: float
    heads: int
    head_delay_p90: float
    head_delay_p95: float
    head_delay_max: float
    promises: int
    promises_kept: float
    promise_delay_p95: float
    promise_delay_max: float
    jain: float
    preemptions: int
    lost_gpu_hours: float


def summarise(result: Result, weights: Mapping[str, float]) -> Summary:
    jobs = outcomes(result)
    slowdowns = [outcome.slowdown for outcome in jobs]
    waits = [outcome.wait for outcome in jobs]
    return Summary(
        utilisation=utilisation(result),
        wait_p50=_rank(waits, 50),
        wait_p95=_rank(waits, 95),
        wait_mean=_hours(sum(waits, timedelta()) / len(waits)),
        slowdown_p50=percentile(slowdowns, 50, of_none=1.0),
        slowdown_mean=sum(slowdowns) / len(slowdowns),
        jain=fairness(service(result, weights)),
        preemptions=sum(span.preempted for span in result.spans),
        lost_gpu_hours=sum(span.gpus * _hours(span.lost) for span in result.spans),
        **_by_size(jobs),
        **_lateness(jobs, result),
    )


def _by_size(jobs: Sequence[Outcome]) -> dict[str, float]:
    small = [outcome.wait for outcome in jobs if is_small(outcome.job)]
    big = [outcome.wait for outcome in jobs if is_big(outcome.job)]
    return {
        "small_p50": _rank(small, 50),
        "small_p95": _rank(small, 95),
        "big_p50": _rank(big, 50),
        "big_p95": _rank(big, 95),
    }


def _lateness(jobs: Sequence[Outcome], result: Result) -> dict[str, Any]:
    late, broken = delays(jobs, result.fair_starts), delays(jobs, result.promises)
    return {
        "heads": len(late),
        "head_delay_p90": _rank(late, 90),
        "head_delay_p95": _rank(late, 95),
        "head_delay_max": _rank(late, 100),
        "promises": len(broken),
        "promises_kept": sum(not delay for delay in broken) / len(broken) if broken else 1.0,
        "promise_delay_p95": _rank(broken, 95),
        "promise_delay_max": _rank(broken, 100),
    }


def _rank(times: Iterable[timedelta], percent: float) -> float:
    return _hours(percentile(times, percent, of_none=timedelta()))


def _hours(time: timedelta) -> float:
    return time / timedelta(hours=1)
