"""
A synthetic month of training jobs, the same for the same seed.

The shapes are those that the published analyses of shared GPU fleets agree on; the numbers are chosen here, for a
team of twenty on a hundred GPUs, and no trace is replayed:

- Most jobs ask for one GPU, and few big ones use most of the GPU time; durations are heavy-tailed over several
  orders of magnitude; a large part fails, mostly early; days and weeks show in the submits (Philly: Jeon et al.,
  USENIX ATC 2019; Helios: Hu et al., SC 2021).
- Most work is the resubmission of something seen before, with durations close to the last ones, and many jobs
  need only a part of a GPU (PAI: Weng et al., NSDI 2022).
- Users' limits are a few round values, mostly far too long, or left at the default; a limit that is a multiple of
  the true duration would tell a scheduler too much (Tsafrir, Etsion and Feitelson, JSSPP 2005; Tsafrir, JSSPP
  2010). So a limit belongs to the family, not to the job. It never ends a job here: all policies have equal work.
- Users come in sessions, and sweeps arrive at once.

Durations are lognormal: between families with a large sigma, within one with a small one. At the end all are
scaled by one factor just below 1, so that the offered load is exactly the stated one.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import count
from math import exp, log

from benchmarks.simulator.fleet import GIB, Machine, SimJob

SHORTEST, LONGEST = timedelta(seconds=5), timedelta(hours=72)
LONGEST_IN_SWEEP = timedelta(hours=3)
LIMITS = tuple(timedelta(minutes=m) for m in (15, 30, 60, 120, 240, 480, 720, 1440, 2880, 4320))
"""The round values that people choose from."""
FAILING = 0.25
_WITHIN_FAMILY = 0.2
_HOURS = (2, 1, 1, 1, 1, 1, 2, 3, 6, 10, 12, 12, 10, 11, 12, 12, 11, 10, 8, 7, 6, 5, 4, 3)
_WEEKDAYS = (1.0, 1.05, 1.05, 1.0, 0.9, 0.35, 0.3)


@dataclass(frozen=True)
class Team:
    """`load` is its part of the offered work, `weight` its part of the fleet when there is not enough for all."""

    name: str
    weight: int
    users: int
    load: float


TEAMS = (Team("vision", 3, 8, 0.45), Team("language", 3, 6, 0.25), Team("speech", 2, 4, 0.2), Team("robots", 1, 3, 0.1))


@dataclass(frozen=True)
class _Profile:
    """A kind of job: how common it is, what it asks for, and the median and sigma of its families' durations."""

    weight: float
    gpus: int
    gpu_memory_gib: int | None
    cpus: int
    memory_gib: int
    median: timedelta
    sigma: float


_PROFILES = (
    _Profile(5, 0, None, 8, 32, timedelta(minutes=10), 1.2),
    _Profile(9, 1, 10, 4, 16, timedelta(minutes=15), 1.3),
    _Profile(6, 1, 20, 4, 32, timedelta(minutes=25), 1.4),
    _Profile(40, 1, None, 8, 32, timedelta(minutes=22), 1.6),
    _Profile(14, 1, None, 8, 64, timedelta(minutes=35), 1.6),
    _Profile(5, 1, None, 16, 64, timedelta(minutes=50), 1.5),
    _Profile(8, 2, None, 16, 128, timedelta(minutes=50), 1.5),
    _Profile(2, 2, None, 32, 128, timedelta(minutes=60), 1.4),
    _Profile(6, 4, None, 32, 256, timedelta(minutes=100), 1.4),
    _Profile(4, 8, None, 64, 512, timedelta(minutes=180), 1.4),
)


@dataclass(frozen=True)
class _Family:
    """One script of one user, submitted again and again."""

    name: str
    team: str
    user: str
    profile: _Profile
    median: timedelta
    limit: timedelta | None
    priority: int


