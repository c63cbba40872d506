"""What the fleet has of what a request names, and the nearest name where it has not that."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from difflib import get_close_matches

from levare.decide.amounts import joined
from levare.decide.capacity import Room
from levare.model import Request

_MOST_LISTED = 8


def hints(request: Request, rooms: Sequence[Room]) -> Iterator[str]:
    """A sentence for each label and model that no node has."""
    for name, value in request.require:
        if not any(room.node.labels.get(name) == value for room in rooms):
            yield _of_label(name, value, rooms)
    if request.gpu_model and not any(_has_model(room, request.gpu_model) for room in rooms):
        yield _of_model(request.gpu_model, rooms)


def resource_hint(name: str, rooms: Iterable[Room], licences: Collection[str]) -> str:
    """A sentence about the resources that there are, of nodes and of the fleet."""
    there = sorted({each for room in rooms for each, amount in room.node.resources.items() if amount} | set(licences))
    return _sentence(_plural("resource", there), there, _nearest(name, there))


def _of_label(name: str, value: str, rooms: Sequence[Room]) -> str:
    values = sorted({room.node.labels[name] for room in rooms if name in room.node.labels})
    if values:
        near = _nearest(value, values)
        return _sentence(f"Here {name} is", values, near and f"{name}={near}", "or")
    names = sorted({each for room in rooms for each in room.node.labels})
    return _sentence(_plural("label", names), names, _nearest(name, names))


def _of_model(wanted: str, rooms: Sequence[Room]) -> str:
    models = sorted({device.model for room in rooms for device in room.node.devices if device.model})
    parts = sorted({part for model in models for part in (model, *model.split())})
    return _sentence(_plural("model of a GPU", models, "models of GPUs"), models, _nearest(wanted, parts))


def _has_model(room: Room, wanted: str) -> bool:
    return any(wanted.lower() in device.model.lower() for device in room.node.devices)


def _nearest(name: str, known: Sequence[str]) -> str:
    """The one of them that was probably meant, in its own case; empty if none is near."""
    own_case = {each.lower(): each for each in known}
    return next((own_case[each] for each in get_close_matches(name.lower(), own_case, 1)), "")


def _plural(one: str, there: Sequence[str], many: str = "") -> str:
    return f"The only {one} here is" if len(there) == 1 else f"The {many or f'{one}s'} here are"


def _sentence(head: str, there: Sequence[str], near: str, last: str = "and") -> str:
    rest = len(there) - _MOST_LISTED
    shown = [*there[:_MOST_LISTED], f"{rest} more"] if rest > 0 else there or ["none"]
    return f"{head} {joined(shown, last)}" + (f"; did you mean {near}?" if near else ".")
