"""
The event loop: jobs are submitted and end, and after each such instant the policy decides once.

The engine trusts no policy: every start is checked against its own books, and every machine that was touched is
counted anew from what runs there.
"""

import heapq
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Protocol

from benchmarks.simulator.fleet import Hold, Machine, Room, SimJob, fits_at, gpus_granted
from levare.decide.buckets import Buckets

GRACE = timedelta(seconds=30)
"""From the warning to a preempted job until its devices are free."""
CHECKPOINT_EVERY = timedelta(minutes=30)
"""A preempted job goes on from the last whole one of these that it has run."""


class OversoldError(Exception):
    """A policy gave away what was not there."""


@dataclass(eq=False)
class Run:
    """A job on its devices. `ends` is the truth, which only clairvoyant policies read."""

    job: SimJob
    node: str
    devices: Mapping[int, int]
    started: timedelta
    ends: timedelta
    stops: timedelta | None = None
    """When its devices are free at the latest, once it was asked to go."""

    @property
    def leaves(self) -> timedelta:
        return self.ends if self.stops is None else min(self.ends, self.stops)


@dataclass(frozen=True)
class Start:
    job_id: str
    node: str
    devices: Mapping[int, int]
    """Index -> MiB."""


@dataclass(frozen=True)
class Decision:
    """
    Who starts, who is asked to go; who is first in line and still waits, and when what is promised to start.

    A preempted job holds its devices for `GRACE`, then waits again in its old place.
    """

    starts: Sequence[Start] = ()
    preemptions: Sequence[str] = ()
    head: str | None = None
    promises: Mapping[str, timedelta] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """One attempt of a job. `gpus` counts a shared GPU in part; `lost` is what a preemption threw away."""

    job: SimJob
    node: str
    started: timedelta
    ended: timedelta
    gpus: float
    lost: timedelta = timedelta()
    preempted: bool = False


