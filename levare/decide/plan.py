"""
A plan: what has to change so that what is declared becomes what is wanted.

It is data. It rests on one revision, and can be applied while that is in force. Who wants something without saying
whether it is paused leaves that as it is: nobody resumes by an edit of something else what a person has paused.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from levare.model import Declared
from levare.model.changes import CREATE, REMOVE, UPDATE, Change

Document = Mapping[str, Any]
Key = tuple[str, str]

KINDS = ("team", "window", "pool", "job", "pipeline", "channel", "alert_rule", "schedule", "trigger")
"""In the order in which they are applied and shown: what others speak of comes first."""
PAUSABLE = ("schedule", "trigger", "alert_rule")
PAUSED = "paused"
KEEP, FINISH, REQUEUE = "keep", "finish", "requeue"
FATES = (KEEP, FINISH, REQUEUE)
"""
What becomes of work in flight that a plan touches. What runs is kept as it is, or ends and nothing of it follows, or
is stopped and waits again. What has not begun is kept, or, of what is removed, cancelled (`finish`).
"""
NOTHING = "0" * 64
"""The digest of nothing."""
_SIGNS = {CREATE: "+", UPDATE: "~", REMOVE: "-"}
_MODULUS = 1 << 256
_NAMES = ("step", "name", "job")


@dataclass(frozen=True)
class Field:
    """A value within an object that differs; None where there is none."""

    path: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Plan:
    """`base` is the revision that it rests on, `rollback_to` the one that it goes back to, if it does."""

    base: int
    changes: Sequence[Change]
    in_flight: str = KEEP
    rollback_to: int | None = None

    @property
    def digest(self) -> str:
        """Equal plans have equal digests; whoever changes one by hand has another plan."""
        told = [[each.kind, each.name, each.before, each.after] for each in self.changes]
        return sha256(written([self.base, self.in_flight, self.rollback_to, told]).encode()).hexdigest()


@dataclass(frozen=True)
class Differences:
    """What differs, and what stays paused though nobody wants it so in so many words."""

    changes: Sequence[Change]
    left_paused: Sequence[Key] = field(default_factory=tuple)


def _as_it_is(_kind: str, document: Document) -> Document:
    return document


def differences(
    current: Iterable[Declared],
    wanted: Iterable[Declared],
    *,
    prune: bool = True,
    normal: Callable[[str, Document], Document] = _as_it_is,
) -> Differences:
    """
    What has to change, in the order of the kinds and by name.

    `normal` gives a document with all that it leaves out: what means the same is no change. What is not wanted any
    more goes, unless nothing is to be pruned.
    """
    before, after = _by_key(current), _by_key(wanted)
    found, left = [], []
    for key in sorted(before.keys() | (after.keys()), key=lambda key: (KINDS.index(key[0]), key[1])):
        was, asked = before.get(key), after.get(key)
        if asked is not None and was is not None and was.get(PAUSED) and PAUSED not in asked:
            left.append(key)
        will = None if asked is None else resolved(asked, was)
        if (will is not None or prune) and not _is_same(key[0], was, will, normal):
            found.append(Change(*key, was, will))
    return Differences(found, left)


def resolved(wanted: Document, current: Document | None) -> Document:
    """What is wanted, paused as it says, or else as it is now; only what is paused says so."""
    is_paused = wanted.get(PAUSED, bool(current and current.get(PAUSED)))
    plain = {name: value for name, value in wanted.items() if name != PAUSED}
    return plain | ({PAUSED: True} if is_paused else {})


def outright(declared: Iterable[Declared]) -> list[Declared]:
    """The same, where what says nothing of a pause is not to be paused."""
    return [
        Declared(each.kind, each.name, {PAUSED: False, **each.document}) if each.kind in PAUSABLE else each
        for each in declared
    ]


def fields(change: Change, normal: Callable[[str, Document], Document] = _as_it_is) -> list[Field]:
    """What differs within it, path by path; of what is made or removed, what was written."""
    if change.before is None or change.after is None:
        return list(_fields("", change.before or {}, change.after or {}))
    return list(_fields("", normal(change.kind, change.before), normal(change.kind, change.after)))


def written(value: Any) -> str:
    """The one text of a JSON document."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest_after(digest: str, changes: Iterable[Change]) -> str:
    """
    The digest of all that is declared, from the one before: a sum of what each object has, whatever came first.

    So that going back to a revision gives its digest back.
    """
    total = int(digest, 16)
    for each in changes:
        total += _weight(each.kind, each.name, each.after) - _weight(each.kind, each.name, each.before)
    return f"{total % _MODULUS:064x}"


def digest_of(declared: Iterable[Declared]) -> str:
    return digest_after(NOTHING, (Change(each.kind, each.name, None, each.document) for each in declared))


def sign(change: Change) -> str:
    return _SIGNS[change.action]


def counts(changes: Iterable[Change]) -> dict[str, int]:
    """How many objects are made, changed and removed."""
    actions = [each.action for each in changes]
    return {"created": actions.count(CREATE), "updated": actions.count(UPDATE), "removed": actions.count(REMOVE)}


def _weight(kind: str, name: str, document: Document | None) -> int:
    return 0 if document is None else int(sha256(written([kind, name, document]).encode()).hexdigest(), 16)


def _by_key(declared: Iterable[Declared]) -> dict[Key, Document]:
    return {(each.kind, each.name): each.document for each in declared}


def _is_same(
    kind: str, was: Document | None, will: Document | None, normal: Callable[[str, Document], Document]
) -> bool:
    if was is None or will is None:
        return was is will
    return was == will or normal(kind, was) == normal(kind, will)


def _fields(path: str, before: Any, after: Any) -> Iterator[Field]:
    if before == after:
        return
    parts = _parts(before, after)
    if parts is None:
        yield Field(path, before, after)
        return
    for name, was, will in parts:
        yield from _fields(f"{path}{name}" if name.startswith("[") or not path else f"{path}.{name}", was, will)


def _parts(before: Any, after: Any) -> list[tuple[str, Any, Any]] | None:
    """The parts of two values that can be compared by their names; None where they are compared as a whole."""
    if _is_object(before) and _is_object(after) and (before or after):
        was, will = before or {}, after or {}
        return [(name, was.get(name), will.get(name)) for name in dict.fromkeys([*was, *will])]
    if isinstance(before, list) and isinstance(after, list):
        was, will = _named(before), _named(after)
        if was and will:
            return [(f"[{name}]", was.get(name), will.get(name)) for name in dict.fromkeys([*was, *will])]
    return None


def _is_object(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _named(values: list[Any]) -> dict[str, Any]:
    """The elements of a list by their names, if each has one of its own."""
    for key in _NAMES:
        named = {each[key]: each for each in values if isinstance(each, dict) and isinstance(each.get(key), str)}
        if len(named) == len(values):
            return named
    return {}
