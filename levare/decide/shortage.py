"""Why a request does not fit: every dimension of which too few nodes offer enough, with the numbers."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from levare.decide.amounts import counted, joined, size
from levare.decide.capacity import Room, describe, describe_gpus
from levare.decide.known import hints, resource_hint
from levare.model import Device, Reason, Request

Measure = Callable[[Room], int]
Amount = tuple[int, str]
"""How much there is on which node."""


def shortages(request: Request, rooms: Sequence[Room], licences: Collection[str] = ()) -> list[Reason]:
    """
    Each dimension of which no node (of a gang: too few nodes) that suits has enough free, with the best there is.

    If each is there but never together on one node, that is the reason. What even an empty node has not can never run.
    `licences` are the resources of the fleet, which are named where a node is asked for one that none has.
    """
    suited = [room for room in rooms if room.suits(request)]
    if len(suited) < request.nodes:
        return [_unsuited(request, rooms, len(suited))]
    found = [reason for reason in _dimensions(request, suited, licences) if reason]
    if found:
        return found
    together = sum(room.is_open and room.fits(request) for room in suited)
    if together >= request.nodes:
        return []
    message = f"{_who_has(request, together)} {describe(replace(request, nodes=1))} free together."
    return [Reason("not-together", "will-wait", message, request.nodes, together)]


def _who_has(request: Request, together: int) -> str:
    if not together:
        return "No single node that takes new jobs has"
    return f"Only {together} of the {request.nodes} nodes that it asks for {_has(together)}"


def _has(number: int) -> str:
    return "has" if number == 1 else "have"


def _unsuited(request: Request, rooms: Sequence[Room], suited: int) -> Reason:
    wanted = [f"the label {name}={value}" for name, value in request.require]
    wanted += [f"no label {name}={value}" for name, value in request.avoid]
    if request.gpu_model:
        wanted.append(f"a GPU whose model contains {request.gpu_model!r}")
    if not wanted:
        message = f"Asks for {request.nodes} nodes; there {'is' if suited == 1 else 'are'} only {suited}."
        return Reason("too-few-nodes", "can-never-run", message, request.nodes, suited)
    where = f"{_who_has(request, suited)}" if suited else "No node has"
    if not suited and len(wanted) == len(request.avoid):
        where, wanted = "No node is without", [f"the label {name}={value}" for name, value in request.avoid]
    message = " ".join([f"{where} {joined(wanted)}.", *hints(request, rooms)])
    return Reason("no-such-node", "can-never-run", message, request.nodes, suited)


@dataclass(frozen=True)
class _Dimension:
    """One kind of thing that is asked for, and how much of it a room has free and in all."""

    code: str
    asked: int
    wish: str
    """What is asked for, in words."""
    free: Measure
    total: Measure
    told: Callable[[int], str] = str
    """Any amount of it in words."""


def _dimensions(request: Request, rooms: Sequence[Room], licences: Collection[str]) -> list[Reason | None]:
    cpus, memory, scratch = request.cpus, request.memory_mib, request.scratch_mib
    plain = (
        _Dimension("cpus", cpus, counted(cpus, "CPU"), lambda room: room.cpus, lambda room: room.node.cpus),
        _Dimension("memory", memory, f"{size(memory)} of memory", _memory, lambda room: room.node.memory_mib, size),
        _Dimension(
            "scratch", scratch, f"{size(scratch)} of scratch", _scratch, lambda room: room.node.scratch_mib, size
        ),
    )
    custom = (_resource(request, rooms, name, licences) for name, _ in request.resources)
    return [_gpus(request, rooms), *(_amount(request, rooms, each) for each in plain), *custom]


def _memory(room: Room) -> int:
    return room.memory_mib


def _scratch(room: Room) -> int:
    return room.scratch_mib


def _resource(request: Request, rooms: Sequence[Room], name: str, licences: Collection[str]) -> Reason | None:
    asked = dict(request.resources)[name]
    if not any(room.node.resources.get(name) for room in rooms):
        message = f"No node has the resource {name}. {resource_hint(name, rooms, licences)}"
        return Reason(f"too-much-{name}", "can-never-run", message, asked, 0)
    wish, free = f"{asked} {name}", lambda room: room.resources.get(name, 0)
    return _amount(request, rooms, _Dimension(name, asked, wish, free, lambda room: room.node.resources.get(name, 0)))


def _gpus(request: Request, rooms: Sequence[Room]) -> Reason | None:
    if not request.gpus:
        return None
    free = [(len(room.fitting_devices(request)), room.name) for room in rooms]
    there, _ = _nth(request, free)
    if there >= request.gpus:
        return None
    most, _ = _nth(request, [(_when_empty(request, room), room.name) for room in rooms])
    wish = f"Asks for {describe_gpus(request)} {_where(request)}"
    if most < request.gpus:
        message = f"{wish}; {_most_gpus(request, rooms, most)}."
        return Reason("too-many-gpus", "can-never-run", message, request.gpus, most)
    best = _best(request.gpus, free)
    if not there and request.gpu_memory_mib:
        best = _most_of_one(rooms)
    return Reason("gpus-busy", "will-wait", f"{wish}; {best}.", request.gpus, there)


def _most_gpus(request: Request, rooms: Iterable[Room], most: int) -> str:
    """How many the largest node has; where no GPU is large enough, how large the largest is."""
    if most or not request.gpu_memory_mib:
        return f"{_largest(request)} has {most or 'none'}"
    sizes = [(device.memory_mib, room.name) for room in rooms for device in _devices_like(request, room)]
    largest, name = max(sizes, default=(0, ""))
    return f"no GPU has more than {size(largest)} ({name})" if largest else f"{_largest(request)} has none"


def _most_of_one(rooms: Iterable[Room]) -> str:
    """Where no GPU has as much memory free as is asked for: how much there is."""
    most, name = max((max(room.free.values(), default=0), room.name) for room in rooms)
    return f"no GPU has more than {size(most)} free ({name})" if most else "none has any free"


def _when_empty(request: Request, room: Room) -> int:
    return sum(device.memory_mib >= (request.gpu_memory_mib or 0) for device in _devices_like(request, room))


def _devices_like(request: Request, room: Room) -> Iterator[Device]:
    """Those of the model that is asked for."""
    wanted = (request.gpu_model or "").lower()
    return (device for device in room.node.devices if wanted in device.model.lower())


def _amount(request: Request, rooms: Sequence[Room], of: _Dimension) -> Reason | None:
    free = [(max(of.free(room), 0), room.name) for room in rooms]
    there, _ = _nth(request, free)
    if of.asked <= there:
        return None
    most, _ = _nth(request, [(of.total(room), room.name) for room in rooms])
    wish = f"Asks for {of.wish} {_where(request)}"
    if of.asked > most:
        message = f"{wish}; {_largest(request)} has {of.told(most) if most else 'none'}."
        return Reason(f"too-much-{of.code}", "can-never-run", message, of.asked, most)
    message = f"{wish}; {_best(of.asked, free, of.told)}."
    return Reason(f"{of.code}-busy", "will-wait", message, of.asked, there)


def _best(asked: int, free: Sequence[Amount], told: Callable[[int], str] = str) -> str:
    """What the best node has free; for a gang how many have enough, and what the next of them has."""
    enough = sum(amount >= asked for amount, _ in free)
    most, name = sorted(free, key=_most_first)[enough]
    first = f"only {enough} {_has(enough)} that free, and " if enough else ""
    if not most:
        return f"{first}{'no other has any' if enough else 'no node has any free'}"
    others = "no other" if enough else "no node"
    return f"{first}{others} has more than {told(most)}{' free' * (not enough)} ({name})"


def _nth(request: Request, amounts: Iterable[Amount]) -> Amount:
    """The best node; of a gang the worst of the best that it needs."""
    return sorted(amounts, key=_most_first)[request.nodes - 1]


def _most_first(amount: Amount) -> int:
    return -amount[0]


def _where(request: Request) -> str:
    return "on one node" if request.nodes == 1 else f"on each of {request.nodes} nodes"


def _largest(request: Request) -> str:
    return "the largest node" if request.nodes == 1 else f"the last of the {request.nodes} largest nodes"
