"""Arrays: what tells their elements apart, and where an array stands while its elements run."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from levare.model import (
    CANCELLED,
    FAILED,
    FINAL,
    RUNNING,
    SUCCEEDED,
    WAITING,
    ArrayState,
    Elements,
    Move,
    Parameter,
    Parameters,
)

MOST_ELEMENTS = 1_000_000
MOST_PLACEHOLDERS = 100
"""In all arguments of a command."""
INDEX = "index"
"""What an array without a sweep can name in its arguments, and one with a sweep too."""
OPEN = (WAITING, RUNNING)
"""An array waits while elements are still to be opened, and runs while one of them is not final."""
_NAMED = 10

_PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}|[{}]")


def size_of(grid: Mapping[str, Sequence[Parameter]]) -> int:
    """How many combinations a grid has."""
    size = 1
    for values in grid.values():
        size *= len(values)
    return size


def parameters(elements: Elements, index: int) -> Parameters:
    """What element `index` is given. Of a grid the last name varies fastest; no combination but this is made."""
    if elements.rows:
        return dict(elements.rows[index])
    found: dict[str, Parameter] = {}
    for name, values in reversed(elements.grid):
        index, place = divmod(index, len(values))
        found[name] = values[place]
    return {name: found[name] for name, _ in elements.grid}


def names(elements: Elements) -> list[str]:
    """The names that an argument may have in braces."""
    return [*(elements.rows[0] if elements.rows else [name for name, _ in elements.grid]), INDEX]


def command(template: Sequence[str], index: int, given: Parameters) -> list[str]:
    """The command of an element: `{name}` in an argument becomes its value, `{{` a brace. The program stays."""
    texts = {name: text(value) for name, value in given.items()} | {INDEX: str(index)}
    return [template[0], *(filled(word, texts) for word in template[1:])]


def filled(word: str, texts: Mapping[str, str], *, keep: bool = False) -> str:
    """An argument with the texts in it. With `keep` braces and names that are none of these stay as they are."""
    return _PLACEHOLDER.sub(lambda found: _filled(found, texts, keep=keep), word)


def environment(index: int, size: int, given: Parameters) -> dict[str, str]:
    numbers = {"LEVARE_ARRAY_INDEX": str(index), "LEVARE_ARRAY_SIZE": str(size)}
    return numbers | {f"LEVARE_PARAM_{name.upper()}": text(value) for name, value in given.items()}


def text(value: Parameter) -> str:
    """A string as it is, anything else as JSON writes it."""
    return value if isinstance(value, str) else json.dumps(value)


def wrong_placeholders(template: Sequence[str], known: Iterable[str]) -> list[tuple[int, str]]:
    """What stands in braces and is no parameter, and braces that stand alone: the argument's number, the text."""
    allowed = {*known}
    return [(number, found) for number, found in _placeholders(template) if found.strip("{}") not in allowed]


def count_placeholders(template: Sequence[str]) -> int:
    return sum(1 for _ in _placeholders(template))


def follow(arrays: Iterable[ArrayState]) -> list[Move]:
    """An array runs once all its elements are open, and ends when all of them have ended."""
    moves = (_followed(array) for array in arrays)
    return [move for move in moves if move]


def _followed(array: ArrayState) -> Move | None:
    if any(count for state, count in array.counts.items() if state not in FINAL):
        return Move(array.job_id, OPEN, RUNNING) if array.state == WAITING else None
    state, reason = _ending(array)
    return Move(array.job_id, OPEN, state, reason)


def _ending(array: ArrayState) -> tuple[str, str]:
    succeeded, failed, cancelled = (array.counts.get(state, 0) for state in (SUCCEEDED, FAILED, CANCELLED))
    if succeeded == array.size:
        return SUCCEEDED, f"All {array.size} elements succeeded."
    if array.cancel_requested:
        return CANCELLED, f"Cancelled after {succeeded + failed} of {array.size} elements had ended."
    fate, count = ("failed", failed) if failed else ("were cancelled", cancelled)
    return FAILED, f"{count} of {array.size} elements {fate}: {_listed(array.unsuccessful, count)}."


def _listed(indices: Sequence[int], count: int) -> str:
    shown = ", ".join(str(index) for index in indices[:_NAMED])
    return shown + (f" and {count - _NAMED} more" if count > _NAMED else "")


def _placeholders(template: Sequence[str]) -> Iterator[tuple[int, str]]:
    """What is not an escaped brace."""
    for number, word in enumerate(template[1:], 1):
        for found in _PLACEHOLDER.finditer(word):
            if found.group() not in ("{{", "}}"):
                yield number, found.group()


def _filled(found: re.Match[str], texts: Mapping[str, str], *, keep: bool) -> str:
    name = found.group(1)
    if keep and name not in texts:
        return found.group()
    return texts[name] if name else found.group()[0]
