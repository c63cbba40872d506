"""What machines have left for workers while one decision is made, and what a worker is given of its machine."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from levare.decide.amounts import counted, size
from levare.model import Device, Machine, Node, Offers, Pool, PoolWorker, Share
from levare.written import gpu_label, simulated_devices


def share_of(pool: Pool, machine: Machine, gpus: tuple[str, ...] | None) -> Share:
    """What a worker of the pool has of the machine; `gpus` are the real ones, None for all."""
    labels = tuple(sorted({**machine.labels, **dict(pool.labels), "pool": pool.name, "machine": machine.name}.items()))
    offers = pool.offers
    if offers is None:
        return Share(labels=labels, price=pool.price)
    is_simulated = bool(offers.simulated_gpus)
    part = 1.0 if is_simulated else min(1.0, offers.cpus / machine.cpus)
    memory = int(machine.memory_mib * part) if offers.memory_mib is None else offers.memory_mib
    return Share(
        offers.cpus,
        memory,
        int(machine.scratch_mib * part),
        () if is_simulated else gpus or (),
        offers.simulated_gpus,
        labels,
        pool.price,
    )


def prospect(pool: Pool, machine: Machine, name: str = "") -> Node:
    """The node that a worker of the pool would be there, as if nothing else ran on the machine."""
    share = share_of(pool, machine, ())
    has = machine.gpus if pool.offers is None else machine.gpus[: pool.offers.gpus]
    simulated = simulated_devices(share.simulated_gpus) if share.simulated_gpus else ()
    devices = [Device(f"SIM-{index}", index, mib, "Simulated GPU") for index, mib in enumerate(simulated)] or has
    cpus = machine.cpus if share.cpus is None else share.cpus
    memory = machine.memory_mib if share.memory_mib is None else share.memory_mib
    scratch = machine.scratch_mib if share.scratch_mib is None else share.scratch_mib
    own = {"node": name} if name else {}
    labels = {**dict(share.labels), **own, **gpu_label([device.model for device in devices])}
    return Node(name or machine.name, "ready", cpus, memory, devices, labels=labels, scratch_mib=scratch)


def name_of(machine: str, pool: str, number: int) -> str:
    return f"{machine}-{pool}-{number}"


class Yard:
    """The machines by name, and what no worker has of each. Workers that drain or stop have theirs until they end."""

    def __init__(self, machines: Iterable[Machine], workers: Iterable[PoolWorker], taken: frozenset[str]) -> None:
        self.machines: Mapping[str, Machine] = {machine.name: machine for machine in machines}
        self._on: dict[str, list[PoolWorker]] = {name: [] for name in self.machines}
        self._names = set(taken)
        for worker in workers:
            self._put(worker)

    def start(self, pool: Pool, count: int, selects: Callable[[Machine], bool]) -> Sequence[PoolWorker]:
        """As many as there is room for, spread evenly; where that is equal, where most is free."""
        started: list[PoolWorker] = []
        while len(started) < count:
            fit = [each for each in self.machines.values() if selects(each) and not self.lack(pool, each)]
            if not fit:
                break
            best = min(fit, key=lambda each: (self._number_of(pool, each), -self._cpus_free(each), each.name))
            started.append(self._start(pool, best))
        return started

    def lack(self, pool: Pool, machine: Machine) -> str:
        """Why the machine takes no worker more of this pool, after its name; empty if it does."""
        if not machine.is_here:
            return "does not ask what to do"
        if machine.is_draining:
            return "is drained"
        if pool.offers and pool.offers.simulated_gpus:
            return ""
        real = [worker for worker in self._on[machine.name] if not worker.share.simulated_gpus]
        if any(worker.share.is_whole for worker in real) or (real and not pool.offers):
            return f"is taken by {real[0].name}"
        return self._shortage(pool, pool.offers, machine) if pool.offers else ""

    def _shortage(self, pool: Pool, offers: Offers, machine: Machine) -> str:
        cpus, memory, gpus = self._cpus_free(machine), self._memory_free(machine), len(self._gpus_free(machine))
        needed = share_of(pool, machine, ()).memory_mib or 0
        if offers.cpus > cpus:
            return f"has {counted(cpus, 'CPU')} left of {machine.cpus}, and a worker needs {offers.cpus}"
        if offers.gpus > gpus:
            return f"has {counted(gpus, 'GPU')} left of {len(machine.gpus)}, and a worker needs {offers.gpus}"
        if needed > memory:
            return f"has {size(memory)} of memory left of {size(machine.memory_mib)}, and a worker needs {size(needed)}"
        return ""

    def _start(self, pool: Pool, machine: Machine) -> PoolWorker:
        gpus = None if pool.offers is None else tuple(self._gpus_free(machine)[: pool.offers.gpus])
        number = next(each for each in range(1, len(self._names) + 2) if self._is_free(machine, pool, each))
        worker = PoolWorker(
            name_of(machine.name, pool.name, number), pool.name, machine.name, number, share_of(pool, machine, gpus)
        )
        self._put(worker)
        return worker

    def _put(self, worker: PoolWorker) -> None:
        self._on.setdefault(worker.machine, []).append(worker)
        self._names.add(worker.name)

    def _is_free(self, machine: Machine, pool: Pool, number: int) -> bool:
        return name_of(machine.name, pool.name, number) not in self._names

    def _number_of(self, pool: Pool, machine: Machine) -> int:
        return sum(worker.pool == pool.name for worker in self._on[machine.name])

    def _cpus_free(self, machine: Machine) -> int:
        return machine.cpus - sum(share.cpus or 0 for share in self._taken(machine))

    def _memory_free(self, machine: Machine) -> int:
        return machine.memory_mib - sum(share.memory_mib or 0 for share in self._taken(machine))

    def _gpus_free(self, machine: Machine) -> list[str]:
        """UUIDs that no worker has, whatever its pool: no GPU is given twice."""
        given = {uuid for share in self._taken(machine) for uuid in share.gpus or ()}
        return [gpu.uuid for gpu in sorted(machine.gpus, key=lambda gpu: gpu.index) if gpu.uuid not in given]

    def _taken(self, machine: Machine) -> list[Share]:
        shares = (worker.share for worker in self._on[machine.name])
        return [share for share in shares if not share.simulated_gpus]
