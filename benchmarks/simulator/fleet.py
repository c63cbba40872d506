"""The machines, what each has left, and what runs there."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import NamedTuple

GIB = 1024


class Shape(NamedTuple):
    """What one run needs. `gpu_memory_mib` is per GPU; None asks for whole GPUs."""

    gpus: int
    gpu_memory_mib: int | None
    cpus: int
    memory_mib: int


@dataclass(frozen=True)
class SimJob:
    """
    One job as it truly is. A policy that is not clairvoyant must read neither `duration` nor `fails`.

    `submitted` is the instant since the month began, `limit` what the user claims, None if nothing.
    """

    id: str
    team: str
    user: str
    family: str
    submitted: timedelta
    gpus: int
    cpus: int
    memory_mib: int
    gpu_memory_mib: int | None
    priority: int
    duration: timedelta
    limit: timedelta | None
    fails: bool = False

    @cached_property
    def shape(self) -> Shape:
        return Shape(self.gpus, self.gpu_memory_mib, self.cpus, self.memory_mib)

    @cached_property
    def order(self) -> tuple[timedelta, str]:
        """Who came first."""
        return (self.submitted, self.id)


@dataclass(frozen=True)
class Machine:
    """`gpus` is the memory of each GPU in MiB."""

    name: str
    cpus: int
    memory_mib: int
    gpus: tuple[int, ...]


LARGE = tuple(Machine(f"n{i:02}", 128, 1024 * GIB, (80 * GIB,) * 8) for i in range(16))
SMALL = (
    Machine("a", 128, 1024 * GIB, (80 * GIB,) * 8),
    Machine("b", 64, 512 * GIB, (48 * GIB,) * 4),
    Machine("c", 48, 256 * GIB, (24 * GIB,) * 4),
    Machine("d", 32, 128 * GIB, (24 * GIB,) * 2),
)
FLEETS: Mapping[str, Sequence[Machine]] = {"large": LARGE, "small": SMALL}


class Room:
    """The free part of one machine."""

    __slots__ = ("cpus", "free", "machine", "memory_mib", "whole")

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.free = list(machine.gpus)
        self.whole = len(machine.gpus)
        self.cpus, self.memory_mib = machine.cpus, machine.memory_mib

    def copy(self) -> "Room":
        twin = Room.__new__(Room)
        twin.machine, twin.free, twin.whole = self.machine, self.free.copy(), self.whole
        twin.cpus, twin.memory_mib = self.cpus, self.memory_mib
        return twin

    def fits(self, shape: Shape) -> bool:
        gpus, share, cpus, memory_mib = shape
        if cpus > self.cpus or memory_mib > self.memory_mib:
            return False
        if share is None:
            return gpus <= self.whole
        if gpus == 1:
            return max(self.free, default=0) >= share
        return gpus <= sum(free >= share for free in self.free)

    def devices_for(self, shape: Shape) -> Mapping[int, int]:
        """The GPUs, as index -> MiB, that serve a shape which fits: the fullest that have enough."""
        total, share = self.machine.gpus, shape.gpu_memory_mib
        if share is None:
            untouched = [index for index, free in enumerate(self.free) if free == total[index]]
            return {index: total[index] for index in untouched[: shape.gpus]}
        enough = sorted((free, index) for index, free in enumerate(self.free) if free >= share)
        return {index: share for _, index in enough[: shape.gpus]}

    def take(self, shape: Shape, devices: Mapping[int, int]) -> None:
        for index, mib in devices.items():
            self.whole -= self.free[index] == self.machine.gpus[index]
            self.free[index] -= mib
        self.cpus -= shape.cpus
        self.memory_mib -= shape.memory_mib

    def give(self, shape: Shape, devices: Mapping[int, int]) -> None:
        for index, mib in devices.items():
            self.free[index] += mib
            self.whole += self.free[index] == self.machine.gpus[index]
        self.cpus += shape.cpus
        self.memory_mib += shape.memory_mib

    def waste(self, shape: Shape) -> tuple[int, int, int, str]:
        """What a start here would spoil, least first."""
        unneeded = self.whole - shape.gpus if shape.gpu_memory_mib is None else self.whole
        return (unneeded, len(self.free), self.cpus, self.machine.name)


class Hold(NamedTuple):
    """What is taken on a machine, and until when as somebody expects."""

    until: timedelta
    shape: Shape
    devices: Mapping[int, int]


def fits_at(shape: Shape, room: Room, holds: Iterable[Hold], *, now: timedelta) -> timedelta | None:
    """The first instant at which `shape` fits into `room` if nothing else starts there; None if it never does."""
    if room.fits(shape):
        return now
    emptying = room.copy()
    for hold in sorted(holds, key=lambda hold: hold.until):
        emptying.give(hold.shape, hold.devices)
        if emptying.fits(shape):
            return hold.until
    return None


def gpus_granted(machine: Machine, devices: Mapping[int, int]) -> float:
    """A GPU of which half the memory is granted counts as half a GPU."""
    return sum(mib / machine.gpus[index] for index, mib in devices.items())
