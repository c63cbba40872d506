"""YAML 1.2 as a tree whose parts know where they stand. Nothing in it can run, grow without bound or hide a key."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import Any

MOST_BYTES = 8 * 1024**2
MOST_DEPTH = 40
MOST_NODES = 1_000_000
"""After all aliases; a document of 306 bytes can stand for 387 million."""

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BREAKS = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_INTEGER = re.compile(r"[-+]?[0-9]{1,4000}")
_BASED = re.compile(r"0o[0-7]{1,100}|0x[0-9a-fA-F]{1,100}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), inf),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), -inf),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), nan),
}
_OWN_TAGS = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Source:
    """A text and what it is called."""

    file: str
    text: str = field(repr=False, compare=False)
    lines: list[str] = field(repr=False, compare=False)


@dataclass(frozen=True)
class Place:
    """Where something stands: line and column count from 1; `length` characters of that line are meant."""

    source: Source
    line: int
    column: int
    length: int = field(default=1, compare=False)

    @property
    def file(self) -> str:
        return self.source.file

    @property
    def text(self) -> str:
        """The whole line; nothing of what may be a secret."""
        if not self.length:
            return ""
        lines = self.source.lines
        return lines[self.line - 1] if 0 < self.line <= len(lines) else ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}" if self.line else self.file


@dataclass
class Node:
    """A scalar, a list of nodes, or a mapping from names to nodes, whose `keys` are the nodes of the names."""

    value: Any
    place: Place
    keys: "dict[str, Node]" = field(default_factory=dict)
    count: int = 1
    is_quoted: bool = False

    @property
    def kind(self) -> str:
        names = {dict: "a mapping", list: "a list", str: "text", bool: "true or false", type(None): "null"}
        return names.get(type(self.value), "a number")

    def hidden(self) -> Place:
        """Its place, whose line is not to be shown."""
        return replace(self.place, length=0)

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: each.plain() for name, each in self.value.items()}
        return [each.plain() for each in self.value] if isinstance(self.value, list) else self.value

    def children(self) -> "Iterator[tuple[str | int, Node]]":
        if isinstance(self.value, dict):
            yield from self.value.items()
        elif isinstance(self.value, list):
            yield from enumerate(self.value)

    def replaced(self, **values: Any) -> "Node":
        return replace(self, **values)

    def at(self, path: "list[str | int]") -> "Node":
        """The node at the end of a path, or the last on the way there that exists."""
        found = self
        for part in path:
            child = found.child(part)
            if child is not None:
                found = child
        return found

    def key_at(self, path: "list[str | int]") -> "Node":
        """The node of the name at the end of a path; where there is no name, as `at`."""
        parent = self.at(path[:-1])
        return parent.keys.get(str(path[-1])) or parent.at(path[-1:])

    def child(self, part: "str | int") -> "Node | None":
        if isinstance(self.value, dict):
            return self.value.get(str(part))
        if isinstance(self.value, list) and str(part).isdecimal() and int(part) < len(self.value):
            return self.value[int(part)]
        return None


class Unreadable(Exception):
    """A text is no YAML that may be read: where, why, and what is allowed."""

    def __init__(self, place: Place, message: str, limit: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.place, self.message, self.limit, self.hint = place, message, limit, hint


def source_of(file: str, data: bytes) -> Source:
    """Raise Unreadable for what is too large, no UTF-8, or holds control characters."""
    if len(data) > MOST_BYTES:
        begun = Source(file, "", [])
        raise Unreadable(Place(begun, 1, 1), f"is {len(data)} bytes large", f"at most {MOST_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        source = Source(file, before, _BREAKS.split(data.decode("utf-8-sig", "replace")))
        raise Unreadable(_place_behind(source, before), "is not UTF-8 here", "text in UTF-8") from None
    source = Source(file, text, _BREAKS.split(text))
    odd = _UNPRINTABLE.search(text)
    if odd:
        place = _place_behind(source, text[: odd.start()])
        raise Unreadable(place, f"holds the control character {odd.group()!r}", "text that can be printed")
    return source


def _place_behind(source: Source, before: str) -> Place:
    return Place(source, before.count("\n") + 1, len(before) - before.rfind("\n"))


def parse(source: Source) -> Node:
    """
    The tree of a text; raise Unreadable for what is no YAML, says something twice, or is too large.

    The parser in C is 40 times as fast, and stricter in braces than YAML 1.2: where it does not understand what stands
    there, such as `{url: https://a.example}`, the other one is asked.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    for is_last in (False, True):
        try:
            return _Builder(source).built(YAML(typ="safe", pure=is_last).parse(source.text))
        except MarkedYAMLError as error:
            if is_last or not any(said in str(error.problem) for said in _NOT_UNDERSTOOD):
                raise _unreadable(source, error) from None
        except (YAMLError, ValueError) as error:
            raise Unreadable(Place(source, 1, 1), f"is no YAML: {error}") from None
    raise AssertionError


_NOT_UNDERSTOOD = ("found unexpected ':'", "did not find expected ',' or", "did not find expected node content")


def _unreadable(source: Source, error: Any) -> Unreadable:
    said = error.problem or error.context or "it cannot be read"
    is_end = "end of stream" in said or "stream end" in said
    mark = (error.context_mark if is_end else None) or error.problem_mark
    place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
    return Unreadable(place, f"is no YAML: {said}", None, _hint_of(place))


