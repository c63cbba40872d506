"""What goes to the reader: JSON, tables, notes. Everything of an answer is treated as text, never as markup."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import click

from levare.cli.words import plain
from levare.errors import Stale

if TYPE_CHECKING:  # both take longer to import than --help may take
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from levare.client import Client

Found = TypeVar("Found")
_MOST_TURNS = 10
_STYLES = {
    "blocked": "yellow",
    "waiting": "yellow",
    "placed": "cyan",
    "starting": "cyan",
    "running": "bold cyan",
    "succeeded": "green",
    "failed": "red",
    "timed_out": "red",
    "out_of_memory": "red",
    "lost": "red",
    "cancelled": "magenta",
    "preempted": "magenta",
    "ready": "green",
    "draining": "yellow",
    "ours": "cyan",
    "foreign": "red",
    "orphan": "red",
    "active": "green",
    "paused": "yellow",
    "run": "green",
    "skipped": "yellow",
    "error": "red",
    "warning": "yellow",
    "critical": "red",
    "info": "cyan",
    "sent": "green",
    "pending": "yellow",
}
_QUIET = "levare.quiet"
_LEAST_FLEXIBLE, _GAP = 8, 2
_NATURAL_WIDTH = 1000  # off a terminal nothing is cut: there is no edge to keep to


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json` and `-q`, the same on every command."""
    text = "Print JSON, and nothing else, to stdout."
    with_json = click.option("--json", "as_json", is_flag=True, help=text)(command)
    quiet = {"is_flag": True, "expose_value": False, "callback": _be_quiet}
    return click.option("-q", "quietly", **quiet, help="Of a list only ids or names, one a line; no notes.")(with_json)


def _be_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[_QUIET] = True


def is_quiet() -> bool:
    ctx = click.get_current_context(silent=True)
    return ctx is not None and _QUIET in ctx.meta


def connect() -> "Client":
    """The client of this command: the one that the caller gave as the context's object, or one by the environment."""
    return click.get_current_context().find_root().obj or client_kind()()


def on_the_newest(change: Callable[[], Found]) -> Found:
    """What is read and then written whole: begun anew where somebody else has changed it in between."""
    for _ in range(_MOST_TURNS):
        with suppress(Stale):
            return change()
    return change()


def client_kind() -> "type[Client]":
    """The client, without the command line that its HTTP library brings along: that costs a third of `levare jobs`."""
    with without("httpx._main"):
        from levare.client import Client

        return Client


@contextmanager
def without(module: str) -> Iterator[None]:
    """Imports that find no such module, unless it is there already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # how Python is told that there is none
    try:
        yield
    finally:
        del sys.modules[module]


def is_terminal() -> bool:
    return sys.stdout.isatty()


def document(value: Any) -> None:
    """One JSON document: on one line, or indented on a terminal."""
    click.echo(json.dumps(value, indent=2 if is_terminal() else None))


def line(value: Any) -> None:
    """One JSON document of a stream, on a line of its own, at once."""
    click.echo(json.dumps(value))


def paint(text: str, **style: Any) -> str:
    """Text in a style for click, which takes it off where there is no terminal, but knows nothing of NO_COLOR."""
    return text if os.environ.get("NO_COLOR") else click.style(text, **style)


def note(text: str) -> None:
    """Something to know that is no result: to stderr."""
    if not is_quiet():
        click.echo(plain(text), err=True)


def console() -> "Console":
    from rich.console import Console

    width = None if is_terminal() else _NATURAL_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False)


class Listed:
    """A table, and what its rows are about: their first cells."""

    def __init__(self, grid: "Table", names: Sequence[str]) -> None:
        self.grid, self.names, self.width = grid, names, grid.width

    def __rich__(self) -> "Table":
        return self.grid


def show(*parts: Any) -> None:
    """Print tables and texts, without the blanks that fill a line; a table that cannot be narrower is not cut."""
    names = next((part.names for part in parts if isinstance(part, Listed)), None)
    if is_quiet() and names is not None:
        click.echo("".join(f"{name}\n" for name in names), nl=False)
        return
    printer = console()
    width = printer.width
    with printer.capture() as captured:
        for part in parts:
            printer.width = max(width, getattr(part, "width", None) or 0)
            printer.print(part)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def title(text: str) -> "Text":
    from rich.text import Text

    return Text(f"\n{text}", style="bold")


def state(name: str) -> "Text":
    return cell(name, _STYLES.get(name, ""))


def cell(text: str, style: str = "") -> "Text":
    """One line, cut with an ellipsis where there is no room."""
    from rich.text import Text

    return Text(plain(text), style=style, no_wrap=True, overflow="ellipsis")


def table(heads: Sequence[str], rows: Iterable[Sequence["Text | str"]], *, flexible: Sequence[str] = ()) -> Listed:
    """A table whose `flexible` columns give way on a narrow terminal; heads that end in `>` stand right."""
    from rich.table import Table

    names = [head.removesuffix(">") for head in heads]
    cells = [[cell(each) if isinstance(each, str) else each for each in row] for row in rows]
    columns = [[cell(name), *(row[place] for row in cells)] for place, name in enumerate(names)]
    natural = [max(each.cell_len for each in column) for column in columns]
    widths = _narrowed(natural, [name in flexible for name in names], console().width - _GAP * (len(names) - 1))
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, _GAP, 0, 0))
    grid.width = sum(widths) + _GAP * (len(widths) - 1)
    for head, name, width in zip(heads, names, widths, strict=True):
        grid.add_column(cell(name), justify="right" if head != name else "left", width=width, no_wrap=True)
    for row in cells:
        grid.add_row(*row)
    return Listed(grid, [row[0].plain for row in cells])


def _narrowed(widths: Sequence[int], flexible: Sequence[bool], room: int) -> list[int]:
    """Widths that fit, by taking from the widest flexible column first, but never below the least."""
    narrowed = list(widths)
    while sum(narrowed) > room:
        places = [place for place, width in enumerate(narrowed) if flexible[place] and width > _LEAST_FLEXIBLE]
        if not places:
            break
        narrowed[max(places, key=narrowed.__getitem__)] -= 1
    return narrowed


def facts(pairs: Iterable[tuple[str, "Text | str | None"]]) -> Any:
    """Names and values, one a line, without those that have no value."""
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, value in pairs:
        if value not in (None, ""):
            grid.add_row(Text(name, style="dim"), Text(plain(value)) if isinstance(value, str) else value)
    return grid