def month(
    machines: Sequence[Machine], *, days: float = 30, load: float = 0.9, seed: int = 1, teams: Sequence[Team] = TEAMS
) -> list[SimJob]:
    """
    The jobs of `days`, which begin on a Monday, in the order of their submits.

    `load` is the work that they offer, in GPU-seconds, as a share of what the machines have in that time.
    """
    dice = random.Random(seed)
    horizon = timedelta(days=days)
    target = load * horizon.total_seconds() * sum(len(machine.gpus) for machine in machines)
    drafts: list[SimJob] = []
    for team in teams:
        drafts += _Users(team, machines, dice).work(target * team.load, horizon)
    drafts = sorted(drafts, key=lambda job: job.order)
    factor = target / sum(map(work_of, drafts))
    return [_numbered(number, job, factor) for number, job in enumerate(drafts)]


def _numbered(number: int, job: SimJob, factor: float) -> SimJob:
    return replace(job, id=f"j{number:06}", duration=job.duration * factor)


def work_of(job: SimJob) -> float:
    """GPU-seconds; a GPU shared by memory counts in part, by the memory of the largest GPU."""
    return gpus_of(job) * job.duration.total_seconds()


def gpus_of(job: SimJob) -> float:
    return job.gpus * (1 if job.gpu_memory_mib is None else job.gpu_memory_mib / (80 * GIB))


def _profiles_for(machines: Sequence[Machine]) -> list[_Profile]:
    """What some machine can run; rarer the fewer can, as people soon stop asking for what they must wait weeks for."""
    found = [replace(profile, weight=profile.weight * _hosting(machines, profile) ** 2) for profile in _PROFILES]
    return [profile for profile in found if profile.weight]


def _hosting(machines: Sequence[Machine], profile: _Profile) -> float:
    """The part of all GPUs that is in machines which can run this."""
    hosts = [machine for machine in machines if _can_run(machine, profile)]
    return sum(len(machine.gpus) for machine in hosts) / sum(len(machine.gpus) for machine in machines)


def _can_run(machine: Machine, profile: _Profile) -> bool:
    big_enough = [mib for mib in machine.gpus if mib >= (profile.gpu_memory_gib or 0) * GIB]
    memory_mib = profile.memory_gib * GIB
    return len(big_enough) >= profile.gpus and machine.cpus >= profile.cpus and machine.memory_mib >= memory_mib


class _Users:
    """The people of one team, who come in sessions and submit what they have submitted before, or something new."""

    def __init__(self, team: Team, machines: Sequence[Machine], dice: random.Random) -> None:
        self._team, self._dice = team, dice
        self._profiles = _profiles_for(machines)
        self._families: dict[str, list[_Family]] = {f"{team.name}-{i}": [] for i in range(team.users)}
        self._number = count()

    def work(self, target: float, horizon: timedelta) -> list[SimJob]:
        """Sessions until the team has offered `target` GPU-seconds."""
        jobs: list[SimJob] = []
        offered = 0.0
        while offered < target:
            session = self._session(_an_instant(self._dice, horizon), horizon)
            jobs += session
            offered += sum(map(work_of, session))
        return jobs

    def _session(self, at: timedelta, horizon: timedelta) -> list[SimJob]:
        names = list(self._families)
        user = self._dice.choices(names, weights=[1 / (rank + 1) for rank in range(len(names))])[0]
        if self._dice.random() < 0.02:
            return self._sweep(user, at)
        return self._by_hand(user, at, horizon)

    def _sweep(self, user: str, at: timedelta) -> list[SimJob]:
        """20 to 200 jobs of one family at once; nobody sweeps with what takes a machine or a day each."""
        family = self._family(user, most_gpus=2, longest=LONGEST_IN_SWEEP)
        size = round(exp(self._dice.uniform(log(20), log(200))))
        return [self._job(family, at) for _ in range(size)]

    def _by_hand(self, user: str, at: timedelta, horizon: timedelta) -> list[SimJob]:
        jobs: list[SimJob] = []
        for _ in range(1 + int(self._dice.expovariate(0.5))):
            if at >= horizon:
                break
            jobs.append(self._job(self._family(user), at))
            at += timedelta(minutes=self._dice.lognormvariate(log(4), 1.2))
        return jobs

    def _family(self, user: str, *, most_gpus: int = 8, longest: timedelta = LONGEST / 2) -> _Family:
        recent = self._families[user][-12:]
        known = [family for family in recent if family.profile.gpus <= most_gpus and family.median <= longest]
        if known and self._dice.random() < 0.75:
            return self._dice.choice(known)
        return self._new_family(user, most_gpus, longest)

    def _new_family(self, user: str, most_gpus: int, longest: timedelta) -> _Family:
        possible = [profile for profile in self._profiles if profile.gpus <= most_gpus]
        profile = self._dice.choices(possible, weights=[profile.weight for profile in possible])[0]
        median = profile.median * self._dice.lognormvariate(0, profile.sigma)
        median = min(max(median, SHORTEST), longest)
        priority = self._dice.choices((3, 5, 8), weights=(8, 84, 8))[0]
        name = f"{user}-f{next(self._number)}"
        family = _Family(name, self._team.name, user, profile, median, _limit(self._dice, median), priority)
        self._families[user].append(family)
        return family

    def _job(self, family: _Family, at: timedelta) -> SimJob:
        duration = family.median * self._dice.lognormvariate(0, _WITHIN_FAMILY)
        fails = self._dice.random() < FAILING
        if fails:
            duration = min(duration, timedelta(minutes=self._dice.lognormvariate(log(2), 1.3)))
        duration = min(max(duration, SHORTEST), LONGEST)
        return _as_job(f"{family.name}-{next(self._number):06}", family, at, duration, fails=fails)