def _hint_of(place: Place) -> str | None:
    before = place.text[: place.column]
    if before.endswith("${"):
        return "within braces a text with ${...} stands in quotes"
    return "indent by spaces, not by tabs" if "\t" in before and not before.strip() else None


class _Open:
    """A collection that has begun and not ended."""

    def __init__(self, node: Node, anchor: str | None) -> None:
        self.node, self.anchor = node, anchor
        self.key: Node | None = None


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source
        self._open: list[_Open] = []
        self._anchors: dict[str, Node] = {}
        self._root: Node | None = None
        self._documents = self._total = 0

    def built(self, events: Any) -> Node:
        for event in events:
            getattr(self, f"_on_{type(event).__name__}", _ignore)(event)
        return self._root or Node(None, Place(self.source, 1, 1))

    def _on_DocumentStartEvent(self, event: Any) -> None:  # noqa: N802  # as the events are called
        self._documents += 1
        if self._documents > 1:
            raise Unreadable(self._place(event), "begins a second document", "one document in a file")

    def _on_ScalarEvent(self, event: Any) -> None:  # noqa: N802
        is_plain = not event.style
        self._refuse_tag(event)
        value = _scalar(event.value) if is_plain and event.tag is None else event.value
        node = Node(value, self._place(event), is_quoted=not is_plain)
        self._grow(1, node.place)
        self._add(node, event.anchor, event.value)

    def _on_MappingStartEvent(self, event: Any) -> None:  # noqa: N802
        self._begin(event, {})

    def _on_SequenceStartEvent(self, event: Any) -> None:  # noqa: N802
        self._begin(event, [])

    def _on_MappingEndEvent(self, _event: Any) -> None:  # noqa: N802
        done = self._open.pop()
        self._add(done.node, done.anchor)

    _on_SequenceEndEvent = _on_MappingEndEvent  # noqa: N815

    def _on_AliasEvent(self, event: Any) -> None:  # noqa: N802
        place = self._place(event)
        if any(each.anchor == event.anchor for each in self._open):
            raise Unreadable(place, f"*{event.anchor} stands for itself", "an anchor that has ended before")
        known = self._anchors.get(event.anchor)
        if known is None:
            raise Unreadable(place, f"*{event.anchor} stands for nothing", _listed(self._anchors))
        self._grow(known.count, place)
        self._add(known, None, known.value if isinstance(known.value, str) else None, place)

    def _begin(self, event: Any, value: Any) -> None:
        self._refuse_tag(event)
        if len(self._open) >= MOST_DEPTH:
            raise Unreadable(self._place(event), "is nested too deeply", f"at most {MOST_DEPTH} levels")
        node = Node(value, self._place(event))
        self._grow(1, node.place)
        self._open.append(_Open(node, event.anchor))

    def _refuse_tag(self, event: Any) -> None:
        tag = event.tag and str(event.tag)
        if tag and tag != "!" and not tag.startswith(_OWN_TAGS):
            raise Unreadable(self._place(event), f"has the tag {tag}", "no tags")

    def _add(self, node: Node, anchor: str | None, text: str | None = None, place: Place | None = None) -> None:
        if anchor:
            self._anchors[anchor] = node
        if not self._open:
            self._root = node
            return
        parent = self._open[-1]
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif parent.key is None:
            parent.key = self._as_key(parent.node, node, text, place or node.place)
            return
        else:
            parent.node.value[str(parent.key.value)] = node
            parent.key = None
        parent.node.count += node.count

    def _grow(self, by: int, place: Place) -> None:
        self._total += by
        if self._total > MOST_NODES:
            raise Unreadable(place, "makes the document too large", f"at most {MOST_NODES} values, aliases counted")

    def _as_key(self, mapping: Node, node: Node, text: str | None, place: Place) -> Node:
        if isinstance(node.value, dict | list) or text is None:
            raise Unreadable(place, f"{node.kind} cannot be a name", "text")
        first = mapping.keys.get(text)
        if first:
            raise Unreadable(place, f"{text} is said twice, first in line {first.place.line}", "each name once")
        if text == "<<" and not node.is_quoted:
            hint = "templates under jobs, and environments, say what several share"
            raise Unreadable(place, "<< merges nothing in YAML 1.2", None, hint)
        key = mapping.keys[text] = Node(text, place, is_quoted=node.is_quoted)
        return key

    def _place(self, event: Any) -> Place:
        start, end = event.start_mark, event.end_mark
        length = end.column - start.column if end.line == start.line else len(self._line(start.line)) - start.column
        return Place(self.source, start.line + 1, start.column + 1, max(length, 1))

    def _line(self, number: int) -> str:
        return self.source.lines[number] if number < len(self.source.lines) else ""


def _ignore(_event: Any) -> None:
    pass


def _listed(anchors: dict[str, Node]) -> str:
    return "one of " + ", ".join(f"*{name}" for name in list(anchors)[:20]) if anchors else "an anchor before it"


def is_text(text: str) -> bool:
    """Whether this stands for itself where it is not quoted, and is no number, no word and not null."""
    return isinstance(_scalar(text), str)


def _scalar(text: str) -> Any:
    """What a plain scalar means in YAML 1.2: no octal 012, no yes and no, no sexagesimal numbers."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text
