"""
How many workers each pool is to have, on which machines, and which of them go.

A worker that has attempts is never ended: it is drained, takes nothing new, and is stopped when nothing is left on it.
Pure: the same facts in any order give the same decision.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from levare.decide.amounts import counted
from levare.decide.capacity import could_serve
from levare.decide.yard import Yard, prospect, share_of
from levare.model import Machine, Node, Placement, Pool, PoolWorker, Reason, Request, Scaling
from levare.model.pools import DRAINING, WANTED

REMOVED = "The pool was removed."
OTHERWISE = "The pool offers something else now."
EMPTIED = "Its machine is drained."
FEWER = "The pool wants fewer."
_READY = "ready"
_MOST_NODES = 64
"""More are not imagined: no gang has so many."""


@dataclass(frozen=True)
class Asked:
    """A job that waits, and how many of its lane do."""

    job_id: str
    request: Request
    lane: str
    count: int


@dataclass(frozen=True)
class Facts:
    """All that a decision about pools rests on."""

    pools: Sequence[Pool]
    machines: Sequence[Machine]
    workers: Sequence[PoolWorker]
    asked: Sequence[Asked] = ()
    """In the order of the queue; none where no pool follows it."""
    taken: frozenset[str] = frozenset()
    """Names of nodes that are no worker of a pool."""

    def once_placed(self, placements: Sequence[Placement]) -> "Facts":
        """As it will be when these have started."""
        busier, lanes = Counter(each.node for each in placements), {each.job_id: each.lane for each in self.asked}
        begun = Counter(lanes.get(each.job_id) for each in placements if each.rank == 0)
        workers = [replace(each, attempts=each.attempts + busier[each.name]) for each in self.workers]
        asked = [replace(each, count=each.count - begun[each.lane]) for each in self.asked]
        return replace(self, workers=workers, asked=asked)

    def decide(self, without_room: Collection[str], *, now: datetime) -> list[Scaling]:
        """What is to change; `without_room` are jobs, by id, of each lane one, that wait for room and nothing else."""
        first = {each.lane: each for each in reversed(self.asked) if each.job_id in without_room}
        asked = [(each.request, each.count) for each in first.values()]
        queue = demand(asked, [pool for pool in self.pools if follows_queue(pool)], self.machines)
        return scale(self.pools, self.machines, self.workers, queue, now=now, taken=self.taken)

    def foreseen(self, nodes: Sequence[Node], decided: Sequence[Scaling]) -> list[Node]:
        """The fleet once what was decided is done: with the nodes of workers that start, and those that go draining."""
        pools, machines = {each.name: each for each in self.pools}, {each.name: each for each in self.machines}
        goes = {name for each in decided for name in each.drain}
        stays = {name for each in decided for name in each.keep}
        there = {node.name for node in nodes}
        starting = [each for each in self.workers if each.state == WANTED and each.name not in goes | there]
        starting = [each for each in starting if machines[each.machine].is_here]
        coming = [*starting, *(worker for each in decided for worker in each.start)]
        return [
            *(_as_decided(node, goes, stays) for node in nodes),
            *(prospect(pools[each.pool], machines[each.machine], each.name) for each in coming),
        ]


def follows_queue(pool: Pool) -> bool:
    return pool.queue_per_worker is not None and pool.is_open


def _as_decided(node: Node, goes: Collection[str], stays: Collection[str]) -> Node:
    if node.name in goes and node.state == _READY:
        return replace(node, state=DRAINING)
    return replace(node, state=_READY) if node.name in stays and node.state == DRAINING else node


def scale(
    pools: Sequence[Pool],
    machines: Sequence[Machine],
    workers: Sequence[PoolWorker],
    queue: Mapping[str, int],
    *,
    now: datetime,
    taken: frozenset[str] = frozenset(),
) -> list[Scaling]:
    """
    What is to change in each pool, by name. `queue` is how many jobs wait for room that a worker of the pool could run.

    `taken` are names of nodes that no worker may have.
    """
    yard = Yard(sorted(machines, key=lambda machine: machine.name), workers, taken)
    mine: dict[str, list[PoolWorker]] = defaultdict(list)
    for worker in sorted(workers, key=lambda worker: worker.name):
        mine[worker.pool].append(worker)
    known = {pool.name: pool for pool in pools}
    gone = [_dissolve(name, mine[name]) for name in sorted(mine.keys() - known.keys())]
    order = [known[name] for name in sorted(known)]
    return [*gone, *(_Round(pool, mine[pool.name], yard, queue.get(pool.name, 0), now).decide() for pool in order)]


def demand(
    waiting: Iterable[tuple[Request, int]], pools: Iterable[Pool], machines: Sequence[Machine]
) -> Mapping[str, int]:
    """By pool, how many jobs wait that a worker of it could run; a gang counts as many times as it needs nodes."""
    asked = list(waiting)
    return {
        pool.name: sum(_served(request, count, _prospects(pool, machines)) for request, count in asked)
        for pool in pools
    }


@dataclass(frozen=True)
class Supply:
    """A pool that may start workers: the nodes that they would be, how many it has and wants, and why so many."""

    pool: str
    nodes: Sequence[Node]
    have: int
    wanted: int
    why: str


def supplied(reasons: Sequence[Reason], request: Request, supplies: Iterable[Supply]) -> Sequence[Reason]:
    """
    The reasons why a job waits for room, where pools may start workers that could run it.

    What no node could ever run now is then no reason, and neither is that there is none.
    """
    told = [_supply(each) for each in supplies if any(could_serve(request, node) for node in each.nodes)]
    if not told or not reasons:
        return reasons
    return [*(each for each in reasons if each.kind != "can-never-run" and each.code != "no-nodes"), *told]


def _supply(supply: Supply) -> Reason:
    has = f"has {supply.have} of {counted(supply.wanted, 'worker')}"
    return Reason("pool", "will-wait", f"The pool {supply.pool} could run it; it {has}. {supply.why}", 1, supply.have)


def at_most(pool: Pool, machines: Iterable[Machine]) -> list[Node]:
    """The nodes that the pool would be with as many workers as it may have, if nothing else ran on its machines."""
    usable = [replace(machine, is_here=True, is_draining=False) for machine in machines if _selects(pool, machine)]
    yard = Yard(usable, (), frozenset())
    return [
        prospect(pool, yard.machines[worker.machine], worker.name)
        for worker in yard.start(pool, min(pool.most, _MOST_NODES), lambda _: True)
    ]


def _prospects(pool: Pool, machines: Iterable[Machine]) -> list[Node]:
    """Of each machine that the pool may use the node that a worker there would be."""
    return [prospect(pool, machine) for machine in machines if _selects(pool, machine)]


def _served(request: Request, count: int, nodes: Iterable[Node]) -> int:
    return count * request.nodes if any(could_serve(request, node) for node in nodes) else 0


def _selects(pool: Pool, machine: Machine) -> bool:
    return all(machine.labels.get(name) == value for name, value in pool.select)


def _dissolve(name: str, workers: Iterable[PoolWorker]) -> Scaling:
    found = list(workers)
    drain = {worker.name: REMOVED for worker in found if worker.state == WANTED}
    return Scaling(name, 0, REMOVED, drain=drain, stop=_idle(found))


def _idle(workers: Iterable[PoolWorker]) -> list[str]:
    return [worker.name for worker in workers if worker.state == DRAINING and not worker.attempts]


@dataclass
class _Round:
    """One pool, while it is decided upon."""

    pool: Pool
    workers: Sequence[PoolWorker]
    yard: Yard
    waiting: int
    now: datetime
    drain: dict[str, str] = field(default_factory=dict)

    def decide(self) -> Scaling:
        staying = [worker for worker in self.workers if worker.state == WANTED and self._stays(worker)]
        wanted, why = self._wanted(staying)
        decided = Scaling(self.pool.name, wanted, why, drain=self.drain, stop=_idle(self.workers))
        if wanted < len(staying):
            return self._shrink(decided, staying)
        return self._grow(decided, wanted - len(staying)) if wanted > len(staying) else decided

    def _stays(self, worker: PoolWorker) -> bool:
        """Whether it is one of those that the pool counts; what runs on a machine that is away counts no more."""
        machine = self.yard.machines.get(worker.machine)
        if machine is None or not machine.is_here:
            if not self.pool.is_open or self.pool.most == 0:
                self.drain[worker.name] = FEWER
            return False
        if machine.is_draining:
            self.drain[worker.name] = EMPTIED
        elif not _selects(self.pool, machine) or not self._is_as_declared(worker, machine):
            self.drain[worker.name] = OTHERWISE
        return worker.name not in self.drain

    def _is_as_declared(self, worker: PoolWorker, machine: Machine) -> bool:
        """The price may change under a worker, and so may the disk that is free."""
        ours, offers = worker.share, self.pool.offers
        declared = share_of(self.pool, machine, ours.gpus)
        as_now = replace(declared, price=ours.price, scratch_mib=ours.scratch_mib)
        return as_now == ours and (offers is None or len(ours.gpus or ()) == offers.gpus)

    def _wanted(self, staying: Sequence[PoolWorker]) -> tuple[int, str]:
        pool = self.pool
        if not pool.is_open:
            return 0, f"It is closed: it exists only {pool.hours}."
        if pool.queue_per_worker is None:
            return pool.least, f"{counted(pool.least, 'worker')} {'is' if pool.least == 1 else 'are'} asked for."
        busy = sum(worker.attempts > 0 for worker in staying)
        asked = busy + -(-self.waiting // pool.queue_per_worker)
        wait, are = "waits" if self.waiting == 1 else "wait", "is" if busy == 1 else "are"
        sentence = (
            f"{counted(self.waiting, 'job')} that it could run {wait} for room, and {busy} of its workers {are} busy: "
            f"beside those it has 1 for each {counted(pool.queue_per_worker, 'job')}, from {pool.least} to {pool.most}."
        )
        return min(max(asked, pool.least), pool.most), sentence

    def _shrink(self, decided: Scaling, staying: Sequence[PoolWorker]) -> Scaling:
        """Those on which least runs go first, of these the last; a pool that follows the queue waits before that."""
        surplus = len(staying) - decided.wanted
        since = self.pool.surplus_since or self.now
        cool_down = self.pool.cool_down if self.pool.is_open else timedelta()
        if self.now - since < cool_down:
            until = f"{since + cool_down:%H:%M:%S} UTC"
            kept = f"{surplus} more {'is' if surplus == 1 else 'are'} kept until {until} at least."
            return replace(decided, why=f"{decided.why} {kept}", surplus_since=since)
        crowd = Counter(worker.machine for worker in staying)
        order = sorted(staying, key=lambda each: (each.attempts, -crowd[each.machine], -each.number, each.machine))
        return replace(decided, drain=self.drain | dict.fromkeys((each.name for each in order[:surplus]), FEWER))

    def _grow(self, decided: Scaling, missing: int) -> Scaling:
        """What is draining and fits is kept after all, that with most on it first; the rest is started."""
        keep = [worker.name for worker in self._returnable()[:missing]]
        start = self.yard.start(self.pool, missing - len(keep), lambda machine: _selects(self.pool, machine))
        short = missing - len(keep) - len(start)
        why = f"{decided.why} {self._why_no_more(short)}" if short else decided.why
        stop = [name for name in decided.stop if name not in keep]
        return replace(decided, why=why, keep=keep, start=start, stop=stop)

    def _returnable(self) -> list[PoolWorker]:
        draining = [worker for worker in self.workers if worker.state == DRAINING and self._is_usable(worker)]
        return sorted(draining, key=lambda worker: (-worker.attempts, worker.number, worker.machine))

    def _is_usable(self, worker: PoolWorker) -> bool:
        machine = self.yard.machines.get(worker.machine)
        if machine is None or not machine.is_here or machine.is_draining:
            return False
        return _selects(self.pool, machine) and self._is_as_declared(worker, machine)

    def _why_no_more(self, short: int) -> str:
        machines = [machine for machine in self.yard.machines.values() if _selects(self.pool, machine)]
        labels = ", ".join(f"{name}={value}" for name, value in self.pool.select)
        if not machines:
            whose = f" with {labels}" if labels else ""
            return f"No machine{whose} has joined; `levare nodes invite` brings one in."
        lacking = [f"{machine.name} {self.yard.lack(self.pool, machine)}" for machine in machines]
        return f"There is no room for {short} more: {'; '.join(lacking)}."
