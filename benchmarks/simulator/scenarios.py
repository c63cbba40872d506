"""Which workloads and policies are compared, each pair in a process of its own."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from itertools import pairwise

from benchmarks.simulator import measures, workload
from benchmarks.simulator.baselines import Easy, Fifo, claimed, perfect
from benchmarks.simulator.engine import Policy, Result, simulate
from benchmarks.simulator.fleet import FLEETS, SMALL, SimJob
from benchmarks.simulator.measures import Outcome, Service, Summary
from benchmarks.simulator.ours import Levare

POLICIES: Mapping[str, Callable[[Mapping[str, float]], Policy]] = {
    "fifo": lambda _weights: Fifo(),
    "easy": lambda _weights: Easy("EASY, perfect limits", perfect),
    "easy-users": lambda _weights: Easy("EASY, users' limits", claimed),
    "levare": Levare,
}
"""Each made for teams of these weights; only levare knows teams."""
WEIGHTS = {"vision": 2, "language": 1}
NEWCOMER = "newcomer"
_BIN = timedelta(hours=6)


@dataclass(frozen=True)
class Month:
    """The synthetic month, on one of the fleets."""

    fleet: str = "large"
    days: float = 30
    load: float = 0.9
    seed: int = 1

    def jobs(self) -> list[SimJob]:
        return workload.month(FLEETS[self.fleet], days=self.days, load=self.load, seed=self.seed)


@dataclass(frozen=True)
class Contention:
    """Two teams that always want everything, and after the days `alone` a newcomer with 1,000 jobs at once."""

    days: float = 12
    alone: float = 4
    seed: int = 1

    @property
    def arrives(self) -> timedelta:
        return timedelta(days=self.alone)

    def jobs(self) -> list[SimJob]:
        return workload.contention(
            SMALL, weights=WEIGHTS, newcomer=NEWCOMER, arrives=self.arrives, days=self.days, seed=self.seed
        )


@dataclass(frozen=True)
class Contended:
    """
    How contention went. `before` and `after` the newcomer came: each team's GPU-hours over what its weight made due.

    The newcomer's first and hundredth start are in hours after it came, None if they never happened. `longest_gap` is
    how long a team that was there before went without a start after that, in hours.
    """

    policy: str
    arrives: timedelta
    over_time: Sequence[tuple[timedelta, Mapping[str, Service]]]
    before: Mapping[str, Service]
    after: Mapping[str, Service]
    first_start: float | None
    hundredth_start: float | None
    longest_gap: float

    @property
    def jain(self) -> float:
        return measures.fairness(self.after)


def compare(month: Month, policies: Sequence[str]) -> dict[str, Summary]:
    with ProcessPoolExecutor() as pool:
        return dict(zip(policies, pool.map(partial(summary_of, month), policies), strict=True))


def contend(contention: Contention, policies: Sequence[str]) -> dict[str, Contended]:
    with ProcessPoolExecutor() as pool:
        return dict(zip(policies, pool.map(partial(contended, contention), policies), strict=True))


def summary_of(month: Month, policy: str) -> Summary:
    weights = {team.name: team.weight for team in workload.TEAMS}
    return measures.summarise(simulate(month.jobs(), FLEETS[month.fleet], POLICIES[policy](weights)), weights)


def contended(contention: Contention, policy: str) -> Contended:
    weights = {**WEIGHTS, NEWCOMER: 1}
    chosen, until = POLICIES[policy](weights), timedelta(days=contention.days)
    result = simulate(contention.jobs(), SMALL, chosen, until=until)
    begins = [_BIN * i for i in range(until // _BIN)]
    bins = [(begin, begin + _BIN) for begin in begins]
    halves = [(_BIN, contention.arrives), (contention.arrives, until)]
    before, after = measures.service_over_time(result, weights, halves)
    over_time = list(zip(begins, measures.service_over_time(result, weights, bins), strict=True))
    starts = _starts_of_newcomer(result)
    gap = _longest_gap(result, contention.arrives)
    return Contended(chosen.name, contention.arrives, over_time, before, after, _nth(starts, 1), _nth(starts, 100), gap)


def _longest_gap(result: Result, since: timedelta) -> float:
    starts = {team: sorted(span.started for span in result.spans if span.job.team == team) for team in WEIGHTS}
    gaps = [
        until - max(since, start)
        for found in starts.values()
        for start, until in pairwise([*found, result.ended])
        if until > since
    ]
    return max(gaps) / timedelta(hours=1)


def _starts_of_newcomer(result: Result) -> list[float]:
    theirs: list[Outcome] = [outcome for outcome in measures.outcomes(result) if outcome.job.team == NEWCOMER]
    return sorted(outcome.wait / timedelta(hours=1) for outcome in theirs if outcome.spans)


def _nth(starts: Sequence[float], number: int) -> float | None:
    return starts[number - 1] if len(starts) >= number else None
