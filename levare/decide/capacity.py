"""What a node has left, and whether a request fits into it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Self

from levare.decide.amounts import counted, joined, size
from levare.model import Held, Node, Request


class Room:
    """The free part of one node, while one decision is made. Devices that cannot be used are not part of it."""

    __slots__ = (
        "cpus",
        "free",
        "is_open",
        "memory_mib",
        "name",
        "node",
        "resources",
        "scratch_mib",
        "total",
        "whole",
    )

    def __init__(self, node: Node) -> None:
        self.node, self.name = node, node.name
        self.is_open = node.state == "ready" and not node.note
        left = node.left
        self.total, self.whole = left.total, left.whole
        self.free, self.resources = dict(left.free), dict(left.resources)
        self.cpus, self.memory_mib, self.scratch_mib = left.cpus, left.memory_mib, left.scratch_mib

    @classmethod
    def emptied(cls, node: Node) -> Self:
        """As if nothing ran on the node, and it and every device of it could be used."""
        return cls.unblocked(replace(node, held=(), state="ready", note=""))

    @classmethod
    def vacant(cls, node: Node) -> Self:
        """As if nothing ran on the node."""
        return cls(replace(node, held=()))

    @classmethod
    def unblocked(cls, node: Node) -> Self:
        return cls(replace(node, devices=[replace(device, blocked="") for device in node.devices]))

    def copy(self) -> "Room":
        twin = object.__new__(Room)
        for name in Room.__slots__:
            setattr(twin, name, getattr(self, name))
        twin.free, twin.resources = dict(self.free), dict(self.resources)
        return twin

    def suits(self, request: Request) -> bool:
        """Whether the node has the labels and the model of GPU that the request names."""
        if not (request.require or request.avoid or request.gpu_model):
            return True
        labels = self.node.labels
        return (
            all(labels.get(name) == value for name, value in request.require)
            and not any(labels.get(name) == value for name, value in request.avoid)
            and (request.gpu_model is None or bool(self._of_model(request, self._models())))
        )

    def fits(self, request: Request) -> bool:
        """Whether this much is free now."""
        return (
            request.cpus <= self.cpus
            and request.memory_mib <= self.memory_mib
            and request.scratch_mib <= self.scratch_mib
            and all(self.resources.get(name, 0) >= amount for name, amount in request.resources)
            and self._has_gpus(request)
        )

    def devices_for(self, request: Request) -> Mapping[str, int] | None:
        """The devices that would serve, best fit first, as UUID -> MiB; None if the request does not fit now."""
        if not self.fits(request):
            return None
        order = {device.uuid: device.index for device in self.node.devices}
        fitting = sorted(self.fitting_devices(request), key=lambda uuid: (self.free[uuid], order.get(uuid, 0)))
        return {uuid: request.gpu_memory_mib or self.total[uuid] for uuid in fitting[: request.gpus]}

    def fitting_devices(self, request: Request) -> list[str]:
        if request.gpu_memory_mib is None:
            return self._of_model(request, [uuid for uuid, mib in self.total.items() if self.free[uuid] == mib])
        least = request.gpu_memory_mib
        return self._of_model(request, [uuid for uuid in self.total if self.free[uuid] >= least])

    def take(self, request: Request, devices: Mapping[str, int]) -> None:
        self.hold(held_by(request, devices))

    def hold(self, held: Held) -> None:
        self._change(held, -1)

    def release(self, held: Held) -> None:
        self._change(held, 1)

    def preferred(self, request: Request) -> int:
        """How many of the labels that the request prefers the node has."""
        return sum(self.node.labels.get(name) == value for name, value in request.prefer)

    def _has_gpus(self, request: Request) -> bool:
        if request.gpus == 0:
            return True
        if request.gpu_memory_mib is None and request.gpu_model is None:
            return request.gpus <= self.whole
        return request.gpus <= len(self.fitting_devices(request))

    def _of_model(self, request: Request, uuids: Iterable[str]) -> list[str]:
        if not request.gpu_model:
            return list(uuids)
        wanted, models = request.gpu_model.lower(), self._models()
        return [uuid for uuid in uuids if wanted in models[uuid]]

    def _models(self) -> dict[str, str]:
        return {device.uuid: device.model.lower() for device in self.node.devices}

    def _change(self, held: Held, sign: int) -> None:
        self.cpus += sign * held.cpus
        self.memory_mib += sign * held.memory_mib
        self.scratch_mib += sign * held.scratch_mib
        for name, amount in held.resources:
            self.resources[name] = self.resources.get(name, 0) + sign * amount
        free, total = self.free, self.total
        for uuid, mib in held.devices.items():
            if uuid in total:
                before = free[uuid]
                after = free[uuid] = before + sign * mib
                self.whole += (after == total[uuid]) - (before == total[uuid])


def held_by(request: Request, devices: Mapping[str, int]) -> Held:
    """What an attempt with this request would hold."""
    return Held("", "", devices, request.cpus, request.memory_mib, request.scratch_mib, request.resources)


def could_serve(request: Request, node: Node) -> bool:
    """Whether the node could run it with nothing else on it."""
    room = Room.emptied(node)
    return room.suits(request) and room.fits(request)


class Vacancies:
    """How much is free on how many nodes: a quick answer for what need not be tried."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        ready = (node.left for node in nodes if node.state == "ready")
        self._counts = Counter((left.cpus, left.whole) for left in ready)

    def most_starts(self, request: Request) -> int:
        """How many jobs with this request could start now at the very most; it may be fewer."""
        gpus = request.gpus if request.gpu_memory_mib is None else 0
        each = (number * _times(free, (request.cpus, gpus)) for free, number in self._counts.items())
        return sum(each) // request.nodes


def _times(free: tuple[int, int], asked: tuple[int, int]) -> int:
    """How often both fit; what is not asked for bounds nothing."""
    return min((max(0, have) // want for have, want in zip(free, asked, strict=True) if want), default=0)


def describe(request: Request) -> str:
    """A request in words, as in `8 CPUs, 64 GiB of memory and 2 whole GPUs (a100) on each of 2 nodes`."""
    parts = [counted(request.cpus, "CPU")]
    if request.memory_mib:
        parts.append(f"{size(request.memory_mib)} of memory")
    if request.scratch_mib:
        parts.append(f"{size(request.scratch_mib)} of scratch")
    if request.gpus:
        parts.append(describe_gpus(request))
    parts += [f"{amount} {name}" for name, amount in request.resources]
    return joined(parts) + (f" on each of {request.nodes} nodes" if request.nodes > 1 else "")


def describe_gpus(request: Request) -> str:
    model = f" ({request.gpu_model})" if request.gpu_model else ""
    if request.gpu_memory_mib is None:
        return f"{counted(request.gpus, 'whole GPU')}{model}"
    each = " each" * (request.gpus > 1)
    return f"{counted(request.gpus, 'GPU')}{model} with {size(request.gpu_memory_mib)}{each}"
