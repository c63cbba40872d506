"""`levare logs`: what a job has written, byte for byte, and what it goes on to write."""

import base64
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from levare.cli import terminal
from levare.cli.group import INTERRUPTED
from levare.cli.kinds import JOB
from levare.cli.show import standing
from levare.cli.wait import exit_code
from levare.model import FINAL

if TYPE_CHECKING:
    from levare.client import Client, Job, Log, LogEvent

    Reader = tuple[Callable[[LogEvent], None], Callable[[str], None]]

_BLOCK, _MOST = 64 * 1024, 16 * 1024 * 1024


@click.command()
@click.argument("job", type=JOB)
@click.option("-f", "--follow", is_flag=True, help="Stay, and print what is written until the job has ended.")
@click.option("--attempt", metavar="N", type=click.IntRange(min=1), help="Which attempt; the latest by default.")
@click.option("--rank", metavar="N", type=click.IntRange(min=0), default=0, help="Which part of a gang; 0 by default.")
@click.option("--tail", type=click.IntRange(min=0), metavar="LINES", help="Begin with the last so many lines.")
@terminal.json_option
def logs(job: str, *, follow: bool, attempt: int | None, rank: int, tail: int | None, as_json: bool) -> int:
    """Print what a job has written to its output."""
    with terminal.connect() as client:
        which = _Which(job, attempt, rank)
        offset = None if tail is None else _offset_of_tail(client, which, tail)
        if follow:
            return _follow(client, which, offset=offset, as_json=as_json)
        found = which.log(client) if offset is None else _from(client, which, offset)
        if not found["data"] and not as_json:
            _say_why_empty(client, job)
    if as_json:
        terminal.document({"job": job, **_without_data(found), **_text_of(found["data"])})
    else:
        _write(found["data"])
    return 0


@dataclass(frozen=True)
class _Which:
    """Whose log: of a job, or of one attempt of it, and of a gang that rank."""

    job: str
    attempt: int | None = None
    rank: int = 0

    def log(self, client: "Client", **part: int) -> "Log":
        return client.log(self.job, attempt=self.attempt, **({"rank": self.rank} if self.rank else {}), **part)

    def follow(self, client: "Client", offset: int | None) -> "Iterator[LogEvent]":
        return client.follow(
            self.job, attempt=self.attempt, offset=offset, **({"rank": self.rank} if self.rank else {})
        )


def follow_to_end(client: "Client", job: str, *, as_json: bool) -> int:
    """Follow all attempts of a job and give its exit code."""
    return _follow(client, _Which(job), as_json=as_json) or exit_code(client.job(job))


def _follow(client: "Client", which: _Which, *, offset: int | None = None, as_json: bool) -> int:
    last = None
    try:
        with _reader(client, which.job, as_json=as_json) as (take, note):
            for last in _announced(which.follow(client, offset), note):
                take(last)
    except KeyboardInterrupt:
        return _detached(client, which.job)
    if not as_json:
        terminal.note(standing(client.job(which.job)))
    elif last is None or last["event"] != "end":
        terminal.line(_end_without_attempt(client.job(which.job)))
    return 0


def _end_without_attempt(job: "Job") -> dict[str, Any]:
    """What ends the events of an array, or of a job that was cancelled before it began."""
    about = {name: job[name] for name in ("state", "exit_code", "reason")}
    return {"event": "end", "attempt": None, **about}


def _announced(events: Iterator["LogEvent"], note: Callable[[str], None]) -> Iterator["LogEvent"]:
    """The same events, with a note between two attempts."""
    ended = None
    for event in events:
        if ended and ended["attempt"] != event["attempt"]:
            why = f": {ended['reason']}" if ended["reason"] else "."
            note(f"Attempt {ended['attempt']} {ended['state']}{why} Now attempt {event['attempt']}.")
        ended = event if event["event"] == "end" else None
        yield event


def _detached(client: "Client", job: str) -> int:
    found = client.job(job)
    if found["state"] not in FINAL:
        terminal.note(f"Left; {job} goes on.")
        terminal.note(f"next: `levare logs -f {job}` comes back to it, `levare cancel {job}` ends it.")
    return INTERRUPTED


@contextmanager
def _reader(client: "Client", job: str, *, as_json: bool) -> "Iterator[Reader]":
    """What takes events and notes: JSON lines, a live view on a terminal, else the bytes as they are."""
    if as_json:
        yield _take_as_json, lambda _: None
    elif terminal.is_terminal():
        from levare.cli.live import LiveLog

        with LiveLog(client, job) as live:
            yield live.take, live.note
    else:
        yield _take_as_bytes, terminal.note


def _take_as_json(event: "LogEvent") -> None:
    terminal.line(_without_data(event) | _text_of(event["data"]) if event["event"] == "log" else event)


def _take_as_bytes(event: "LogEvent") -> None:
    if event["event"] == "log":
        _write(event["data"])
    elif event["event"] == "cut":
        _write(cut_mark(event["end"] - event["start"]))


def cut_mark(count: int) -> bytes:
    """What stands where bytes of a log are no longer kept, as the API writes it."""
    return f"\n[levare: {count} bytes cut]\n".encode()


def _from(client: "Client", which: _Which, offset: int) -> "Log":
    """The log from `offset` to its present end, with a line wherever something is cut."""
    found = which.log(client, offset=offset)
    parts, last = [found["data"]], found
    while last["data"] and last["next_offset"] < last["size"]:
        last = which.log(client, offset=last["next_offset"])
        parts += [cut_mark(last["cut"][1] - last["cut"][0])] if last["cut"] else []
        parts.append(last["data"])
    return {**last, "offset": found["offset"], "cut": found["cut"], "data": b"".join(parts)}


def _offset_of_tail(client: "Client", which: _Which, lines: int) -> int:
    """Where the last `lines` lines begin, looking back no further than the last cut."""
    block = _BLOCK
    while True:
        start, data, reaches_back = _last_stretch(client, which, block)
        if reaches_back or data.count(b"\n") > lines:
            return start + _start_of_tail(data, lines)
        block *= 4


def _last_stretch(client: "Client", which: _Which, block: int) -> tuple[int, bytes, bool]:
    """Offset and bytes of about a block at the end, without a cut in it, and whether nothing more lies before."""
    found = which.log(client, offset=-block, limit=block)
    start, data, cut = found["offset"], found["data"], found["cut"]
    while found["data"] and found["next_offset"] < found["size"]:
        found = which.log(client, offset=found["next_offset"])
        start, data = (found["offset"], found["data"]) if found["cut"] else (start, data + found["data"])
        cut = found["cut"] or cut
    return start, data, start == 0 or cut is not None or len(data) < block or block >= _MOST


def _start_of_tail(data: bytes, lines: int) -> int:
    place = len(data) - data.endswith(b"\n")
    if lines == 0:
        return len(data)
    for _ in range(lines):
        place = data.rfind(b"\n", 0, place)
        if place < 0:
            return 0
    return place + 1


def _say_why_empty(client: "Client", job: str) -> None:
    found = client.job(job)
    if found["array"]:
        terminal.note(f"{job} is an array, and each of its elements has a log: `levare logs {job}_0`.")
    elif found["state"] in FINAL:
        terminal.note(f"{job} has written nothing.")
    else:
        terminal.note(f"{job} has written nothing yet; it is {found['state']}. `levare why {job}` says more.")


def _write(data: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _without_data(answer: Any) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "data"}


def _text_of(data: bytes) -> dict[str, str]:
    """Bytes for JSON: as text, or in base 64 where they are no UTF-8."""
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
