"""levare's own decisions, the very functions that beat calls, on the simulated fleet."""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, islice

from benchmarks.simulator.engine import Decision, Fleet, Run, Start
from benchmarks.simulator.fleet import Machine, Shape, SimJob
from benchmarks.simulator.queue import Queue
from levare.decide.capacity import most_starts
from levare.decide.order import rank
from levare.decide.placement import place
from levare.model import Device, Held, Node, Placement, Request, Waiting
from levare.store.snapshot import HEADS

EPOCH = datetime(2026, 6, 1, tzinfo=UTC)
"""A Monday."""


class Levare:
    """Sees what beat sees in its snapshot: the nodes, and of each shape the first jobs by priority and age."""

    name = "levare"

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[int, Node]] = {}
        self._devices: dict[str, Sequence[Device]] = {}
        self._waiting: dict[str, Waiting] = {}

    def bucket(self, job: SimJob) -> Hashable:
        return (job.shape, -job.priority)

    def decide(self, waiting: Queue, fleet: Fleet, *, now: timedelta) -> Decision:
        nodes = [self._node(name, fleet) for name in fleet.machines]
        most = min(most_starts(nodes), HEADS)
        if not most:
            return Decision()
        jobs = {job.job_id: job for job in self._heads(waiting, most)}
        decision = place(list(jobs.values()), nodes, now=EPOCH + now)
        head = min((jobs[job_id] for job_id in decision.reasons), key=lambda job: rank(job, EPOCH + now), default=None)
        return Decision([self._start(one) for one in decision.placements], head=head.job_id if head else None)

    def _heads(self, waiting: Queue, most: int) -> Iterator[Waiting]:
        by_shape: dict[Shape, list[Sequence[SimJob]]] = {}
        for key in sorted(waiting.buckets, key=_priority):
            bucket = waiting.buckets[key]
            by_shape.setdefault(bucket[0].shape, []).append(bucket)
        for buckets in by_shape.values():
            yield from (self._as_waiting(job) for job in islice(chain.from_iterable(buckets), most))

    def _as_waiting(self, job: SimJob) -> Waiting:
        if job.id not in self._waiting:
            self._waiting[job.id] = Waiting(job.id, _request(job), job.priority, EPOCH + job.submitted)
        return self._waiting[job.id]

    def _node(self, name: str, fleet: Fleet) -> Node:
        version, node = self._nodes.get(name, (-1, None))
        if node is None or version != fleet.versions[name]:
            node = self._read(fleet.machines[name], fleet.runs[name].values())
            self._nodes[name] = (fleet.versions[name], node)
        return node

    def _read(self, machine: Machine, runs: Iterable[Run]) -> Node:
        if machine.name not in self._devices:
            self._devices[machine.name] = [
                Device(_uuid(machine.name, index), index, mib) for index, mib in enumerate(machine.gpus)
            ]
        held = [_held(machine.name, run) for run in runs]
        return Node(machine.name, "ready", machine.cpus, machine.memory_mib, self._devices[machine.name], held)

    def _start(self, placement: Placement) -> Start:
        indexes = {device.uuid: device.index for device in self._devices[placement.node]}
        self._waiting.pop(placement.job_id)
        return Start(placement.job_id, placement.node, {indexes[uuid]: mib for uuid, mib in placement.devices.items()})


def _priority(bucket: Hashable) -> int:
    return bucket[1] if isinstance(bucket, tuple) else 0


def _request(job: SimJob) -> Request:
    return Request(job.gpus, job.gpu_memory_mib, job.cpus, job.memory_mib)


def _held(node: str, run: Run) -> Held:
    devices: Mapping[str, int] = {_uuid(node, index): mib for index, mib in run.devices.items()}
    return Held(f"{run.job.id}-1", run.job.id, devices, run.job.cpus, run.job.memory_mib)


def _uuid(node: str, index: int) -> str:
    return f"{node}-{index}"
