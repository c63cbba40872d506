"""Plain frozen values that decisions read and return. Times are aware, sizes are MiB."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

BLOCKED, WAITING = "blocked", "waiting"
PLACED, STARTING, RUNNING = "placed", "starting", "running"
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
TIMED_OUT, OUT_OF_MEMORY, PREEMPTED, LOST = "timed_out", "out_of_memory", "preempted", "lost"

LIVE = (PLACED, STARTING, RUNNING)
"""An attempt in one of these states holds its devices; a job in one of them has such an attempt."""
FINAL = (SUCCEEDED, FAILED, CANCELLED)
"""A job in one of these states never changes again."""
ENDINGS = (SUCCEEDED, FAILED, TIMED_OUT, OUT_OF_MEMORY, CANCELLED, PREEMPTED, LOST)
JOB_STATES = (BLOCKED, WAITING, *LIVE, *FINAL)
ATTEMPT_STATES = (*LIVE, *ENDINGS)

FREE, OURS, FOREIGN, ORPHAN = "free", "ours", "foreign", "orphan"
"""Whose a GPU is: nobody's, a live attempt's, that of processes not of levare, or of what an attempt left behind."""
OWNERSHIPS = (FREE, OURS, FOREIGN, ORPHAN)
TAKEN = (FOREIGN, ORPHAN)
"""A GPU that is so is not offered to anyone."""


@dataclass(frozen=True)
class Request:
    """What one attempt needs. `gpu_memory_mib` is per GPU; None asks for whole GPUs."""

    gpus: int = 0
    gpu_memory_mib: int | None = None
    cpus: int = 1
    memory_mib: int = 0

    @property
    def shape(self) -> str:
        """Equal requests have equal shapes."""
        gpu = "whole" if self.gpu_memory_mib is None else self.gpu_memory_mib
        return f"g{self.gpus}x{gpu}-c{self.cpus}-m{self.memory_mib}"


@dataclass(frozen=True)
class Waiting:
    """A job that could start now if there were room."""

    job_id: str
    request: Request
    priority: int
    since: datetime


@dataclass(frozen=True)
class Device:
    uuid: str
    index: int
    memory_mib: int
    model: str = ""
    ownership: str = FREE
    blocked: str = ""
    """Who uses it besides levare, in a sentence; empty for one that is usable."""


@dataclass(frozen=True)
class Held:
    """What one live attempt holds on its node: MiB per device UUID, CPUs, memory."""

    attempt_id: str
    job_id: str
    devices: Mapping[str, int]
    cpus: int
    memory_mib: int


@dataclass(frozen=True)
class Node:
    """A node as placement sees it. Only a `ready` node takes new attempts."""

    name: str
    state: str
    cpus: int
    memory_mib: int
    devices: Sequence[Device] = ()
    held: Sequence[Held] = ()
    incarnation: str = ""
    """Of its worker; a new one is told again of what runs there."""


@dataclass(frozen=True)
class Placement:
    """Run this job on this node with these devices (UUID -> MiB)."""

    job_id: str
    node: str
    request: Request
    devices: Mapping[str, int] = field(default_factory=dict)

    @property
    def queue(self) -> str:
        return f"{'gpu' if self.devices else 'cpu'}.{self.node}"


@dataclass(frozen=True)
class Reason:
    """
    Why a job waits: a stable code, the numbers, a sentence.

    `kind` is `will-wait` (time will solve it), `can-never-run` (the fleet is too small) or
    `misconfigured` (the request contradicts itself or something outside it).
    """

    code: str
    kind: str
    message: str
    asked: float | None = None
    available: float | None = None


@dataclass(frozen=True)
class Decision:
    """What placement decided: who starts where, and for each job left waiting all the reasons."""

    placements: Sequence[Placement] = ()
    reasons: Mapping[str, Sequence[Reason]] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """A job whose latest attempt has ended and whose consequence is still to be drawn."""

    job_id: str
    attempt_id: str
    outcome: str
    exit_code: int | None
    reason: str
    attempt: int
    retries: int
    losses: int
    cancel_requested: bool


@dataclass(frozen=True)
class Blocked:
    """A job that waits for others or for its time. `needs` maps each needed job to its state."""

    job_id: str
    needs: Mapping[str, str]
    start_after: datetime | None


@dataclass(frozen=True)
class Silent:
    """A live attempt on a node whose lease has not been renewed for `silence`, as the leader itself has watched."""

    attempt_id: str
    node: str
    silence: timedelta
    on_lost: str
    cancel_requested: bool


@dataclass(frozen=True)
class Move:
    """
    A job's way on: to `state`, because of `reason`. It happens only if the job is still in one of `expected`.

    `lost` counts the attempt as lost through no fault of its own.
    """

    job_id: str
    expected: tuple[str, ...]
    state: str
    reason: str | None = None
    exit_code: int | None = None
    lost: bool = False
