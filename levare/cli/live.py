"""The live view of a job: its log streams above, and how it stands stays below."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread
from types import TracebackType
from typing import Self

from rich.ansi import AnsiDecoder
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from levare.cli import terminal, words
from levare.cli.show import PENDING
from levare.client import Client, Job, LogEvent, Point, Reason, Trend
from levare.errors import LevareError
from levare.model import FINAL

_LOOK_SECONDS = 1.0
_SAMPLE_EVERY = 5
_BAR_WIDTH = 40


class Lines:
    """Cuts what comes into finished lines; of one that was written over, as progress bars are, the last state."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self.rest = ""

    def feed(self, data: bytes) -> list[str]:
        *lines, self.rest = (self.rest + self._decoder.decode(data)).split("\n")
        self.rest = self.rest[self.rest.rfind("\r", 0, -1) + 1 :]
        return [_last_state(line) for line in lines]


class Status:
    """What is known of a job, asked again by a thread of its own until it is closed."""

    def __init__(self, client: Client, job: str) -> None:
        self._client, self._id = client, job
        self._closed = Event()
        self._thread = Thread(target=self._watch, daemon=True)
        self.job: Job | None = None
        self.reasons: list[Reason] = []
        self.metrics: dict[str, dict[str, Trend]] = {}
        self.places: dict[str, Point] = {}
        self._attempt = 0
        self._cursor: str | None = None
        self.usage = ""
        self.trouble = ""

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=2)

    def _watch(self) -> None:
        looks = 0
        while not self._closed.is_set():
            try:
                self._look(with_samples=looks % _SAMPLE_EVERY == 0)
                self.trouble = ""
            except LevareError as error:
                self.trouble = error.detail
            looks += 1
            self._closed.wait(_LOOK_SECONDS)

    def _look(self, *, with_samples: bool) -> None:
        self.job = job = self._client.job(self._id)
        if job["state"] in PENDING:
            self.reasons = self._client.why(self._id)["reasons"]
        elif job["state"] not in FINAL:
            self._look_at_metrics(job["attempt"])
            if with_samples or not self.usage:
                samples = self._client.samples(self._id, limit=1)["items"]
                self.usage = words.usage(samples[-1]) if samples else ""

    def _look_at_metrics(self, attempt: int) -> None:
        """The summary, and how far each stage is, by the lines that are new since the last look."""
        if attempt != self._attempt:
            self._attempt, self._cursor, self.places = attempt, None, {}
        found = self._client.metrics(self._id, attempt=attempt, cursor=self._cursor)
        self.metrics = found["summary"]
        for point in found["items"]:
            self._cursor = str(point["offset"])
            self.places[point["stage"] or ""] = point


class LiveLog:
    """A context in which `take` prints a log above the status of its job."""

    def __init__(self, client: Client, job: str) -> None:
        self._lines, self._colours = Lines(), AnsiDecoder()
        self._status = Status(client, job)
        console = Console(highlight=False, markup=False, emoji=False)
        self._live = Live(console=console, get_renderable=self._render, transient=True)

    def __enter__(self) -> Self:
        self._status.start()
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        rest, self._lines.rest = self._lines.rest, ""
        self._print([rest] if rest else [])
        self._live.stop()
        self._status.close()

    def take(self, event: LogEvent) -> None:
        if event["event"] == "log":
            self._print(self._lines.feed(event["data"]))
        elif event["event"] == "cut":
            self._print(["", f"[levare: {event['end'] - event['start']} bytes cut]"])

    def note(self, text: str) -> None:
        """Something that is not of the log, set apart from it."""
        self._live.console.print(terminal.cell(text, "yellow"), soft_wrap=True)

    def _print(self, lines: list[str]) -> None:
        """Colours stay; what would move the cursor does not."""
        if lines:
            text = Text("\n").join(self._colours.decode_line(line) for line in lines)
            self._live.console.print(text, soft_wrap=True)

    def _render(self) -> RenderableType:
        unfinished = [self._unfinished()] if self._lines.rest else []
        return Group(*unfinished, *status_lines(self._status))

    def _unfinished(self) -> Text:
        text = AnsiDecoder().decode_line(_last_state(self._lines.rest))
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


@contextmanager
def waiting(client: Client, job: str) -> Iterator[None]:
    """How a job stands, on stderr, for as long as the block lasts."""
    status = Status(client, job)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)
    status.start()
    try:
        with Live(console=console, get_renderable=lambda: Group(*status_lines(status)), transient=True):
            yield
    finally:
        status.close()


def status_lines(status: Status) -> list[RenderableType]:
    """How a job stands, what it told last in each stage, what it uses; or why it waits."""
    if status.job is None:
        return [terminal.cell(status.trouble or "asking the API ...", "dim")]
    lines: list[RenderableType] = [_standing(status.job), *_progress(status.job)]
    if status.job["state"] in PENDING:
        lines += [terminal.cell(f"  {reason['message']}", "dim") for reason in status.reasons]
    width = max(map(len, status.metrics), default=0)
    for stage, trends in status.metrics.items():
        lines.append(terminal.cell(f"  {stage:{width}}  {_place(status.places.get(stage))}{words.stage_line(trends)}"))
    lines += [terminal.cell(f"  {status.usage}", "dim")] if status.usage else []
    return lines + ([terminal.cell(f"  {status.trouble}", "red")] if status.trouble else [])


def _standing(job: Job) -> Text:
    line = terminal.cell(f"{job['id']} {job['name']}".strip() + "  ", "bold")
    line.append_text(terminal.state(job["state"]))
    return line.append(
        f" on {job['node']}  {words.lasted(job)}" if job["node"] else f"  {words.lasted(job)}", "not bold"
    )


def _progress(job: Job) -> list[RenderableType]:
    left = words.time_left(job)
    if job["progress"] is None:
        return [terminal.cell(f"  {left}", "dim")] if left else []
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_row(" ", ProgressBar(1, job["progress"], width=_BAR_WIDTH), words.percent(job["progress"]), left or "")
    return [grid]


def _place(point: Point | None) -> str:
    """`step 120  epoch 3`, as far as it is told."""
    told = [(name, point[name]) for name in ("step", "epoch")] if point else []
    return "".join(f"{name} {words.number(value)}  " for name, value in told if value is not None)


def _last_state(line: str) -> str:
    """What a terminal would still show of a line in which carriage returns went back to the beginning."""
    return line.rstrip("\r").rpartition("\r")[2]
