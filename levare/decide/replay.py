"""
The past once more, under whatever is declared: jobs come when they came, and each decision is the `place()` that beat
takes.

What a job does is taken as given: how long it holds what it asks for, and that it succeeds or fails. How long the next
run of a family takes, and what each account has used, is learned as beat learns it. A run that has to make room has
`GRACE`, and goes on from its last checkpoint; who saves any saves one every `CHECKPOINT_EVERY`. Nothing else happens:
no node fails, and nobody comes or goes because he waits.
"""

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count

from levare.decide.buckets import Buckets
from levare.decide.capacity import Vacancies
from levare.decide.learned import Durations, Uses
from levare.decide.placement import place
from levare.decide.stage import Crew, Run, Wishes
from levare.decide.use import GPUS_PER_CPU, gpus_held
from levare.model import Decision, Node, Placement, Sharing, scale_of
from levare.model.past import Course, PastJob, Stay

GRACE = timedelta(seconds=30)
LOOK_EVERY = timedelta(minutes=15)
"""So often it is decided while anything waits though nothing happens: hours of the day and quotas of hours pass."""
HEADS = 64
"""Of each bucket so many are looked at in one decision."""
_NOTHING = timedelta()


def replay(jobs: Iterable[PastJob], nodes: Sequence[Node], sharing: Sharing, *, until: datetime) -> Course:
    """Run these jobs on these nodes, of which nothing is held, up to `until`; what runs then is cut off there."""
    past = _Replay(nodes, sharing)
    for job in sorted(jobs, key=lambda job: job.order):
        past.expect(job)
    past.go(until)
    return Course(past.stays, past.ready_at, until)


@dataclass(frozen=True)
class _Look:
    """Time to decide again."""


