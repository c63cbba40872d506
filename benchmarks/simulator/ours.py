"""
levare's own decisions, the very functions that beat calls, on the simulated fleet.

What beat reads from its tables is kept as the runs end: `levare.decide.learned`. Runs report no progress,
save a checkpoint every `CHECKPOINT_EVERY`, may be preempted, and run `MIN_RUNTIME` before they are.
"""

from collections.abc import Hashable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice

from benchmarks.simulator.engine import CHECKPOINT_EVERY, Decision, Fleet, Run, Span, Start
from benchmarks.simulator.fleet import Machine, SimJob
from levare.decide.buckets import Buckets
from levare.decide.capacity import Vacancies
from levare.decide.learned import Durations, Uses, weighing
from levare.decide.placement import place
from levare.decide.preemption import MARGIN
from levare.decide.use import GPUS_PER_CPU
from levare.model import Decision as Decided
from levare.model import Device, Held, Node, Placement, Request, Sharing, Waiting, scale_of
from levare.store.waiting import HEADS

EPOCH = datetime(2026, 6, 1, tzinfo=UTC)
"""A Monday."""
MIN_RUNTIME = timedelta(minutes=5)
"""What levare gives a job that asks for nothing else."""


class Levare:
    """Sees what beat sees in its snapshot: the nodes, the accounts, and the first jobs of each lane."""

    name = "levare"

    def __init__(self, weights: Mapping[str, float] | None = None, *, half_life: timedelta = Sharing.half_life) -> None:
        self._durations, self._uses = Durations(), Uses(weighing(weights or {}, half_life))
        self._read_to = 0
        self._devices: dict[str, Sequence[Device]] = {}
        self._waiting: dict[str, tuple[tuple[object, ...], Waiting]] = {}
        self._held: dict[str, tuple[tuple[object, ...], Held]] = {}
        self._owed: dict[str, datetime] = {}
        """When others were last told to make room for a job that has not started since."""
        self._promised: dict[str, datetime] = {}
        self._ended_for: dict[str, str] = {}
        """Of each job that was told to make room: for whom, the last time."""
        self._tried: set[Hashable] = set()
        """The lanes at the last decision, and how often the machines had changed after it."""
        self._changes = -1

    def bucket(self, job: SimJob) -> Hashable:
        """A lane, as `levare.store.jobs` names it."""
        return (job.shape, job.team, job.user, job.priority, None if job.limit is None else scale_of(job.limit))

    def decide(self, waiting: Buckets[SimJob], fleet: Fleet, *, now: timedelta) -> Decision:
        self._learn(fleet.past)
        if self._is_settled(waiting, fleet):
            return Decision()
        nodes = [self._node(machine, fleet, now) for machine in fleet.machines.values()]
        most = min(Vacancies(nodes).most_starts(Request()), HEADS)
        if not most:
            return Decision()
        heads = [self._as_waiting(job) for lane in waiting.buckets.values() for job in islice(lane, most)]
        decided = place(heads, nodes, now=EPOCH + now, sharing=self._uses.sharing(EPOCH + now))
        self._note(decided, EPOCH + now)
        self._tried = set(waiting.buckets)
        self._changes = sum(fleet.versions.values()) + len(decided.placements) + len(decided.preemptions)
        promises = {job_id: promise.at - EPOCH for job_id, promise in decided.promises.items()}
        return Decision(
            [self._start(one) for one in decided.placements],
            [one.job_id for one in decided.preemptions],
            head=next(iter(promises), None),
            promises=promises,
        )

    def _learn(self, past: Sequence[Span]) -> None:
        """Read on in what has ended from where it stopped."""
        for span in past[self._read_to :]:
            job = span.job
            succeeded = not (span.preempted or job.fails)
            self._durations.learn(job.family, span.ended - span.started, succeeded=succeeded)
            self._uses.charge(
                job.team,
                "",
                job.user,
                rate=span.gpus + GPUS_PER_CPU * job.cpus,
                gpus=span.gpus,
                began=EPOCH + span.started,
                ended=EPOCH + span.ended,
            )
        self._read_to = len(past)

    def _is_settled(self, waiting: Buckets[SimJob], fleet: Fleet) -> bool:
        """Whether only jobs have come since the last decision, none of which fits anywhere or outranks what runs."""
        if sum(fleet.versions.values()) != self._changes:
            return False
        new = [lane[0] for key, lane in waiting.buckets.items() if key not in self._tried]
        return not any(_may_change(job, fleet) for job in new)

    def _note(self, decided: Decided, now: datetime) -> None:
        for placement in decided.placements:
            self._owed.pop(placement.job_id, None)
        for preemption in decided.preemptions:
            self._owed[preemption.for_job] = now
            self._ended_for[preemption.job_id] = preemption.for_job
        self._promised = {job_id: self._promised.get(job_id, made.at) for job_id, made in decided.promises.items()}

    def _as_waiting(self, job: SimJob) -> Waiting:
        """As it was when nothing of it has changed since."""
        state = (self._durations.versions[job.family], self._owed.get(job.id), self._promised.get(job.id))
        seen, waiting = self._waiting.get(job.id, ((), None))
        if waiting is None or seen != state:
            waiting = self._wish(job)
            self._waiting[job.id] = (state, waiting)
        return waiting

    def _wish(self, job: SimJob) -> Waiting:
        return Waiting(
            job.id,
            Request(job.gpus, job.gpu_memory_mib, job.cpus, job.memory_mib),
            job.priority,
            EPOCH + job.submitted,
            team=job.team,
            user=job.user,
            family=job.family,
            expected=self._durations.expected(job.family, job.limit),
            owed_since=self._owed.get(job.id),
            promised_at=self._promised.get(job.id),
        )

    def _node(self, machine: Machine, fleet: Fleet, now: timedelta) -> Node:
        if machine.name not in self._devices:
            self._devices[machine.name] = [
                Device(_uuid(machine.name, index), index, mib) for index, mib in enumerate(machine.gpus)
            ]
        held = [self._as_held(run, now) for run in fleet.runs[machine.name].values()]
        return Node(machine.name, "ready", machine.cpus, machine.memory_mib, self._devices[machine.name], held)

    def _as_held(self, run: Run, now: timedelta) -> Held:
        """As it was when nothing of it has changed since."""
        checkpoints = (now - run.started) // CHECKPOINT_EVERY
        limit = _believed(run, now)
        state = (run.started, self._durations.versions[run.job.family], checkpoints, run.stops, limit)
        seen, held = self._held.get(run.job.id, ((), None))
        if held is None or seen != state:
            held = self._read(run, checkpoints, limit)
            self._held[run.job.id] = (state, held)
        return held

    def _read(self, run: Run, checkpoints: int, limit: timedelta | None) -> Held:
        job, durations = run.job, self._durations
        return Held(
            f"{job.id}-1",
            job.id,
            {_uuid(run.node, index): mib for index, mib in run.devices.items()},
            job.cpus,
            job.memory_mib,
            team=job.team,
            user=job.user,
            priority=job.priority,
            min_runtime=MIN_RUNTIME,
            placed_at=EPOCH + run.started,
            safe_at=EPOCH + run.started + checkpoints * CHECKPOINT_EVERY if checkpoints else None,
            expected=durations.expected(job.family, limit),
            limit=durations.limit(job.family, limit),
            is_ending=run.stops is not None,
            ending_for=None if run.stops is None else self._ended_for[job.id],
        )

    def _start(self, placement: Placement) -> Start:
        indexes = {device.uuid: device.index for device in self._devices[placement.node]}
        return Start(placement.job_id, placement.node, {indexes[uuid]: mib for uuid, mib in placement.devices.items()})


def _may_change(job: SimJob, fleet: Fleet) -> bool:
    runs = (run for runs in fleet.runs.values() for run in runs.values())
    return any(room.fits(job.shape) for room in fleet.rooms.values()) or any(
        job.priority >= run.job.priority + MARGIN for run in runs
    )


def _believed(run: Run, now: timedelta) -> timedelta | None:
    """The user's limit, unless the run has outlived it: where limits end runs none does, and so it would end now."""
    limit = run.job.limit
    return None if limit is not None and now - run.started >= limit else limit


def _uuid(node: str, index: int) -> str:
    return f"{node}-{index}"
