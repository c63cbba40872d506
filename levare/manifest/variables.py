"""Variables: `${NAME}` in a text of a manifest, declared with what they may be, given by whoever reads it."""

import re
from collections.abc import Mapping
from typing import Any

from levare.manifest.problems import Findings, nearest
from levare.manifest.templates import ParameterSpec
from levare.manifest.tree import Node, Place, Source

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}|\$\{")
_NUMBERS = {"integer": int, "number": float}
_FLAGS = {"true": True, "false": False}

Values = Mapping[str, Any]


def values_of(
    specs: Mapping[str, ParameterSpec],
    nodes: Mapping[str, Node],
    given: Mapping[str, str],
    findings: Findings,
    *,
    is_partial: bool = False,
) -> dict[str, Any]:
    """What each is; one without a default that nobody gives is missed where it is declared, if not `is_partial`."""
    for name in given:
        if name not in specs:
            limit = f"one of {', '.join(specs)}" if specs else "none: the manifest declares no variables"
            findings.add(_given(name), f"no variable {name} is declared", limit=limit, hint=nearest(name, [*specs]))
    found: dict[str, Any] = {}
    for name, spec in specs.items():
        if name in given:
            found[name] = _typed(name, spec, given[name], findings)
        elif spec.default is not None:
            found[name] = spec.default
        elif not is_partial:
            findings.add(nodes[name], f"the variable {name} has no value", limit=f"--var {name}=VALUE, or a default")
    return found


def _given(name: str) -> Place:
    return Place(Source(f"--var {name}", "", []), 0, 0)


def _typed(name: str, spec: ParameterSpec, text: str, findings: Findings) -> Any:
    value = _value(spec.kind, text)
    limit = spec.limit_for(value)
    if limit:
        findings.add(_given(name), f"the variable {name} must be {limit}, and is {text!r}", limit=limit)
    return value


def _value(kind: str, text: str) -> Any:
    if kind == "boolean":
        return _FLAGS.get(text, text)
    try:
        return _NUMBERS.get(kind, str)(text)
    except ValueError:
        return text


def substituted(node: Node, values: Values, declared: Mapping[str, Any], findings: Findings) -> Node:
    """The tree with the values of the variables in its texts. A text that is one variable becomes its value."""
    if isinstance(node.value, dict):
        inner = {name: substituted(each, values, declared, findings) for name, each in node.value.items()}
        return node.replaced(value=inner)
    if isinstance(node.value, list):
        return node.replaced(value=[substituted(each, values, declared, findings) for each in node.value])
    if not isinstance(node.value, str) or "${" not in node.value:
        return node
    return node.replaced(value=_filled(node, values, declared, findings))


def _filled(node: Node, values: Values, declared: Mapping[str, Any], findings: Findings) -> Any:
    text: str = node.value
    whole = _REFERENCE.fullmatch(text)
    if whole and whole[1] is not None and whole[1] in values:
        return values[whole[1]]
    for found in _REFERENCE.finditer(text):
        if found.group() != "$${" and (found[1] is None or found[1] not in declared):
            name = found[1] or ""
            limit = f"one of {', '.join(declared)}" if declared else "none: the manifest declares no variables"
            hint = nearest(name, [*declared]) or "$${ stands for ${ itself"
            findings.add(node, f"{found.group()} names no variable", limit=limit, hint=hint, closes=True)
    return _REFERENCE.sub(lambda found: _text(found, values), text)


def _text(found: re.Match[str], values: Values) -> str:
    if found.group() == "$${":
        return "${"
    value = values.get(found[1] or "", "")
    return str(value).lower() if isinstance(value, bool) else str(value)