@dataclass
class _Replay:
    nodes: Sequence[Node]
    sharing: Sharing
    stays: list[Stay] = field(default_factory=list)
    ready_at: dict[str, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.durations, self.uses = Durations(), Uses(replace(self.sharing, held_families={}))
        self.crew = Crew(self.nodes, self.durations)
        self.waiting: Buckets[PastJob] = Buckets(_bucket)
        self.wishes = Wishes(self.durations)
        self.running: dict[str, Run] = {}
        self.done: dict[str, timedelta] = {}
        self._memory_mib = {device.uuid: device.memory_mib for node in self.nodes for device in node.devices}
        self._number = count()
        self._events: list[tuple[datetime, int, PastJob | Run | _Look]] = []
        self._looks_at: datetime | None = None
        self._known: set[str] = set()
        self._over: set[str] = set()
        self._blocked: dict[str, set[str]] = {}
        self._needed_by: dict[str, list[PastJob]] = defaultdict(list)
        self._tried: set[Hashable] = set()
        """The buckets of the last decision, as long as nothing has changed after it but that jobs have come."""

    def expect(self, job: PastJob) -> None:
        self._known.add(job.id)
        self._later(job.came_at, job)

    def go(self, until: datetime) -> None:
        while self._events and self._events[0][0] <= until:
            now = self._events[0][0]
            while self._events and self._events[0][0] == now:
                self._happen(heapq.heappop(self._events)[2], now)
            if self.waiting.buckets.keys() - self._tried:
                self._decide(now)
        for run in self.running.values():
            self._record(run, until, preempted=False)

    def _later(self, at: datetime, what: PastJob | Run | _Look) -> None:
        heapq.heappush(self._events, (at, next(self._number), what))

    def _happen(self, what: PastJob | Run | _Look, now: datetime) -> None:
        match what:
            case PastJob():
                self._come(what, now)
            case Run() if self.running.get(what.job.id) is what:
                self._leave(what, now)
            case _Look():
                self._looks_at = None
                self._tried.clear()
            case _:
                pass  # it made room before it would have ended

    def _come(self, job: PastJob, now: datetime) -> None:
        """Of what it needs, only what is part of this past can keep it waiting."""
        needed = {each for each in job.after if each in self._known} - self._over
        for each in needed:
            self._needed_by[each].append(job)
        if needed:
            self._blocked[job.id] = needed
        else:
            self._queue(job, now)

    def _queue(self, job: PastJob, now: datetime) -> None:
        self.ready_at.setdefault(job.id, now)
        self.waiting.add(job)

    def _leave(self, run: Run, now: datetime) -> None:
        is_done = run.ends <= now
        self._record(run, now, preempted=not is_done)
        self._learn(run, now, is_done=is_done)
        del self.running[run.job.id]
        self.crew.remove(run)
        self._tried.clear()
        if is_done:
            self._release(run.job.id, now)
        else:
            self.done[run.job.id] = self.done.get(run.job.id, _NOTHING) + run.saved(now)
            self._queue(run.job, now)

    def _release(self, ended: str, now: datetime) -> None:
        self._over.add(ended)
        for job in self._needed_by.pop(ended, ()):
            self._blocked[job.id].discard(ended)
            if not self._blocked[job.id]:
                self._queue(job, now)

    def _record(self, run: Run, now: datetime, *, preempted: bool) -> None:
        held = tuple((each.node, each.devices) for each in run.placements)
        self.stays.append(Stay(run.job, held, run.began, now, preempted))

    def _learn(self, run: Run, now: datetime, *, is_done: bool) -> None:
        job = run.job
        gpus = sum(gpus_held(each.devices, self._memory_mib) for each in run.placements)
        rate = gpus + GPUS_PER_CPU * job.request.cpus * len(run.placements)
        self.durations.learn(job.family, now - run.began, succeeded=is_done and job.succeeded)
        self.uses.charge(job.team, job.project, job.user, rate=rate, gpus=gpus, began=run.began, ended=now)

    def _decide(self, now: datetime) -> None:
        nodes = self.crew.seen(now)
        vacancies = Vacancies(nodes)
        heads = [self.wishes.of(job) for bucket in self.waiting.buckets.values() for job in _heads(bucket, vacancies)]
        decision = place(heads, nodes, now=now, sharing=self.uses.sharing(now))
        self._tried = set(self.waiting.buckets)
        self._apply(decision, now)
        self.wishes.note(decision, now)
        if self.waiting.jobs and self._looks_at is None:
            self._looks_at = _next_look(now)
            self._later(self._looks_at, _Look())

    def _apply(self, decision: Decision, now: datetime) -> None:
        chosen: dict[str, list[Placement]] = defaultdict(list)
        for placement in decision.placements:
            chosen[placement.job_id].append(placement)
        for job_id, placements in chosen.items():
            self._start(self.waiting.jobs[job_id], placements, now)
        for preemption in decision.preemptions:
            self._tell_to_end(self.running[preemption.job_id], preemption.for_job, now)

    def _start(self, job: PastJob, placements: Sequence[Placement], now: datetime) -> None:
        run = Run(job, placements, now, now + job.work - self.done.get(job.id, _NOTHING))
        self.waiting.remove(job)
        self.running[job.id] = run
        self.crew.add(run)
        self._tried.clear()
        self._later(run.ends, run)

    def _tell_to_end(self, run: Run, for_job: str, now: datetime) -> None:
        if run.stops is None:
            run.stops, run.ends_for = now + GRACE, for_job
            self._later(run.stops, run)


def _bucket(job: PastJob) -> Hashable:
    """A lane, as `levare.store.jobs` has it."""
    scale = None if job.limit is None else scale_of(job.limit)
    return (job.request.shape, job.team, job.project, job.user, job.priority, scale, job.only_between)


def _heads(bucket: Sequence[PastJob], vacancies: Vacancies) -> Sequence[PastJob]:
    """The first, which may end others, and those after it that could start beside it at the very most."""
    return bucket[: max(1, min(vacancies.most_starts(bucket[0].request), HEADS))]


def _next_look(now: datetime) -> datetime:
    """The next quarter of an hour by the clock."""
    past_the_hour = timedelta(minutes=now.minute, seconds=now.second, microseconds=now.microsecond)
    return now - past_the_hour + (past_the_hour // LOOK_EVERY + 1) * LOOK_EVERY
