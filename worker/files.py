"""
Small files, whole: those of /proc and of cgroups, and the JSON documents of a run dir.

Each page of memory that a process touches after a fork costs a page fault, and short jobs cost little else. So the
path that every job takes goes straight to the system calls: `open` alone touches a hundred pages.
"""
# ruff: noqa: PTH104, PTH116

import json
import os
from collections.abc import Mapping

_READ_BYTES = 2**18


def read(path: str) -> str:
    """All of it; the kernel gives many of its files page by page."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while more := os.read(fd, _READ_BYTES):
            data += more
        return data.decode(errors="replace")
    finally:
        os.close(fd)


def write(path: str, text: str) -> None:
    """Into a file that is there."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def put(path: str, document: Mapping[str, object], *, durable: bool = False) -> None:
    """
    Replace a JSON document at once: a reader finds one whole or not at all. It survives the death of any process.

    A durable one is not torn by a crash of the machine either. Another may be, and then counts as absent.
    """
    draft = f"{path}.tmp"
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        data = json.dumps(document).encode()
        while data:
            data = data[os.write(fd, data) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(draft, path)


def get(path: str) -> dict[str, object] | None:
    """A JSON document, or None where there is none that is whole."""
    try:
        return json.loads(read(path))
    except (FileNotFoundError, ValueError):
        return None


def hold_reserve(fd: int) -> None:
    """Keep a block of the disk for the moment when it is full, in the lock file; it tells who holds the lock too."""
    os.pwrite(fd, b"%-10d\n" % os.getpid(), 0)


def use_reserve() -> bool:
    """Give that block back, enough to write down where the log is cut or how the attempt ended; False if it is gone."""
    held = os.stat("lock").st_size > 0
    os.truncate("lock", 0)
    return held
