"""From a tree to a body of its model, with everything that is wrong with it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from levare.errors import LevareError
from levare.manifest.faults import in_words
from levare.manifest.kinds import Kind
from levare.manifest.problems import Findings, nearest
from levare.manifest.shapes import UNITS, known_names, shortened, within
from levare.manifest.tree import Node
from levare.manifest.values import Secret
from levare.model import Declared

_SCALAR = ("string_type", "int_type", "float_type", "bool_type", "literal_error", "none_required")
_MAPPING = ("model_type", "dict_type", "model_attributes_type")
_BY_NAME = "{secret: NAME}, the name of a secret and never the secret itself"
Error = Mapping[str, Any]
Path = list[str | int]


def body_of(model: type[BaseModel], node: Node, findings: Findings, *, what: str) -> BaseModel | None:
    """The body, or None where the tree is none; `what` it is stands where something is wrong with the whole."""
    if not isinstance(node.value, dict):
        message = f"{what} must be a mapping, and is {node.kind}"
        findings.add(node, message, limit="a mapping", hint=_fields_in_words(model))
        return None
    try:
        return model.model_validate(node.plain())
    except ValidationError as error:
        _tell(error.errors(include_url=False), model, node, findings, what)
        return None


def declared_of(kind: Kind, key: Node, body: BaseModel, node: Node, findings: Findings) -> Declared | None:
    """The object of a body under this name, or None where its own checks refuse it."""
    name = str(key.value)
    try:
        return Declared(kind.name, name, kind.definition(name, body))
    except LevareError as error:
        for fault in error.faults:
            path: Path = [*fault.field.split(".")]
            where = key if path == ["name"] or node.at(path) is node else node.at(path)
            message = f"{fault.field} {fault.message}" if len(error.faults) > 1 else error.detail.rstrip(".")
            limit = None if fault.limit is None else _as_written(str(fault.limit))
            findings.add(where, _as_written(message), limit=limit, hint=_guess(error))
        return None


def _as_written(text: str) -> str:
    """With the names that things have in a manifest: `every`, where the API has `every_seconds`."""
    return re.sub(rf"\b\w+(?:{'|'.join(UNITS)})\b", lambda name: shortened(name[0]), text)


def _guess(error: LevareError) -> str | None:
    guess = re.fullmatch(r"Did (you mean .+)", error.next_step)
    return guess and f"did {guess[1]}"


def _fields_in_words(model: type[BaseModel]) -> str:
    return f"it has {', '.join(known_names([model])[:8])} and so on"


def _tell(errors: Sequence[Error], model: type[BaseModel], node: Node, findings: Findings, what: str) -> None:
    by_node: dict[int, tuple[Node, list[Error]]] = {}
    for error in errors:
        found = node.at(list(error["loc"]))
        by_node.setdefault(id(found), (found, []))[1].append(error)
    whole = _Whole(model, node, what, _misspelt(errors, model, node))
    for found, told in _without_other_branches(by_node.values()):
        for error in _most_telling(told):
            _tell_one(error, whole, found, findings)


def _without_other_branches(groups: Iterable[tuple[Node, list[Error]]]) -> Iterable[tuple[Node, list[Error]]]:
    """Where a mapping stands for one branch of a union, what the scalar branches say of it is beside the point."""
    listed = list(groups)
    for found, told in listed:
        is_mapping = isinstance(found.value, dict)
        others = _SCALAR if is_mapping else _MAPPING
        inner = any(_is_within(found, other) for other, _ in listed if other is not found)
        left = [error for error in told if error["type"] not in others] if is_mapping or len(told) > 1 else told
        if left or not inner:
            yield found, left or told


def _is_within(outer: Node, inner: Node) -> bool:
    return any(child is inner or _is_within(child, inner) for _, child in outer.children())


def _most_telling(told: list[Error]) -> list[Error]:
    """Unknown and missing names each by themselves; of one value that is wrong for several types the first."""
    named = [error for error in told if error["type"] in ("extra_forbidden", "missing")]
    return named or told[:1]


@dataclass(frozen=True)
class _Whole:
    model: type[BaseModel]
    node: Node
    what: str
    misspelt: frozenset[tuple[str | int, ...]] = frozenset()
    """The ways to names that are missing because they are there under another one."""


def _tell_one(error: Error, whole: _Whole, found: Node, findings: Findings) -> None:
    path, root, what = list(error["loc"]), whole.node, whole.what
    if error["type"] == "missing":
        if tuple(path) in whole.misspelt:
            return
        known = str(path[-1])
        limit = shortened(known)
        where = root.key_at(path[:-1]) if len(path) > 1 else root
        findings.add(where, f"{_named(root, path[:-1]) or what} needs {limit}", limit=f"{limit}: ...")
        return
    if error["type"] == "extra_forbidden":
        _unknown(path, whole, findings)
        return
    message, limit = (_as_yaml(each) for each in in_words(error))
    if Secret in _shapes_at(path, whole.model, root):
        findings.add(found.hidden(), f"{_named(root, path)} {message}", limit=_BY_NAME)
        return
    is_key = path[-1] == "[key]"
    where = root.key_at(path[:-1]) if is_key else found
    told = f"{_named(root, path) or what} {message}" if not is_key else f"the name {path[-2]} {message}"
    findings.add(where, told, limit=None if limit is None else str(limit))


def _as_yaml(text: Any) -> Any:
    return (
        text.replace("a JSON object", "a mapping").replace("an object", "a mapping") if isinstance(text, str) else text
    )


def _misspelt(errors: Sequence[Error], model: Any, node: Node) -> frozenset[tuple[str | int, ...]]:
    paths = [list(error["loc"]) for error in errors if error["type"] == "extra_forbidden"]
    near = [(path, get_close_matches(str(path[-1]), _known_at(path, model, node), 1, cutoff=0.6)) for path in paths]
    return frozenset((*path[:-1], name) for path, names in near for each in names for name in _long_forms(each))


def _long_forms(name: str) -> list[str]:
    return [name, *(name + unit for unit in UNITS)]


def _known_at(path: Path, model: Any, root: Node) -> list[str]:
    """The names that are known where the last of a path stands."""
    return known_names(_shapes_at(path[:-1], model, root))


def _shapes_at(path: Path, model: Any, root: Node) -> list[Any]:
    node, inner = root, [model]
    for part in path:
        child = node.child(part)
        if child is None:  # the name of a branch of a union
            inner = [each for each in inner if getattr(each, "__name__", "") == part] or inner
            continue
        node, inner = child, within(inner, part)
    return inner


def _unknown(path: Path, whole: _Whole, findings: Findings) -> None:
    """An unknown name, with what is known in its place."""
    root, name = whole.node, str(path[-1])
    known = _known_at(path, whole.model, root)
    hint = nearest(name, known)
    outer = _named(root, path[:-1]) or whole.what
    findings.add(root.key_at(path), f"{outer} has no field {name}", limit=_listed(known), hint=hint)


def _listed(known: Sequence[str]) -> str:
    return f"one of {', '.join(known)}" if known else "nothing"


def _named(root: Node, path: Path) -> str:
    """The names on the way that are in the document, as they are written: `job.command[2]`."""
    node, text = root, ""
    for part in path:
        child = node.child(part)
        if child is None:
            continue
        is_place = isinstance(node.value, list)
        written = part if is_place else node.keys[str(part)].value if str(part) in node.keys else part
        text += f"[{written}]" if is_place else f".{written}" if text else str(written)
        node = child
    return text
