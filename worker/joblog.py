"""
What a job prints, kept within bounds: its head, and a tail that moves on.

Both ways keep the same promise to a reader: the bytes at [head, cut) are gone, all others are in
their true place, and `cut` was written before anything went. So whoever reads first and looks at
`cut` afterwards knows whether what was read was still whole.
"""
# pathlib costs more to import than all else here
# ruff: noqa: PTH108

import fcntl
import os
import select
import time
from contextlib import suppress
from math import inf

from worker import files, libc

BLOCK = 4096
LOOK_SECONDS = 0.02
"""How long a job may write unseen: at 3 GiB/s it is then 60 MiB beyond its bounds."""
_FLOOD_LOOK_SECONDS = 0.005
_PIPE_BYTES = 2**20
_LITTLE_BYTES, _GATHER_SECONDS = 2**16, 0.002
_RETRY_SECONDS = 1.0
_YOUNG_SECONDS = 1.0
"""So long it is only looked at: to end an inotify instance takes the kernel 10 ms, as long as many a short job."""


class FileLog:
    """
    The job writes out.log itself, and nothing breaks when anybody else dies; the middle is punched out of it.

    While the file grows it is looked at often; while it rests, the kernel says when that is over.
    """

    def __init__(self, head: int, tail: int, poller: select.poll) -> None:
        self.stdout = os.open("out.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        libc.punch(self.stdout, 0, BLOCK)  # of an empty file: says whether this file system can
        self.fd = -1
        self.look_at = time.monotonic() + LOOK_SECONDS
        self._poller, self._size = poller, 0
        self._grown_up_at = time.monotonic() + _YOUNG_SECONDS
        self._cut, self._tail = -(-head // BLOCK) * BLOCK, tail
        self._slack = max(BLOCK, tail // 8)

    def started(self) -> None:
        """The job has its own copy of `stdout` now."""

    def look(self, now: float) -> None:
        """Cut what is too much, and rest if nothing was written since the last look."""
        cut = self._cut
        grown = self._grown()
        self.look_at = now + (_FLOOD_LOOK_SECONDS if self._cut > cut else LOOK_SECONDS)
        if not grown and now >= self._grown_up_at:
            self._rest(now)

    def ready(self, now: float) -> None:
        """Somebody wrote after a rest."""
        self._poller.unregister(self.fd)
        self.look_at = now + LOOK_SECONDS

    def finish(self) -> int:
        """How many bytes were written in all."""
        self._grown()
        return self._size

    def _grown(self) -> bool:
        before, self._size = self._size, os.fstat(self.stdout).st_size
        if self._size - self._tail - self._cut >= self._slack:
            self._cut_to((self._size - self._tail) // BLOCK * BLOCK)
        return self._size != before

    def _cut_to(self, cut: int) -> None:
        """If it fails, the next look tries again."""
        with suppress(OSError):
            _write_cut(cut)
            libc.punch(self.stdout, self._cut, cut)
            self._cut = cut

    def _rest(self, now: float) -> None:
        """Sleep until the next write; look less often where too many files are being watched already."""
        try:
            if self.fd < 0:
                self.fd = libc.write_watch("out.log")
            with suppress(BlockingIOError):
                os.read(self.fd, BLOCK)
        except OSError:
            self.look_at = now + 5 * LOOK_SECONDS
            return
        if not self._grown():  # else it was written to before the watch was armed
            self._poller.register(self.fd, select.POLLIN)
            self.look_at = inf


class PipeLog:
    """
    Where files cannot be punched: the job writes to a pipe, and the tail is a row of files, oldest deleted.

    `out.log` holds the head, `out.<offset>.log` what was written from that offset on.
    """

    def __init__(self, head: int, tail: int, poller: select.poll) -> None:
        self.fd, self.stdout = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.fd, False)
        with suppress(OSError):
            fcntl.fcntl(self.stdout, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self.look_at = inf
        self._poller, self._size, self._pending = poller, 0, b""
        self._tail, self._segment = tail, max(BLOCK, tail // 4)
        self._starts: list[int] = []
        self._file, self._room = _create("out.log"), head
        poller.register(self.fd, select.POLLIN)

    def started(self) -> None:
        """The job has its own copy of `stdout` now; ours would keep the pipe open after its end."""
        os.close(self.stdout)

    def look(self, now: float) -> None:
        """Listen again after a pause."""
        self.look_at = inf
        self._poller.register(self.fd, select.POLLIN)
        self._store(now)

    def ready(self, now: float) -> None:
        """Take what the job wrote. If that was little, let more come together; after the end of the pipe none will."""
        self._pending = os.read(self.fd, _PIPE_BYTES)
        if len(self._pending) < _LITTLE_BYTES:
            self._poller.unregister(self.fd)
            self.look_at = now + _GATHER_SECONDS if self._pending else inf
        self._store(now)

    def finish(self) -> int:
        """How many bytes were written in all. A process that still holds the pipe is not waited for."""
        end = self._size + len(self._pending) + _PIPE_BYTES
        with suppress(OSError):
            while self._size < end:
                self._pending = self._pending or os.read(self.fd, _PIPE_BYTES)
                if not self._pending:
                    break
                self._store_some()
        return self._size

    def _store(self, now: float) -> None:
        try:
            while self._pending:
                self._store_some()
        except OSError:  # the disk is full: the job waits until it is not
            with suppress(KeyError):
                self._poller.unregister(self.fd)
            self.look_at = now + _RETRY_SECONDS

    def _store_some(self) -> None:
        if not self._room:
            self._next_segment()
        written = os.write(self._file, self._pending[: self._room])
        self._pending = self._pending[written:]
        self._room -= written
        self._size += written

    def _next_segment(self) -> None:
        file = _create(f"out.{self._size}.log")
        os.close(self._file)
        self._file, self._room = file, self._segment
        self._starts.append(self._size)
        while len(self._starts) > 1 and self._size - self._starts[1] >= self._tail:
            _write_cut(self._starts[1])
            os.unlink(f"out.{self._starts.pop(0)}.log")


def open_log(mode: str, head: int, tail: int, poller: select.poll) -> FileLog | PipeLog:
    """The job's own file where its file system can punch holes, a pipe where not or where `mode` is "pipe"."""
    if mode != "pipe":
        with suppress(OSError):
            return FileLog(head, tail, poller)
    return PipeLog(head, tail, poller)


def _create(name: str) -> int:
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)


def _write_cut(cut: int) -> None:
    """
    Twice the same number: a reader who meets the file half written sees two.

    What is cut away makes room, so a full disk must not hinder it.
    """
    fd = os.open("cut", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, b"%020d %020d\n" % (cut, cut), 0)
    except OSError:
        if not files.use_reserve():
            raise
        _write_cut(cut)
    finally:
        os.close(fd)
