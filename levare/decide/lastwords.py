"""
The last lines of a log as a person would read them: without colours, overwritten progress bars and binary rubbish.

Each line keeps the offset at which it stands in the log. The cost is bounded: of the end of a log only the last
`MOST_BYTES` are looked at, of these the last `MOST_LINES`, of a line its first `MOST_OF_LINE` and its end.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

MOST_BYTES = 64 * 1024
MOST_LINES = 600
MOST_OF_LINE = 400
_END_OF_LINE = 100
_MOST_RAW = 8192
"""So much of a line is decoded, from its end."""
_MOST_STRANGE = 0.3

_ESCAPES = re.compile(
    r"\x1b\[[0-9;:?<=>!]*[ -/]*[@-~]"  # colours and movements
    r"|\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)"  # titles and links
    r"|\x1b[@-_]?"
)
_BACKSPACES = re.compile(r".?\x08")
_STRANGE = re.compile("[^\\t\\x20-\\x7e\\xa0-\\ufffc\\U00010000-\\U0003fffd]")
_RANK = re.compile(
    r"\s*(?:"
    r"\[rank\s?(?P<torch>\d+)\]:?"  # torch
    r"|\[default(?P<tee>\d+)\]:"  # torchrun --tee
    r"|\[1,(?P<mpi>\d+)\]<std(?:err|out)>:"  # mpirun --tag-output
    r"|\((?:[\w.]+ )?pid=(?P<ray>\d+)(?:, ip=[\d.]+)?\)"  # ray
    r"|(?P<srun>\d{1,4}):(?= )"  # srun --label
    r") ?"
)


@dataclass(frozen=True)
class Line:
    """A line at its offset in the log; `rank` is who wrote it, where several write and say so."""

    offset: int
    text: str
    rank: str = ""


def lines_of(data: bytes, offset: int = 0) -> list[Line]:
    """The lines of the end of a log that begins at `offset`, without those that are empty or binary."""
    if len(data) > MOST_BYTES:
        offset, data = offset + len(data) - MOST_BYTES, data[-MOST_BYTES:]
    found = [Line(at, text) for at, raw in _raw(data, offset) if (text := _readable(raw))]
    return [_with_rank(line) for line in found[-MOST_LINES:]]


def _raw(data: bytes, offset: int) -> Iterator[tuple[int, bytes]]:
    """Each line as it stood last: what a carriage return has overwritten is gone."""
    for line in data.split(b"\n"):
        whole = line.rstrip(b"\r")
        start = whole.rfind(b"\r") + 1
        yield offset + start, whole[start:][-_MOST_RAW:]
        offset += len(line) + 1


def _readable(raw: bytes) -> str:
    """Text, or nothing where too much of it is none."""
    text = _ESCAPES.sub("", raw.decode("utf-8", "replace"))
    text = _BACKSPACES.sub("", text)
    plain = _STRANGE.sub("", text).rstrip()
    if len(text) - len(plain.rstrip()) > _MOST_STRANGE * len(text.rstrip()) + 1:
        return ""
    return (
        plain if len(plain) <= MOST_OF_LINE else f"{plain[: MOST_OF_LINE - _END_OF_LINE]} ... {plain[-_END_OF_LINE:]}"
    )


def _with_rank(line: Line) -> Line:
    found = _RANK.match(line.text)
    if not found:
        return line
    rank = next(number for number in found.groups() if number is not None)
    return replace(line, text=line.text[found.end() :], rank=rank)


@dataclass(frozen=True)
class Raised:
    """
    An exception as Python prints it: its type, its message, and the line where that stands.

    `after` says how it follows from the one before it in its chain: `cause` if that was named as its cause, `context`
    if it came up while the other was handled, empty for the first. `place` is the number of the line.
    """

    type: str
    message: str
    line: Line
    place: int
    after: str = ""
    from_subprocess: bool = False
    """It was raised by the start of a program, not by a file that is missing."""

    @property
    def text(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


_HEAD = "Traceback (most recent call last)"
_RAISED = re.compile(
    r"\s*(?:[|+>E] ?)*(?P<type>(?:[A-Za-z_]\w*\.)*[A-Z_a-z]\w*(?:\(\w+\))?)(?:: ?(?P<message>.*))?$",
)
_ALONE = re.compile(
    r"(?:^|[\s:|])(?P<type>(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt|Failure|Timeout))"
    r"(?:\(\w+\))?: (?P<message>.+)$"
)
_LINKS = {
    "The above exception was the direct cause of the following exception": "cause",
    "During handling of the above exception, another exception occurred": "context",
}
_MOST_FRAMES = 400


def raised(lines: Sequence[Line]) -> list[Raised]:
    """The exceptions that tracebacks end with, in their order; lines of different ranks are not mixed up."""
    ranks = dict.fromkeys(line.rank for line in lines)
    found = [each for rank in ranks for each in _of_rank([*_numbered(lines, rank)])]
    return sorted(found, key=lambda each: each.place)


def _numbered(lines: Sequence[Line], rank: str) -> Iterator[tuple[int, Line]]:
    return ((place, line) for place, line in enumerate(lines) if line.rank == rank)


def _of_rank(lines: Sequence[tuple[int, Line]]) -> Iterator[Raised]:
    link = ""
    at = 0
    while at < len(lines):
        text = lines[at][1].text
        link = next((kind for words, kind in _LINKS.items() if words in text), link)
        if _HEAD not in text:
            at += 1
            continue
        end = _end_of_frames(lines, at + 1)
        if end < len(lines) and (one := _raised_at(lines, at, end, link)):
            yield one
        link, at = "", max(end, at + 1)


def _end_of_frames(lines: Sequence[tuple[int, Line]], start: int) -> int:
    """The first line behind a head that is no frame: there stands what was raised."""
    for at in range(start, min(len(lines), start + _MOST_FRAMES)):
        text = lines[at][1].text.lstrip("|+ ") if lines[at][1].text.startswith("  |") else lines[at][1].text
        if not text.startswith((" ", "\t")) and "[Previous line repeated" not in text:
            return at
    return len(lines)


def _raised_at(lines: Sequence[tuple[int, Line]], head: int, end: int, link: str) -> Raised | None:
    place, line = lines[end]
    found = _RAISED.match(line.text) or _ALONE.search(line.text)
    if not found:
        return None
    starts_program = any("subprocess.py" in each.text for _, each in lines[head:end])
    return Raised(found["type"], found["message"] or "", line, place, link, starts_program)


def alone(line: Line, place: int) -> Raised | None:
    """An exception in a line of its own, where its traceback was cut off or never printed."""
    found = _ALONE.search(line.text)
    return Raised(found["type"], found["message"], line, place) if found else None
