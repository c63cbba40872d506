"""`levare top`: the fleet at a glance, again and again."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from select import select
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal
from levare.cli.jobs import job_table
from levare.cli.nodes import device_table, node_table
from levare.errors import LevareError
from levare.model import BLOCKED, LIVE, WAITING

if TYPE_CHECKING:
    from levare.client import Client, Job, Node

_MOST_JOBS = 200
_LEAST_SECONDS, _MOST_SECONDS = 0.5, 60.0


@dataclass(frozen=True)
class Sight:
    """The fleet at one moment."""

    nodes: "list[Node]"
    jobs: "list[Job]"


@click.command()
@click.option("--once", is_flag=True, help="Print it once, as is done off a terminal.")
@click.option(
    "--every", metavar="SECONDS", type=click.FloatRange(min=0.5), default=2, help="Between two looks; 2 by default."
)
@terminal.json_option
def top(every: float, *, once: bool, as_json: bool) -> None:
    """
    Watch nodes, GPUs and running jobs.

    On a terminal it fills the screen. q leaves, w shows what waits too, j and k or the arrows scroll, space and b by
    a page, p holds it, + and - look more and less often.
    """
    with terminal.connect() as client:
        if as_json:
            sight = look(client)
            terminal.document({"nodes": sight.nodes, "jobs": sight.jobs})
        elif once or not terminal.is_terminal():
            terminal.show(render(look(client)))
        else:
            _watch(client, every)


def look(client: "Client") -> Sight:
    """All nodes, and the jobs that run or wait, newest first."""
    return Sight(client.nodes(), list(client.jobs(state=(*LIVE, WAITING, BLOCKED), limit=_MOST_JOBS)))


def render(sight: Sight, *, with_waiting: bool = False) -> Any:
    from rich.console import Group
    from rich.text import Text

    shown = [job for job in sight.jobs if with_waiting or job["state"] in LIVE]
    parts: list[Any] = [Text(summary(sight), style="bold"), ""]
    parts += [node_table(sight.nodes), ""] if sight.nodes else []
    parts += [device_table(sight.nodes), ""] if any(node["devices"] for node in sight.nodes) else []
    return Group(*parts, *([job_table(shown)] if shown else []))


def summary(sight: Sight) -> str:
    ready = sum(node["state"] == "ready" for node in sight.nodes)
    devices = [device for node in sight.nodes for device in node["devices"]]
    held = sum(bool(device["attempts"]) for device in devices)
    running = sum(job["state"] in LIVE for job in sight.jobs)
    more = "+" if len(sight.jobs) == _MOST_JOBS else ""
    return (
        f"{ready} of {len(sight.nodes)} nodes ready, {held} of {len(devices)} GPUs held, "
        f"{running} {'job' if running == 1 else 'jobs'} running, {len(sight.jobs) - running}{more} waiting"
    )


@dataclass
class Screen:
    """What somebody who watches has chosen by keys; `take` is what a key does."""

    every: float
    first: int = 0
    """The first line that is shown."""
    with_waiting: bool = False
    is_held: bool = False
    has_left: bool = False

    def take(self, key: str, *, height: int, lines: int) -> None:
        page, last = max(height - 1, 1), max(lines - height + 1, 0)
        moves = {"j": 1, "\x1b[B": 1, "k": -1, "\x1b[A": -1, " ": page, "\x1b[6~": page, "b": -page, "\x1b[5~": -page}
        moves |= {"g": -self.first, "G": last}
        self.first = min(max(self.first + moves.get(key, 0), 0), last)
        self.with_waiting ^= key == "w"
        self.is_held ^= key == "p"
        self.has_left |= key in ("q", "Q")
        if key in ("+", "-"):
            self.every = min(max(self.every * (2 if key == "-" else 0.5), _LEAST_SECONDS), _MOST_SECONDS)

    def footer(self, *, height: int, lines: int) -> str:
        place = f"{self.first + 1}-{min(self.first + height - 1, lines)} of {lines}  " if lines >= height else ""
        held = "held, p goes on" if self.is_held else f"every {self.every:g} s (+ -), p holds"
        waiting = "hides" if self.with_waiting else "shows"
        return f"{place}{held}, w {waiting} what waits, j k scroll, q leaves"


def _watch(client: "Client", every: float) -> None:
    sight, screen = look(client), Screen(every)  # what is wrong at the start is told as any error is
    view: Any = render(sight)
    with _full_screen() as draw, _keys() as next_key:
        try:
            while not screen.has_left:
                height, lines = draw(view, screen)
                key = next_key(screen.every)
                screen.take(key, height=height, lines=lines)
                if key or not screen.is_held:
                    sight, view = _looked(client, sight, screen, again=not key)
        except KeyboardInterrupt:
            return


def _looked(client: "Client", sight: Sight, screen: Screen, *, again: bool) -> tuple[Sight, Any]:
    """What is to be seen now; after a key the same, shown as was asked for."""
    try:
        sight = look(client) if again else sight
    except LevareError as error:
        return sight, terminal.cell(error.detail, "red")
    return sight, render(sight, with_waiting=screen.with_waiting)


@contextmanager
def _full_screen() -> Iterator[Any]:
    """Draws a view from the chosen line on, with the keys in the last line; gives the lines that there are room for."""
    from rich.live import Live
    from rich.text import Text

    console = terminal.console()

    def draw(view: Any, screen: Screen) -> tuple[int, int]:
        height, rows = console.height, console.render_lines(view, pad=False)
        screen.first = min(screen.first, max(len(rows) - height + 1, 0))
        shown = rows[screen.first : screen.first + height - 1]
        text = Text("\n").join(Text.assemble(*((part.text, part.style or "") for part in row)) for row in shown)
        footer = terminal.cell(screen.footer(height=height, lines=len(rows)), "dim")
        blank = "\n" * (height - len(shown))
        live.update(Text.assemble(text, blank, footer, no_wrap=True, overflow="crop"), refresh=True)
        return height, len(rows)

    with Live(console=console, screen=True, auto_refresh=False) as live:
        yield draw


@contextmanager
def _keys() -> Iterator[Any]:
    """The key that is pressed within so many seconds, or nothing; without a keyboard just the seconds."""
    from time import sleep

    if not sys.stdin.isatty():
        yield lambda seconds: sleep(seconds) or ""
        return
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    tty.setcbreak(sys.stdin)
    try:
        yield lambda seconds: _key(sys.stdin.fileno(), seconds)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _key(terminal_number: int, seconds: float) -> str:
    """A key that sends several characters, such as an arrow, comes at once."""
    ready, _, _ = select([terminal_number], [], [], seconds)
    return os.read(terminal_number, 8).decode(errors="replace") if ready else ""
