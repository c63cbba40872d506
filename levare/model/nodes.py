"""The machines, and what is held of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from levare.model.requests import Amounts, Duration
from levare.model.states import FREE


@dataclass(frozen=True)
class Device:
    """`blocked` says why it cannot be used, in a sentence; empty where it can."""

    uuid: str
    index: int
    memory_mib: int
    model: str = ""
    ownership: str = FREE
    blocked: str = ""
    """Who uses it besides levare, in a sentence; empty for one that is usable."""


@dataclass(frozen=True)
class Held:
    """
    What one live attempt holds on its node: MiB per device UUID, CPUs, memory; whose it is, and when it may end.

    A gang has one of these per node, all with the same `job_id`. `safe_at` is when it last saved a checkpoint, as far
    as is known. `ending_for` names the job that it makes room for; `is_ending` that it has been told to end, and
    `ends_by` until when it may take for that.
    """

    attempt_id: str
    job_id: str
    devices: Mapping[str, int]
    cpus: int
    memory_mib: int
    scratch_mib: int = 0
    resources: Amounts = ()
    team: str = "default"
    project: str = "default"
    user: str = ""
    priority: int = 5
    preemptible: bool = True
    min_runtime: timedelta = timedelta()
    placed_at: datetime | None = None
    safe_at: datetime | None = None
    expected: Duration | None = None
    limit: timedelta | None = None
    progress: float | None = None
    is_ending: bool = False
    ending_for: str | None = None
    ends_by: datetime | None = None

    @cached_property
    def usual_end(self) -> datetime | None:
        """By when it has ended in 9 of 10 cases; None where that is unknown, or it says itself how far it is."""
        known = self.expected if self.progress is None else None
        if known is None or self.placed_at is None:
            return None
        return self.placed_at + (known.promised if self.limit is None else min(known.promised, self.limit))


@dataclass(frozen=True)
class Window:
    """
    A time for which a node is kept: for maintenance, or for `team` (and `user`) alone.

    What would run into it does not start on that node.
    """

    name: str
    node: str
    starts: datetime
    ends: datetime
    team: str | None = None
    user: str | None = None

    def admits(self, team: str, user: str) -> bool:
        return self.team is not None and self.team == team and self.user in (None, user)


@dataclass(frozen=True)
class Node:
    """A node as placement sees it. Only a `ready` node takes new attempts; `note` says why it does not."""

    name: str
    state: str
    cpus: int
    memory_mib: int
    devices: Sequence[Device] = ()
    held: Sequence[Held] = ()
    incarnation: str = ""
    """Of its worker; a new one is told again of what runs there."""
    labels: Mapping[str, str] = field(default_factory=dict)
    scratch_mib: int = 0
    resources: Mapping[str, int] = field(default_factory=dict)
    windows: Sequence[Window] = ()
    note: str = ""
    price: float | None = None
    """Of an hour of the whole node, in the currency of the team; None where nobody has said."""

    @cached_property
    def usual_endings(self) -> Sequence[tuple[datetime, str, Held]]:
        """When what it holds usually ends, first to last, where that is known, with the attempts."""
        known = ((held.usual_end, held.attempt_id, held) for held in self.held)
        return sorted(((end, attempt, held) for end, attempt, held in known if end), key=lambda ending: ending[:2])

    @cached_property
    def left(self) -> "Left":
        """What nobody holds of it."""
        total = {device.uuid: device.memory_mib for device in self.devices if not device.blocked}
        free, resources = dict(total), dict(self.resources)
        for held in self.held:
            for uuid in held.devices.keys() & total.keys():
                free[uuid] -= held.devices[uuid]
            for name, amount in held.resources:
                resources[name] = resources.get(name, 0) - amount
        return Left(
            total=total,
            free=free,
            whole=sum(free[uuid] == mib for uuid, mib in total.items()),
            cpus=self.cpus - sum(held.cpus for held in self.held),
            memory_mib=self.memory_mib - sum(held.memory_mib for held in self.held),
            scratch_mib=self.scratch_mib - sum(held.scratch_mib for held in self.held),
            resources=resources,
        )


@dataclass(frozen=True)
class Left:
    """What is free on a node. Devices that cannot be used are not part of it."""

    total: Mapping[str, int]
    free: Mapping[str, int]
    whole: int
    """Devices of which nobody holds anything."""
    cpus: int
    memory_mib: int
    scratch_mib: int
    resources: Mapping[str, int]
