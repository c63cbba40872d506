"""The reader's half of `joblog.py`: the bytes of a job's log in their true places, never one of those that are gone."""

# ruff: noqa: PTH208

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MOST_TORN_READS = 100
_NAME = re.compile(r"out\.(?:(\d+)\.)?log")


@dataclass(frozen=True)
class LogPiece:
    """Bytes of a log exactly as they were written at `offset`."""

    offset: int
    data: bytes


def size(folder: Path) -> int:
    """How many bytes the job has written, kept or not."""
    return max((start + _size(path) for start, path in _files(folder)), default=0)


def cut(folder: Path) -> int:
    """Where the hole ends that begins with the end of the head; 0 if there is none."""
    numbers = [0]
    for _ in range(_MOST_TORN_READS):
        with suppress(FileNotFoundError):
            numbers = [int(text) for text in (folder / "cut").read_text().split()] or [0]
        if min(numbers) == max(numbers):
            break
    return max(numbers)


def read(folder: Path, offset: int, limit: int, *, head: int) -> LogPiece:
    """At most `limit` bytes from `offset` on, or from the end of the hole if that lies in it; never across the hole."""
    while True:
        data = _read_file(folder, offset, limit)
        hole_end = cut(folder)  # after reading: what is not in the hole even now was whole when it was read
        if offset >= hole_end:
            return LogPiece(offset, data)
        if offset < head:
            return LogPiece(offset, data[: head - offset])
        offset = hole_end


def _read_file(folder: Path, offset: int, limit: int) -> bytes:
    files = [(start, path) for start, path in _files(folder) if start <= offset]
    try:
        start, path = max(
            files, key=lambda file: (file[0], file[1].name != "out.log")
        )  # an empty head begins there too
        with path.open("rb") as file:
            file.seek(offset - start)
            return file.read(limit)
    except (ValueError, FileNotFoundError):  # none yet, or deleted just now
        return b""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _files(folder: Path) -> Iterator[tuple[int, Path]]:
    """Each file of the log, and where its first byte belongs."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if match := _NAME.fullmatch(name):
                yield int(match[1] or 0), folder / name
