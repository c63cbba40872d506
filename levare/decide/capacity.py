"""What a node has left, whether a request fits into it, and what is missing if not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from levare.model import Device, Node, Reason, Request


class Room:
    """The free part of one node. It only shrinks while a decision is made."""

    def __init__(self, node: Node) -> None:
        self.name, self.state = node.name, node.state
        self.is_open = node.state == "ready"
        self.total = {device.uuid: device.memory_mib for device in node.devices}
        self.total_cpus, self.total_memory_mib = node.cpus, node.memory_mib
        self.blocked = {device.uuid: device for device in node.devices if device.blocked}
        self.usable = {uuid: mib for uuid, mib in self.total.items() if uuid not in self.blocked}
        self.free = dict(self.usable)
        self.cpus = node.cpus - sum(held.cpus for held in node.held)
        self.memory_mib = node.memory_mib - sum(held.memory_mib for held in node.held)
        for held in node.held:
            for uuid, mib in held.devices.items():
                self.free[uuid] = self.free.get(uuid, 0) - mib
        self._by_index = {device.uuid: device.index for device in node.devices}

    @classmethod
    def emptied(cls, node: Node) -> "Room":
        """As if nobody used it: neither jobs nor anyone else."""
        return cls(replace(node, held=(), devices=[replace(device, blocked="") for device in node.devices]))

    def devices_for(self, request: Request) -> Mapping[str, int] | None:
        """The devices that would serve, best fit first, as UUID -> MiB; None if the request does not fit now."""
        if request.cpus > self.cpus or request.memory_mib > self.memory_mib:
            return None
        fitting = sorted(self.fitting_devices(request), key=lambda uuid: (self.free[uuid], self._by_index[uuid]))
        if len(fitting) < request.gpus:
            return None
        return {uuid: request.gpu_memory_mib or self.total[uuid] for uuid in fitting[: request.gpus]}

    def fitting_devices(self, request: Request) -> list[str]:
        if request.gpu_memory_mib is None:
            return [uuid for uuid, free in self.free.items() if uuid in self.total and free == self.total[uuid]]
        return [uuid for uuid, free in self.free.items() if free >= request.gpu_memory_mib]

    def take(self, request: Request) -> Mapping[str, int]:
        devices = self.devices_for(request)
        if devices is None:
            raise ValueError(f"{request} does not fit into node {self.name}")
        for uuid, mib in devices.items():
            self.free[uuid] -= mib
        self.cpus -= request.cpus
        self.memory_mib -= request.memory_mib
        return devices

    def fits_when_empty(self, request: Request) -> bool:
        """Whether it would fit if no job ran; what others than jobs use stays theirs."""
        enough = [mib for mib in self.usable.values() if mib >= (request.gpu_memory_mib or 0)]
        return (
            len(enough) >= request.gpus
            and request.cpus <= self.total_cpus
            and request.memory_mib <= self.total_memory_mib
        )

    def blockers(self, request: Request) -> list[Device]:
        """The GPUs that others than jobs use and without which there are too few, now or even if no job ran."""
        wanted = request.gpu_memory_mib or 0
        blocked = [device for device in self.blocked.values() if device.memory_mib >= wanted]
        now, empty = len(self.fitting_devices(request)), sum(mib >= wanted for mib in self.usable.values())
        return blocked if any(few < request.gpus <= few + len(blocked) for few in (now, empty)) else []

    def waste(self, request: Request) -> tuple[int, int, int, str]:
        """What a placement here would spoil, least first: free GPUs that the job does not need, any GPUs, CPUs."""
        whole = sum(free == self.total[uuid] for uuid, free in self.free.items() if uuid in self.total)
        unneeded = whole - request.gpus if request.gpu_memory_mib is None else whole
        return (unneeded, len(self.total), self.cpus, self.name)

    def shortfall(self, request: Request) -> tuple[int, int, int, str]:
        gpus = request.gpus - len(self.fitting_devices(request))
        return (gpus, request.cpus - self.cpus, request.memory_mib - self.memory_mib, self.name)


def most_starts(nodes: Iterable[Node]) -> int:
    """How many jobs could start now at the very most: each takes a CPU."""
    ready = (node for node in nodes if node.state == "ready")
    return sum(max(0, node.cpus - sum(held.cpus for held in node.held)) for node in ready)


def can_ever_fit(request: Request, node: Node) -> bool:
    return Room.emptied(node).fits_when_empty(request)


def explain_shortage(request: Request, rooms: Sequence[Room]) -> list[Reason]:
    """
    Every dimension of which no single node offers enough, with the best that any node offers.

    If each is there but never together on one node, that is the reason.
    """
    reasons = [reason for reason in (_gpus(request, rooms), _cpus(request, rooms), _memory(request, rooms)) if reason]
    if not reasons and not any(room.is_open and room.devices_for(request) is not None for room in rooms):
        wish = describe(request)
        message = f"No single node that takes new jobs has {wish} free together."
        reasons = [Reason("not-together", "will-wait", message)]
    return reasons + explain_blocked(request, rooms)


def explain_blocked(request: Request, rooms: Sequence[Room]) -> list[Reason]:
    """The GPUs of ready nodes that the request would fit on if others than jobs did not use them, and who does."""
    return [
        Reason(f"gpu-{device.ownership}", "will-wait", device.blocked)
        for room in rooms
        if room.state == "ready"
        for device in room.blockers(request)
    ]


def describe(request: Request) -> str:
    parts = [f"{request.cpus} CPU{'s' * (request.cpus != 1)}"]
    if request.memory_mib:
        parts.append(f"{request.memory_mib} MiB of memory")
    if request.gpus:
        parts.append(_gpus_asked(request))
    return ", ".join(parts)


def _gpus_asked(request: Request) -> str:
    gpus = f"GPU{'s' * (request.gpus != 1)}"
    if request.gpu_memory_mib is None:
        return f"{request.gpus} whole {gpus}"
    return f"{request.gpus} {gpus} with {request.gpu_memory_mib} MiB each"


def _gpus(request: Request, rooms: Sequence[Room]) -> Reason | None:
    if not request.gpus:
        return None
    best = max(rooms, key=lambda room: len(room.fitting_devices(request)))
    free = len(best.fitting_devices(request))
    if free >= request.gpus:
        return None
    most = max((_fitting_when_empty(request, room) for room in rooms), default=0)
    wish = _gpus_asked(request)
    if most < request.gpus:
        message = f"Asks for {wish} on one node; the largest node has {most}."
        return Reason("too-many-gpus", "can-never-run", message, request.gpus, most)
    message = f"Asks for {wish} on one node; the most that are free on one is {free} ({best.name})."
    return Reason("gpus-busy", "will-wait", message, request.gpus, free)


def _fitting_when_empty(request: Request, room: Room) -> int:
    return sum(mib >= (request.gpu_memory_mib or 0) for mib in room.total.values())


def _cpus(request: Request, rooms: Sequence[Room]) -> Reason | None:
    free, most = max(room.cpus for room in rooms), max(room.total_cpus for room in rooms)
    return _amount("cpus", "CPUs", request.cpus, free, most)


def _memory(request: Request, rooms: Sequence[Room]) -> Reason | None:
    free, most = max(room.memory_mib for room in rooms), max(room.total_memory_mib for room in rooms)
    return _amount("memory", "MiB of memory", request.memory_mib, free, most)


def _amount(code: str, unit: str, asked: int, free: int, most: int) -> Reason | None:
    if asked <= free:
        return None
    if asked > most:
        message = f"Asks for {asked} {unit}; the largest node has {most}."
        return Reason(f"too-much-{code}", "can-never-run", message, asked, most)
    message = f"Asks for {asked} {unit}; the most that are free on one node is {max(free, 0)} of {most}."
    return Reason(f"{code}-busy", "will-wait", message, asked, max(free, 0))
