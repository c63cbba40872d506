"""A fleet on which decisions come true: what is placed runs, what is told to make room ends, and time goes on."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from levare.decide.placement import place
from levare.model import Decision, Device, Held, Node, Preemption, Promise, Request, Sharing, Waiting

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GIB = 1024
CARD = 80 * GIB


def a_node(name: str, *, gpus: int = 4, cpus: int = 32, memory_gib: int = 256, **more) -> Node:
    devices = [Device(f"{name}-{index}", index, CARD) for index in range(gpus)]
    return Node(name, more.pop("state", "ready"), cpus, memory_gib * GIB, devices, **more)


def a_job(name: str, *, priority: int = 5, since: datetime = NOON, expected=None, team: str = "a", **more) -> Waiting:
    of_job = {key: more.pop(key) for key in ("user", "count", "owed_since", "shunned", "only_between") if key in more}
    return Waiting(name, Request(**more), priority, since, team=team, expected=expected, **of_job)


def a_run(job: Waiting, devices: Mapping[str, int], **more) -> Held:
    """What a job holds that has been placed."""
    request = job.request
    return Held(
        more.pop("attempt_id", f"{job.job_id}-1"),
        job.job_id,
        devices,
        request.cpus,
        request.memory_mib,
        request.scratch_mib,
        request.resources,
        job.team,
        job.project,
        job.user,
        job.priority,
        expected=job.expected,
        **more,
    )


def overfull(nodes: Iterable[Node], licences: Mapping[str, int]) -> Iterator[str]:
    """Everything of which more is held than there is: an account of its own, not the one of those who decide."""
    left = Counter(licences)
    for node in nodes:
        for name, held, there in _amounts(node, licences):
            if held > there:
                yield f"{held} of {there} {name} on {node.name}"
        left.subtract({name: amount for held in node.held for name, amount in held.resources if name in licences})
    yield from (f"{-amount} too many {name}" for name, amount in left.items() if amount < 0)


def _amounts(node: Node, licences: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
    yield "CPUs", sum(held.cpus for held in node.held), node.cpus
    yield "memory", sum(held.memory_mib for held in node.held), node.memory_mib
    yield "scratch", sum(held.scratch_mib for held in node.held), node.scratch_mib
    for device in node.devices:
        yield device.uuid, sum(held.devices.get(device.uuid, 0) for held in node.held), device.memory_mib
    custom = {name for held in node.held for name, _ in held.resources if name not in licences}
    for name in custom:
        yield name, sum(dict(held.resources).get(name, 0) for held in node.held), node.resources.get(name, 0)


def after(nodes: Sequence[Node], jobs: Iterable[Waiting], decision: Decision) -> list[Node]:
    """The nodes with what starts on them."""
    by_id = {job.job_id: job for job in jobs}
    started = [
        (each.node, a_run(by_id[each.job_id], each.devices, attempt_id=f"new-{number}"))
        for number, each in enumerate(decision.placements)
    ]
    return [replace(node, held=[*node.held, *(run for name, run in started if name == node.name)]) for node in nodes]


@dataclass
class World:
    """Runs last as long as promised, or for ever where nothing is; what makes room does so for `grace`."""

    nodes: dict[str, Node]
    sharing: Sharing = field(default_factory=Sharing)
    now: datetime = NOON
    grace: timedelta = timedelta(seconds=30)
    min_runtime: timedelta = timedelta()
    preemptible: bool = True
    waiting: dict[str, Waiting] = field(default_factory=dict)
    jobs: dict[str, Waiting] = field(default_factory=dict)
    started: dict[str, datetime] = field(default_factory=dict)
    promises: list[tuple[str, Promise]] = field(default_factory=list)
    preemptions: list[Preemption] = field(default_factory=list)
    _ends: dict[str, datetime] = field(default_factory=dict)
    _attempts: int = 0

    @classmethod
    def of(cls, nodes: Iterable[Node], **more) -> "World":
        return cls({node.name: node for node in nodes}, **more)

    def submit(self, *jobs: Waiting) -> None:
        self.waiting |= {job.job_id: job for job in jobs}
        self.jobs |= {job.job_id: job for job in jobs}

    def decide(self) -> Decision:
        """Decide once, and let it come true."""
        nodes = list(self.nodes.values())
        decision = place(list(self.waiting.values()), nodes, now=self.now, sharing=self.sharing)
        for preemption in decision.preemptions:
            self._tell(preemption)
        for each in decision.placements:
            self._start(each.job_id, each.node, each.devices)
        for each in decision.placements:
            self.waiting.pop(each.job_id, None)
        self.promises += decision.promises.items()
        return decision

    def running(self) -> list[Held]:
        return [held for node in self.nodes.values() for held in node.held]

    def next_end(self) -> datetime | None:
        return min(self._ends.values(), default=None)

    def advance(self, to: datetime) -> None:
        """What is due ends; what was ended to make room waits again, in its old place."""
        self.now = to
        for attempt in [attempt for attempt, end in self._ends.items() if end <= to]:
            if attempt in self._ends:
                self.end(attempt)

    def end(self, attempt_id: str) -> None:
        """The whole job ends, of a gang all parts."""
        job = next(held for held in self.running() if held.attempt_id == attempt_id)
        if job.is_ending:
            self.waiting[job.job_id] = replace(self.jobs[job.job_id], owed_since=None)
        for held in [held for held in self.running() if held.job_id == job.job_id]:
            self._ends.pop(held.attempt_id, None)
        self._change(lambda held: None if held.job_id == job.job_id else held)

    def _start(self, job_id: str, node: str, devices: Mapping[str, int]) -> None:
        self._attempts += 1
        job, attempt = self.jobs[job_id], f"{job_id}-{self._attempts}"
        held = a_run(job, devices, attempt_id=attempt, placed_at=self.now, min_runtime=self.min_runtime)
        held = replace(held, preemptible=self.preemptible)
        self.nodes[node] = replace(self.nodes[node], held=[*self.nodes[node].held, held])
        self.started.setdefault(job_id, self.now)
        if job.expected:
            self._ends[attempt] = self.now + job.expected.promised

    def _tell(self, told: Preemption) -> None:
        victim = next(held for held in self.running() if held.attempt_id == told.attempt_id)
        assert not victim.is_ending, "told twice"
        self.preemptions.append(told)
        self._ends[told.attempt_id] = min(self._ends.get(told.attempt_id, self.now + self.grace), self.now + self.grace)
        self._change(
            lambda held: (
                replace(held, is_ending=True, ending_for=told.for_job) if held.attempt_id == told.attempt_id else held
            )
        )
        self.waiting[told.for_job] = replace(self.waiting[told.for_job], owed_since=self.now)

    def _change(self, change: Callable[[Held], Held | None]) -> None:
        for name, node in self.nodes.items():
            self.nodes[name] = replace(node, held=[kept for held in node.held if (kept := change(held))])
