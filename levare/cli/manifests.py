"""What every command that reads a manifest has in common: its options, and how its problems are told."""

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal, words
from levare.errors import Unavailable

if TYPE_CHECKING:  # it brings the models of all that is declared, which take longer to import than --help may take
    from levare.manifest import InvalidManifest, Manifest, Problem

FILE = "levare.yaml"
_PREFIX = "LEVARE_VAR_"
_MOST_SHOWN = 160


class Assignment(click.ParamType):
    """`GPUS=4`: a variable and its value."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            self.fail(f"{value!r} is not a variable and its value such as GPUS=4.", param, ctx)
        return name, text


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """PATH..., --env and --var: `paths`, `environment` and `variables`."""
    path = click.Path(exists=True, path_type=Path)
    ways = (
        click.argument("paths", nargs=-1, type=path, metavar="[PATH]..."),
        click.option("--env", "environment", metavar="NAME", help="The environment that is meant, such as staging."),
        click.option("--var", "variables", type=Assignment(), multiple=True, help="A variable's value; repeatable."),
    )
    for way in reversed(ways):
        command = way(command)
    return command


def manifests() -> ModuleType:
    """The library that reads them; raise Unavailable where what it needs is not installed."""
    try:
        from levare import manifest
    except ImportError as error:
        what = f"Reading manifests needs {error.name}, which is not installed."
        raise Unavailable(what, "Run: pip install 'levare[manifest]'") from None
    return manifest


def paths_or_usual(paths: Sequence[Path]) -> Sequence[Path]:
    if not paths and not Path(FILE).exists():
        raise click.UsageError(f"There is no {FILE} here; name a file or a folder.")
    return paths or [Path(FILE)]


def given(variables: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """Those of LEVARE_VAR_<NAME>, and before them those of the options."""
    outside = {name.removeprefix(_PREFIX): text for name, text in os.environ.items() if name.startswith(_PREFIX)}
    return outside | dict(variables)


def read(paths: Sequence[Path], environment: str | None, variables: Iterable[tuple[str, str]]) -> "Manifest":
    """What the files declare; tell every problem and exit 1 if there is one."""
    library = manifests()
    try:
        return library.read(paths_or_usual(paths), environment=environment, variables=given(variables))
    except library.InvalidManifest as error:
        tell(error)
        raise click.exceptions.Exit(1) from None


def tell(error: "InvalidManifest") -> None:
    """Each problem with its line, as compilers do."""
    for problem in error.problems:
        tell_one(problem, terminal.paint("error:", fg="red", bold=True))
    count = len(error.problems)
    click.echo(f"{count} problem{'s' * (count != 1)}.", err=True)


def tell_one(problem: "Problem", label: str) -> None:
    place = problem.place
    where = terminal.paint(words.plain(str(place)), bold=True)
    click.echo(f"{where}: {label} {words.plain(problem.message)}", err=True)
    if place.text.strip():
        number = f"{place.line:>5} | "
        shown, column = _shown(place.text, place.column - 1)
        click.echo(f"{number}{words.plain(shown)}", err=True)
        room = max(min(place.length, len(shown) - column), 1)
        caret = terminal.paint("^" * room, fg="red", bold=True)
        click.echo(f"{' ' * (len(number) + column)}{caret}", err=True)
    for title, text in (("allowed", problem.limit), ("hint", problem.hint)):
        if text and text not in problem.message:
            click.echo(f"      = {title}: {words.plain(text)}", err=True)


def _shown(text: str, column: int) -> tuple[str, int]:
    """The part of a line around a column, and where the column is in it."""
    if len(text) <= _MOST_SHOWN:
        return text, min(column, len(text))
    first = max(0, min(column - _MOST_SHOWN // 2, len(text) - _MOST_SHOWN))
    return text[first : first + _MOST_SHOWN], column - first
