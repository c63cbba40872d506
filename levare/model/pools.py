"""Pools of workers, the machines that they run on, and what is decided about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from levare.model.nodes import Device
from levare.model.requests import Pairs

WANTED, DRAINING, STOPPING = "wanted", "draining", "stopping"
WORKER_STATES = (WANTED, DRAINING, STOPPING)
"""
A worker of a pool is `wanted` until the pool shrinks: then it is `draining` and takes nothing new. When nothing runs on
it any more it is `stopping`: its machine ends it, and it is forgotten.
"""


@dataclass(frozen=True)
class Offers:
    """
    What one worker of a pool offers; without it, all of a machine.

    `memory_mib` None is the part of the machine's memory that its CPUs are of the machine's. Simulated GPUs exist only
    in the bookkeeping, and so do the CPUs and the memory beside them: they are not taken from the machine.
    """

    cpus: int = 1
    memory_mib: int | None = None
    gpus: int = 0
    simulated_gpus: str = ""


@dataclass(frozen=True)
class Share:
    """What one worker was given of its machine; None is all that the machine has."""

    cpus: int | None = None
    memory_mib: int | None = None
    scratch_mib: int | None = None
    gpus: tuple[str, ...] | None = None
    """UUIDs of real GPUs."""
    simulated_gpus: str = ""
    labels: Pairs = ()
    price: float | None = None

    @property
    def is_whole(self) -> bool:
        return self.cpus is None


@dataclass(frozen=True)
class Pool:
    """
    How many workers are to run on the machines that have all labels of `select`.

    There are `least`; with `queue_per_worker`, one for each so many jobs that wait for room, up to `most`.
    """

    name: str
    least: int
    most: int
    queue_per_worker: int | None = None
    cool_down: timedelta = timedelta()
    """So long it has more workers than it needs before it lets any go."""
    select: Pairs = ()
    offers: Offers | None = None
    labels: Pairs = ()
    price: float | None = None
    is_open: bool = True
    hours: str = ""
    """When it is open, in words; empty for always."""
    surplus_since: datetime | None = None
    """Since when it has had more workers than it needs."""
    stood: int = 0
    """How many were wanted when that was decided last."""
    why: str = ""


@dataclass(frozen=True)
class Machine:
    """A machine on which `levare node run` starts workers, as it last said itself."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    cpus: int = 1
    memory_mib: int = 0
    scratch_mib: int = 0
    gpus: Sequence[Device] = ()
    is_here: bool = True
    """Whether it has asked lately what is wanted of it."""
    is_draining: bool = False
    """Whether somebody wants it empty."""


@dataclass(frozen=True)
class PoolWorker:
    """A worker process of a pool on a machine: a node of the fleet of the same name, once it has joined."""

    name: str
    pool: str
    machine: str
    number: int
    share: Share
    state: str = WANTED
    attempts: int = 0
    """How many live on it."""


@dataclass(frozen=True)
class Scaling:
    """What a pool changes now, and why: workers to start, to drain (name -> reason), to keep after all, to stop."""

    pool: str
    wanted: int
    why: str
    surplus_since: datetime | None = None
    start: Sequence[PoolWorker] = ()
    drain: Mapping[str, str] = field(default_factory=dict)
    keep: Sequence[str] = ()
    stop: Sequence[str] = ()

    @property
    def moves_any(self) -> bool:
        return bool(self.scales or self.stop)

    @property
    def scales(self) -> Mapping[str, int]:
        """How many start, drain, and are kept after all, of each what is not 0; to stop what has drained is no news."""
        counts = {"started": len(self.start), "drained": len(self.drain), "kept": len(self.keep)}
        return {name: count for name, count in counts.items() if count}
