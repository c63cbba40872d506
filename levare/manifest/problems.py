"""What is wrong with a manifest, and where: all of it at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from levare.errors import Fault, LevareError
from levare.manifest.tree import Node, Place

_SHOWN = 200


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong at a place; `limit` says what is allowed, `hint` what was probably meant."""

    place: Place
    message: str
    limit: str | None = None
    hint: str | None = None

    @property
    def sentence(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message

    @property
    def document(self) -> dict[str, Any]:
        """As JSON has it; lines and columns count from 1."""
        place = self.place
        where = {"file": place.file, "line": place.line, "column": place.column, "text": place.text}
        return {**where, "message": self.message, "limit": self.limit, "hint": self.hint}


@dataclass
class InvalidManifest(LevareError):
    """`problems` are all that were found, by file and line."""

    problems: Sequence[Problem] = field(default_factory=tuple)

    code, title, status = "invalid-manifest", "The manifest is not valid", 422


class Findings:
    """Collects problems; the same one at the same place is told once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place, str], Problem] = {}
        self._doubts: dict[tuple[Place, str], Problem] = {}
        self._closed: set[Place] = set()

    def add(
        self,
        where: Node | Place,
        message: str,
        *,
        limit: str | None = None,
        hint: str | None = None,
        closes: bool = False,
    ) -> None:
        """With `closes` nothing else is told of this place: it would follow from this."""
        place = where.place if isinstance(where, Node) else where
        if place not in self._closed:
            self._found.setdefault((place, message), Problem(place, _short(message), limit and _short(limit), hint))
        if closes:
            self._closed.add(place)

    def doubt(self, where: Node, message: str, *, hint: str | None = None) -> None:
        """Something that is allowed, and may not be meant."""
        self._doubts.setdefault((where.place, message), Problem(where.place, _short(message), None, hint))

    def __len__(self) -> int:
        return len(self._found)

    @property
    def problems(self) -> list[Problem]:
        return _in_order(self._found.values())

    @property
    def warnings(self) -> list[Problem]:
        return _in_order(self._doubts.values())

    def error(self) -> InvalidManifest:
        found = self.problems
        count = len(found)
        detail = f"{found[0].place}: {found[0].message}." if count == 1 else f"The manifest has {count} problems."
        faults = [Fault(str(each.place), each.sentence, None, each.limit) for each in found]
        next_step = "Correct what is named; `levare validate` shows each with its line."
        return InvalidManifest(detail, next_step, faults, problems=found)


def _in_order(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda each: (each.place.file, each.place.line, each.place.column))


def nearest(name: str, known: Sequence[str]) -> str | None:
    """`did you mean X?`, if one of the names is close."""
    near = get_close_matches(name, known, 1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else None


def _short(text: str) -> str:
    clean = text.encode("utf-8", "backslashreplace").decode()
    return clean if len(clean) <= _SHOWN else f"{clean[:_SHOWN]}..."