class Fleet:
    """What each machine has left, what runs on it and what has run. Policies read it and plan on `draft()`."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self.machines = {machine.name: machine for machine in machines}
        self.rooms = {machine.name: Room(machine) for machine in machines}
        self.runs: dict[str, dict[str, Run]] = {machine.name: {} for machine in machines}
        self.versions = dict.fromkeys(self.rooms, 0)
        """Of each machine, how often it has changed; whoever remembers something of it can see when to forget."""
        self.past: list[Span] = []
        """What has ended, in order, so that a policy which learns can read on from where it stopped."""

    def draft(self) -> dict[str, Room]:
        return {name: room.copy() for name, room in self.rooms.items()}

    def add(self, run: Run) -> None:
        self.rooms[run.node].take(run.job.shape, run.devices)
        self.runs[run.node][run.job.id] = run
        self.versions[run.node] += 1

    def remove(self, run: Run) -> None:
        self.rooms[run.node].give(run.job.shape, run.devices)
        del self.runs[run.node][run.job.id]
        self.versions[run.node] += 1


class Policy(Protocol):
    name: str

    def bucket(self, job: SimJob, /) -> Hashable:
        """Jobs of one bucket are alike to this policy, but for who came first."""
        ...

    def decide(self, waiting: Buckets[SimJob], fleet: Fleet, /, *, now: timedelta) -> Decision: ...


@dataclass(frozen=True)
class Result:
    """
    All that happened. `fair_starts` has each job that was ever first in line and blocked.

    Its fair start is when it would have fitted, as the true endings tell, had nothing else been started since.
    """

    jobs: Sequence[SimJob]
    machines: Sequence[Machine]
    spans: Sequence[Span]
    fair_starts: Mapping[str, timedelta]
    promises: Mapping[str, timedelta]
    """The first that was made to each job."""
    ended: timedelta


def simulate(
    jobs: Sequence[SimJob], machines: Sequence[Machine], policy: Policy, *, until: timedelta | None = None
) -> Result:
    """Run until the last job has ended, or up to `until`. The policy decides at most once an instant."""
    _refuse_what_never_fits(jobs, machines)
    run = _Simulation(jobs, machines, policy)
    run.go(until)
    return Result(jobs, machines, run.fleet.past, run.fair_starts, run.promises, run.now)


def _refuse_what_never_fits(jobs: Sequence[SimJob], machines: Sequence[Machine]) -> None:
    empty = [Room(machine) for machine in machines]
    for shape, job in {job.shape: job for job in jobs}.items():
        if not any(room.fits(shape) for room in empty):
            raise ValueError(f"{job.id} asks for {shape}, more than any machine has; leave it out.")


class _Simulation:
    def __init__(self, jobs: Sequence[SimJob], machines: Sequence[Machine], policy: Policy) -> None:
        self.policy, self.fleet, self.waiting = policy, Fleet(machines), Buckets(policy.bucket)
        self.now = timedelta()
        self.running: dict[str, Run] = {}
        self.done: dict[str, timedelta] = {}
        self.fair_starts: dict[str, timedelta] = {}
        self.promises: dict[str, timedelta] = {}
        self._number = count()
        self._events: list[tuple[timedelta, int, SimJob | Run]] = []
        for job in jobs:
            self._expect(job.submitted, job)

    def go(self, until: timedelta | None) -> None:
        while self._events and (until is None or self._events[0][0] <= until):
            self.now = self._events[0][0]
            while self._events and self._events[0][0] == self.now:
                self._happen(heapq.heappop(self._events)[2])
            if self.waiting.jobs:
                self._apply(self.policy.decide(self.waiting, self.fleet, now=self.now))
        if until is not None:
            self._cut(until)

    def _expect(self, at: timedelta, what: SimJob | Run) -> None:
        heapq.heappush(self._events, (at, next(self._number), what))

    def _happen(self, what: SimJob | Run) -> None:
        if isinstance(what, SimJob):
            self.waiting.add(what)
        elif self.running.get(what.job.id) is what:
            self._leave(what)

    def _leave(self, run: Run) -> None:
        """A run whose work is not all done was preempted: it keeps its checkpoints and waits again."""
        is_done = run.ends <= self.now
        ran = self.now - run.started
        kept = ran if is_done else ran // CHECKPOINT_EVERY * CHECKPOINT_EVERY
        self._record(run, lost=ran - kept, preempted=not is_done)
        del self.running[run.job.id]
        self.fleet.remove(run)
        if not is_done:
            self.done[run.job.id] = self.done.get(run.job.id, timedelta()) + kept
            self.waiting.add(run.job)

    def _record(self, run: Run, *, lost: timedelta = timedelta(), preempted: bool = False) -> None:
        gpus = gpus_granted(self.fleet.machines[run.node], run.devices)
        self.fleet.past.append(Span(run.job, run.node, run.started, self.now, gpus, lost, preempted))

    def _apply(self, decision: Decision) -> None:
        for start in decision.starts:
            self._start(start)
        for job_id in decision.preemptions:
            self._preempt(job_id)
        for node in {start.node for start in decision.starts}:
            check_books(self.fleet.machines[node], list(self.fleet.runs[node].values()))
        for job_id, at in decision.promises.items():
            self.promises.setdefault(job_id, at)
        if decision.head is not None and decision.head not in self.fair_starts:
            self.fair_starts[decision.head] = self._fair_start(self.waiting.jobs[decision.head])

    def _start(self, start: Start) -> None:
        job = self.waiting.jobs.get(start.job_id)
        if job is None:
            raise OversoldError(f"{start.job_id} was started but does not wait.")
        left = job.duration - self.done.get(job.id, timedelta())
        run = Run(job, start.node, dict(start.devices), self.now, self.now + left)
        self.waiting.remove(job)
        self.running[job.id] = run
        self.fleet.add(run)
        self._expect(run.ends, run)

    def _preempt(self, job_id: str) -> None:
        run = self.running[job_id]
        if run.stops is None:
            run.stops = self.now + GRACE
            self.fleet.versions[run.node] += 1
            self._expect(run.stops, run)

    def _fair_start(self, job: SimJob) -> timedelta:
        fits = [
            fits_at(job.shape, room, [Hold(r.leaves, r.job.shape, r.devices) for r in runs.values()], now=self.now)
            for room, runs in zip(self.fleet.rooms.values(), self.fleet.runs.values(), strict=True)
        ]
        return min(at for at in fits if at is not None)

    def _cut(self, until: timedelta) -> None:
        self.now = until
        for run in self.running.values():
            self._record(run)


def check_books(machine: Machine, runs: Sequence[Run]) -> None:
    """Count a machine anew from what runs on it; raise if something is held twice or a job has not what it needs."""
    for run in runs:
        _check_devices(machine, run)
    for index, total in enumerate(machine.gpus):
        held = sum(run.devices.get(index, 0) for run in runs)
        _check(f"GPU {index} of {machine.name}", held, total, "MiB")
    _check(machine.name, sum(run.job.cpus for run in runs), machine.cpus, "CPUs")
    _check(machine.name, sum(run.job.memory_mib for run in runs), machine.memory_mib, "MiB of memory")


def _check_devices(machine: Machine, run: Run) -> None:
    wanted = [run.job.gpu_memory_mib or machine.gpus[index] for index in run.devices]
    if len(run.devices) != run.job.gpus or list(run.devices.values()) != wanted:
        raise OversoldError(f"{run.job.id} asks for {run.job.shape} and got {run.devices} on {machine.name}.")


def _check(what: str, held: int, total: int, unit: str) -> None:
    if held > total:
        raise OversoldError(f"{what} has {total} {unit} and {held} are held.")
