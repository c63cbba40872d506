"""Arrays and sweeps as people write them on a command line, and as files hold them."""

import csv
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from levare.cli.files import text_of

Value = str | int | float | bool
_MOST_OF_RANGE = 100_000
_FIELDS = ("array", "sweep", "sweep_file", "cap")


class Slots(click.ParamType):
    """`100`, or `100%3` for at most three at a time."""

    name = "n[%cap]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        match = re.fullmatch(r"([1-9]\d{0,6})(?:%([1-9]\d{0,6}))?", value.strip())
        if not match:
            self.fail(f"{value!r} is not a number of jobs such as 100, or 100%3 for three at a time.", param, ctx)
        return {"size": int(match[1])} | ({"cap": int(match[2])} if match[2] else {})


class Axis(click.ParamType):
    """`lr=0.1,0.01` or `seed=1..5`: a name and its values."""

    name = "name=values"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name, _, text = value.partition("=")
        if not text or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            self.fail(f"{value!r} is not a parameter with values such as lr=0.1,0.01 or seed=1..5.", param, ctx)
        try:
            return name, _values(text)
        except ValueError as error:
            self.fail(f"{value!r} {error}.", param, ctx)


class Parameter(click.ParamType):
    """`days=7`: a name and one value."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name, equals, text = value.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            self.fail(f"{value!r} is not a parameter and its value such as days=7.", param, ctx)
        return name, _value(text)


def _values(text: str) -> list[Value]:
    """The values of a list, of which each may be a range; raise ValueError for a range that is none."""
    return [value for part in text.split(",") for value in _part(part)]


def _part(text: str) -> list[Value]:
    span = re.fullmatch(r"([-+]?\d[-+.\de]*?)\.\.([-+]?\d[-+.\de]*)", text)
    return _range(*span.groups()) if span else [_value(text)]


def _range(first: str, last: str) -> list[Value]:
    if not all(re.fullmatch(r"-?\d{1,18}", end) for end in (first, last)):
        raise ValueError("is not a range of whole numbers such as seed=1..5; write other values out: lr=0.1,0.01")
    size = int(last) - int(first) + 1
    if size < 1:
        raise ValueError(f"counts down; write {last}..{first}")
    if size > _MOST_OF_RANGE:
        raise ValueError(f"has {size} values, and at most {_MOST_OF_RANGE} are taken; --array N counts further")
    return list(range(int(first), int(last) + 1))


def _value(text: str) -> Value:
    """A number, true or false as JSON writes them; anything else is text."""
    if re.fullmatch(r"true|false|-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", text):
        return json.loads(text)
    return text


def array_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that make many jobs of one command."""
    options = (
        click.option("--array", type=Slots(), help="Run it N times, at most CAP at a time."),
        click.option("--sweep", type=Axis(), multiple=True, help="Run it for every combination; repeatable."),
        click.option(
            "--sweep-file",
            metavar="FILE",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Run it for each row of a .json, .jsonl or .csv file.",
        ),
        click.option("--cap", metavar="N", type=click.IntRange(1), help="Of an array, so many at a time."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def taken_from(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of an array out of `options`; the field of a submit that they make, if any were given."""
    array, sweep, file, cap = (options.pop(name, None) for name in _FIELDS)
    kinds = [array and dict(array), _grid(sweep or ()), {"list": rows_of(file)} if file else None]
    given = [kind for kind in kinds if kind]
    if len(given) > 1:
        raise click.UsageError("Give one of --array, --sweep and --sweep-file.")
    if cap and not given:
        raise click.UsageError("--cap is for an array; give --array, --sweep or --sweep-file too.")
    return {"array": given[0] | ({"cap": cap} if cap else {})} if given else {}


def _grid(axes: Sequence[tuple[str, Sequence[Value]]]) -> dict[str, Any] | None:
    names = [name for name, _ in axes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise click.UsageError(f"--sweep names {', '.join(twice)} twice; give all its values at once, with commas.")
    return {"grid": dict(axes)} if axes else None


def rows_of(file: Path) -> list[dict[str, Value]]:
    """The rows of a file of parameters, by the end of its name."""
    readers = {".json": json.loads, ".jsonl": _json_lines, ".csv": _csv}
    reader = readers.get(file.suffix)
    if reader is None:
        raise click.UsageError(f"{file} ends in {file.suffix or 'nothing'}; .json, .jsonl and .csv are known.")
    text = text_of(file)
    try:
        rows = reader(text)
    except (ValueError, csv.Error) as error:
        raise click.ClickException(f"{file} cannot be read: {error}.") from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise click.ClickException(f"{file} has no rows; it must hold a list of objects, or lines of names and values.")
    return rows


def _json_lines(text: str) -> list[Any]:
    return [_json_line(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]


def _json_line(number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from None


def _csv(text: str) -> list[dict[str, Value]]:
    rows: Iterable[Mapping[str, str]] = csv.DictReader(text.splitlines(), strict=True)
    found = [{name: _value(value) for name, value in row.items() if name is not None and value} for row in rows]
    return [row for row in found if row]
