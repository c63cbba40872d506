"""Steps of a pipeline in columns: each to the right of all that it needs, with the lines between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = Mapping[str, Any]

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, EDGE = 176, 50, 56, 16, 4


@dataclass(frozen=True)
class Drawing:
    """In pixels: the places of the steps by their names, and the lines as paths with why they are there."""

    width: int
    height: int
    places: Mapping[str, tuple[int, int]]
    lines: Sequence[tuple[str, str]]


def needed(step: Row) -> list[tuple[str, str]]:
    """What a step needs, each with how it has to end."""
    pairs = [(each, "success") if isinstance(each, str) else (each["job"], each["on"]) for each in step["needs"]]
    return sorted(pairs)


def drawn(steps: Sequence[Row]) -> Drawing:
    """The picture of steps that come each after those that it needs."""
    names = {step["step"] for step in steps}
    columns: dict[int, list[str]] = {}
    column: dict[str, int] = {}
    for step in steps:
        column[step["step"]] = 1 + max((column[name] for name, _ in needed(step) if name in column), default=-1)
        columns.setdefault(column[step["step"]], []).append(step["step"])
    tallest = max(map(len, columns.values()), default=0)
    places = {
        name: (EDGE + at * (BOX_WIDTH + GAP_X), EDGE + _top(row, len(columns[at]), tallest))
        for at in columns
        for row, name in enumerate(columns[at])
    }
    lines = [
        (_path(places[name], places[step["step"]]), outcome)
        for step in steps
        for name, outcome in needed(step)
        if name in names
    ]
    width = 2 * EDGE + len(columns) * (BOX_WIDTH + GAP_X) - GAP_X
    return Drawing(width, 2 * EDGE + tallest * (BOX_HEIGHT + GAP_Y) - GAP_Y, places, lines)


def _top(row: int, rows: int, tallest: int) -> int:
    """Short columns stand in the middle."""
    return row * (BOX_HEIGHT + GAP_Y) + (tallest - rows) * (BOX_HEIGHT + GAP_Y) // 2


def _path(begin: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = begin[0] + BOX_WIDTH, begin[1] + BOX_HEIGHT // 2
    x2, y2 = end[0], end[1] + BOX_HEIGHT // 2
    bend = GAP_X // 2
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
