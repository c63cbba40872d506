"""From what is declared to the text of a manifest, which reads back as the same."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from levare.manifest.kinds import KINDS, OF_KIND
from levare.manifest.naming import named
from levare.manifest.tree import is_text
from levare.manifest.units import as_written
from levare.model import Declared

SCHEMA_LINE = "# yaml-language-server: $schema=levare.schema.json"
HEAD = (
    SCHEMA_LINE,
    "# `levare schema > levare.schema.json` writes what an editor completes and checks this by.",
    "version: 1",
)
_PLAIN = re.compile(r"-{0,2}[A-Za-z0-9_/.][A-Za-z0-9_/.@+*%=-]*( [A-Za-z0-9_/.@+*%=(-][A-Za-z0-9_/.@+*%=()-]*)*")
_UNPRINTABLE = re.compile("[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_WIDTH = 100
_FLOW_WIDTH = 60


def write(objects: Iterable[Declared]) -> str:
    """The text of a manifest that declares these, by kind and in their order; a template is named where it was."""
    listed = list(objects)
    documents = named(listed)
    lines = [*HEAD]
    for kind in KINDS:
        found = [each for each in listed if each.kind == kind.name]
        if found:
            lines += ["", f"{kind.section}:"]
        for each in found:
            lines += _entry(each.name, _body(each, documents[each.kind, each.name]), 1)
    return "\n".join(lines) + "\n"


def _body(each: Declared, document: Mapping[str, Any]) -> Any:
    return as_written(document, [OF_KIND[each.kind].model])


def _entry(name: str, value: Any, depth: int) -> Iterator[str]:
    indent, key = "  " * depth, scalar(name)
    flow = _flow(value) if depth > 1 or not value else None
    width = _WIDTH if isinstance(value, list) else _FLOW_WIDTH
    if flow is not None and len(indent) + len(key) + 2 + len(flow) <= width:
        yield f"{indent}{key}: {flow}"
    elif isinstance(value, Mapping):
        yield f"{indent}{key}:"
        for inner, each in value.items():
            yield from _entry(inner, each, depth + 1)
    elif isinstance(value, list):
        yield f"{indent}{key}:"
        yield from _items(value, depth + 1)
    else:
        yield f"{indent}{key}: {scalar(value)}"


def _items(values: Sequence[Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for value in values:
        flow = _flow(value)
        if flow is not None and (not isinstance(value, Mapping) or len(flow) <= _FLOW_WIDTH):
            yield f"{indent}- {flow}"
            continue
        inner = list(_lines(value, depth + 1))
        yield f"{indent}- {inner[0].lstrip()}"
        yield from inner[1:]


def _lines(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _entry(name, each, depth)
    else:
        yield from _items(value, depth)


def _flow(value: Any) -> str | None:
    """On one line, where nothing in it is of more than one level."""
    if isinstance(value, Mapping):
        parts = {scalar(name): _flow_inner(each) for name, each in value.items()}
        pairs = ", ".join(f"{name}: {part}" for name, part in parts.items())
        return None if None in parts.values() else f"{{{pairs}}}"
    if isinstance(value, list):
        inner = [_flow_inner(each) for each in value]
        return None if None in inner else f"[{', '.join(map(str, inner))}]"
    return scalar(value)


def _flow_inner(value: Any) -> str | None:
    return None if isinstance(value, Mapping | list) and value else _flow(value)


def scalar(value: Any) -> str:
    if value is None or isinstance(value, bool | int):
        return json.dumps(value)
    if isinstance(value, float):
        return repr(value)
    text = str(value).replace("${", "$${")
    return text if _PLAIN.fullmatch(text) and is_text(text) else _quoted(text)


def _quoted(text: str) -> str:
    return _UNPRINTABLE.sub(_escaped, json.dumps(text, ensure_ascii=False))


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\u{code:04x}" if code < 1 << 16 else f"\\U{code:08x}"
