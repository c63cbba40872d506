"""Durations and sizes as people write them: `timeout: 2h` is `timeout_seconds: 7200`, `memory: 16GiB` is in MiB."""

from collections.abc import Mapping
from typing import Any

from levare.manifest.problems import Findings
from levare.manifest.shapes import MIB, SECONDS, Shapes, alternatives, lengthened, shortened, within
from levare.manifest.tree import Node
from levare.written import duration_seconds, size_mib

_READERS = {SECONDS: duration_seconds, MIB: size_mib}
_FORMS = {SECONDS: "a duration such as 90s, 15m, 2h or 1d12h", MIB: "a size such as 512MiB, 20GiB or 1TiB"}
_SECONDS = (("w", 604800), ("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_SIZES = (("TiB", 1024**2), ("GiB", 1024))


def measured(node: Node, shapes: Shapes, findings: Findings) -> Node:
    """The same with whole seconds and MiB, under their whole names."""
    if isinstance(node.value, list):
        return node.replaced(value=[measured(each, within(shapes, 0), findings) for each in node.value])
    if not isinstance(node.value, dict):
        return node
    made = node.replaced(value={}, keys={})
    for name, child in node.value.items():
        key, whole = node.keys[name], lengthened(name, shapes) or name
        if whole in made.value:
            findings.add(key, f"{name} and {made.keys[whole].value} say the same", limit="one of them")
        made.keys[whole] = key
        is_written = whole != name
        made.value[whole] = _number(whole, child, findings) if is_written else _inner(name, child, shapes, findings)
    return made


def _inner(name: str, child: Node, shapes: Shapes, findings: Findings) -> Node:
    unit = _unit(name)
    is_measure = unit and isinstance(child.value, str) and int in within(shapes, name)
    if unit and is_measure:
        hint = f"with a unit it is called {shortened(name)}"
        findings.add(child, f"{name} must be a whole number", limit="a whole number", hint=hint, closes=True)
    return measured(child, within(shapes, name), findings)


def _number(name: str, node: Node, findings: Findings) -> Node:
    unit = _unit(name)
    if node.value is None:
        return node
    try:
        if isinstance(node.value, bool) or not isinstance(node.value, str | int):
            raise ValueError  # noqa: TRY004, TRY301  # as the reader says of any other text
        return node.replaced(value=_READERS[unit](str(node.value)))
    except ValueError as error:
        said = str(error) or f"it must be {_FORMS[unit]}"
        findings.add(node, f"{shortened(name)}: {said}", limit=_FORMS[unit], closes=True)
        return node


def _unit(name: str) -> str:
    return next((unit for unit in _READERS if name.endswith(unit)), "")


def as_written(value: Any, shapes: Shapes) -> Any:
    """A document as people write it; `measured` makes it the same again."""
    if isinstance(value, list):
        return [as_written(each, within(shapes, 0)) for each in value]
    if not isinstance(value, Mapping):
        return value
    return dict(_written(name, each, shapes) for name, each in value.items())


def _written(name: str, value: Any, shapes: Shapes) -> tuple[str, Any]:
    unit, short = _unit(name), shortened(name)
    if not unit or not isinstance(value, int) or lengthened(short, shapes) != name:
        return name, as_written(value, within(shapes, name))
    return short, _duration(value) if unit == SECONDS else _size(value)


def _duration(seconds: int) -> str:
    parts, left = "", seconds
    for unit, size in _SECONDS:
        count, left = divmod(left, size)
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"


def _size(mib: int) -> str:
    for unit, size in _SIZES:
        if mib and mib % size == 0:
            return f"{mib // size}{unit}"
    return f"{mib}MiB"


def shapes_of(model: Any) -> Shapes:
    return list(alternatives(model))
