"""Why a request does not fit: every dimension of which too few nodes offer enough, with the numbers."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from levare.decide.capacity import Room, describe, describe_gpus
from levare.model import Reason, Request

Measure = Callable[[Room], int]


def shortages(request: Request, rooms: Sequence[Room]) -> list[Reason]:
    """
    Each dimension of which no node (of a gang: too few nodes) that suits has enough free, with the best there is.

    If each is there but never together on one node, that is the reason. What even an empty node has not can never run.
    """
    suited = [room for room in rooms if room.suits(request)]
    if len(suited) < request.nodes:
        return [_unsuited(request, rooms, len(suited))]
    found = [reason for reason in _dimensions(request, suited) if reason]
    if found:
        return found
    together = sum(room.is_open and room.fits(request) for room in suited)
    if together >= request.nodes:
        return []
    wish = describe(request)
    where = "No single node that takes new jobs has" if request.nodes == 1 else f"Only {together} nodes have"
    return [Reason("not-together", "will-wait", f"{where} {wish} free together.", request.nodes, together)]


def _unsuited(request: Request, rooms: Sequence[Room], suited: int) -> Reason:
    where = "No node has" if not suited else f"Only {suited} of the {request.nodes} nodes that it asks for have"
    wanted = [f"the label {name}={value}" for name, value in request.require]
    wanted += [f"no label {name}={value}" for name, value in request.avoid]
    if request.gpu_model:
        wanted.append(f"a GPU whose model contains {request.gpu_model!r}")
    if not wanted:
        message = f"Asks for {request.nodes} nodes; there are {len(rooms)}."
        return Reason("too-few-nodes", "can-never-run", message, request.nodes, len(rooms))
    there = f" {_models(rooms)}" if request.gpu_model else ""
    message = f"{where} {' and '.join(wanted)}.{there}"
    return Reason("no-such-node", "can-never-run", message, request.nodes, suited)


def _models(rooms: Iterable[Room]) -> str:
    models = sorted({device.model for room in rooms for device in room.node.devices if device.model})
    return f"The models here are {', '.join(models)}." if models else "No node has a GPU."


@dataclass(frozen=True)
class _Dimension:
    """One kind of thing that is asked for, and how much of it a room has free and in all."""

    code: str
    unit: str
    asked: int
    free: Measure
    total: Measure


def _dimensions(request: Request, rooms: Sequence[Room]) -> list[Reason | None]:
    plain = (
        _Dimension("cpus", "CPUs", request.cpus, lambda room: room.cpus, lambda room: room.node.cpus),
        _Dimension("memory", "MiB of memory", request.memory_mib, _memory, lambda room: room.node.memory_mib),
        _Dimension("scratch", "MiB of scratch", request.scratch_mib, _scratch, lambda room: room.node.scratch_mib),
    )
    custom = (_resource(name, amount) for name, amount in request.resources)
    return [_gpus(request, rooms), *(_amount(request, rooms, each) for each in (*plain, *custom))]


def _memory(room: Room) -> int:
    return room.memory_mib


def _scratch(room: Room) -> int:
    return room.scratch_mib


def _resource(name: str, asked: int) -> _Dimension:
    return _Dimension(
        name, name, asked, lambda room: room.resources.get(name, 0), lambda room: room.node.resources.get(name, 0)
    )


def _gpus(request: Request, rooms: Sequence[Room]) -> Reason | None:
    if not request.gpus:
        return None
    best = _nth(request, rooms, lambda room: len(room.fitting_devices(request)))
    free = len(best.fitting_devices(request))
    if free >= request.gpus:
        return None
    most = _when_empty(request, _nth(request, rooms, lambda room: _when_empty(request, room)))
    wish = f"Asks for {describe_gpus(request)} {_where(request)}"
    if most < request.gpus:
        return Reason("too-many-gpus", "can-never-run", f"{wish}; {_largest(request)} has {most}.", request.gpus, most)
    there = f"the most that are free on {_one(request)} is {free} ({best.name})"
    if not free and request.gpu_memory_mib:
        there = _most_of_one(rooms)
    return Reason("gpus-busy", "will-wait", f"{wish}; {there}.", request.gpus, free)


def _most_of_one(rooms: Iterable[Room]) -> str:
    """Where no GPU has as much memory free as is asked for: how much there is."""
    most, name = max((max(room.free.values(), default=0), room.name) for room in rooms)
    return f"the most that is free of one GPU is {most} MiB ({name})"


def _when_empty(request: Request, room: Room) -> int:
    wanted = (request.gpu_model or "").lower()
    return sum(
        device.memory_mib >= (request.gpu_memory_mib or 0) and wanted in device.model.lower()
        for device in room.node.devices
    )


def _amount(request: Request, rooms: Sequence[Room], of: _Dimension) -> Reason | None:
    there, most = max(of.free(_nth(request, rooms, of.free)), 0), of.total(_nth(request, rooms, of.total))
    if of.asked <= there:
        return None
    wish = f"Asks for {of.asked} {of.unit} {_where(request)}"
    if of.asked > most:
        message = f"{wish}; {_largest(request)} has {most}."
        return Reason(f"too-much-{of.code}", "can-never-run", message, of.asked, most)
    message = f"{wish}; the most that are free on {_one(request)} is {there} of {most}."
    return Reason(f"{of.code}-busy", "will-wait", message, of.asked, there)


def _nth(request: Request, rooms: Sequence[Room], measure: Measure) -> Room:
    """The best node; of a gang the worst of the best that it needs."""
    return sorted(rooms, key=measure, reverse=True)[request.nodes - 1]


def _where(request: Request) -> str:
    return "on one node" if request.nodes == 1 else f"on each of {request.nodes} nodes"


def _one(request: Request) -> str:
    return "one" if request.nodes == 1 else f"each of {request.nodes}"


def _largest(request: Request) -> str:
    return "the largest node" if request.nodes == 1 else f"the last of the {request.nodes} largest nodes"
