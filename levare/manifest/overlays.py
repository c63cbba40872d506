"""Environments: what is otherwise in one of them, laid over what holds for all."""

from levare.manifest.problems import Findings, nearest
from levare.manifest.tree import Node


def overlaid(base: Node, over: Node, findings: Findings) -> Node:
    """The sections of `base` with those of an environment over them; what it names has to be there."""
    if not _is_mapping(over, findings):
        return base
    made = base.replaced(value=dict(base.value), keys=dict(base.keys))
    for section, objects in over.value.items():
        known = base.value.get(section)
        if known is None or not isinstance(known.value, dict):
            _unknown(over.keys[section], "declares nothing under", [*base.value], findings)
        elif _is_mapping(objects, findings):
            made.value[section] = _named(known, objects, section, findings)
    return made


def _named(base: Node, over: Node, section: str, findings: Findings) -> Node:
    for name, key in over.keys.items():
        if name not in base.value:
            _unknown(key, f"there is nothing of this name under {section} to change:", [*base.value], findings)
    return _merged(base, over.replaced(value={name: each for name, each in over.value.items() if name in base.value}))


def _merged(base: Node, over: Node) -> Node:
    """Mappings are merged name by name, null takes away, anything else replaces."""
    if not isinstance(base.value, dict) or not isinstance(over.value, dict):
        return over
    made = base.replaced(value=dict(base.value), keys=dict(base.keys))
    for name, each in over.value.items():
        if each.value is None:
            made.value.pop(name, None)
            continue
        before = made.value.get(name)
        made.keys[name] = over.keys[name]
        made.value[name] = _merged(before, each) if before else each
    return made


def _is_mapping(node: Node, findings: Findings) -> bool:
    if not isinstance(node.value, dict):
        findings.add(node, f"must be a mapping, and is {node.kind}", limit="a mapping")
    return isinstance(node.value, dict)


def _unknown(key: Node, message: str, known: list[str], findings: Findings) -> None:
    limit = f"one of {', '.join(known)}" if known else "nothing"
    findings.add(key, f"{message} {key.value}", limit=limit, hint=nearest(str(key.value), known))