def _as_job(name: str, family: _Family, at: timedelta, duration: timedelta, *, fails: bool) -> SimJob:
    profile = family.profile
    share = None if profile.gpu_memory_gib is None else profile.gpu_memory_gib * GIB
    asked = (profile.gpus, profile.cpus, profile.memory_gib * GIB, share)
    return SimJob(
        name, family.team, family.user, family.name, at, *asked, family.priority, duration, family.limit, fails
    )


def _limit(dice: random.Random, median: timedelta) -> timedelta | None:
    """What a user claims of a family: nothing, far too much, about right, or too little."""
    habit = dice.choices(("none", "ample", "close", "short"), weights=(35, 45, 14, 6))[0]
    if habit == "none":
        return None
    factor = {"ample": exp(dice.uniform(log(2), log(20))), "close": 1.6, "short": dice.uniform(0.3, 0.9)}[habit]
    wish = median * factor
    if habit == "short":
        return wish
    return next((limit for limit in LIMITS if limit >= wish), LIMITS[-1])


def _an_instant(dice: random.Random, horizon: timedelta) -> timedelta:
    """Mostly by day and on weekdays."""
    while True:
        at = horizon * dice.random()
        busy = _HOURS[at.seconds // 3600] * _WEEKDAYS[at.days % 7]
        if dice.random() * max(_HOURS) * max(_WEEKDAYS) < busy:
            return at


def contention(
    machines: Sequence[Machine],
    *,
    weights: Mapping[str, int],
    newcomer: str = "newcomer",
    arrives: timedelta,
    days: float,
    seed: int = 1,
) -> list[SimJob]:
    """
    Work without end for every team of `weights`, and 1,000 jobs of a newcomer at once.

    Each team alone could fill the fleet at every instant, with more than its weight would ever give it. Jobs are
    of one or two GPUs and about an hour, of two users and four families a team.
    """
    dice = random.Random(seed)
    capacity = sum(len(machine.gpus) for machine in machines)
    hours = int(days * 24)
    jobs = [_plain(dice, newcomer, arrives, gpus=1) for _ in range(1000)]
    for team in weights:
        jobs += [_plain(dice, team, timedelta(), gpus=1) for _ in range(2 * capacity)]
        for hour in range(hours):
            jobs += [_plain(dice, team, timedelta(hours=hour + dice.random())) for _ in range(capacity)]
    ordered = sorted(jobs, key=lambda job: job.order)
    return [replace(job, id=f"j{number:06}") for number, job in enumerate(ordered)]


def _plain(dice: random.Random, team: str, at: timedelta, *, gpus: int | None = None) -> SimJob:
    asked = gpus or dice.choices((1, 2), weights=(9, 1))[0]
    minutes = dice.lognormvariate(log(55), 0.4)
    user = f"{team}-{dice.randrange(2)}"
    family = f"{user}-f{dice.randrange(4)}"
    demand = (asked, 4 * asked, 16 * GIB * asked, None, 5)
    return SimJob("", team, user, family, at, *demand, timedelta(minutes=minutes), timedelta(hours=4))
