"""
The worker's side of a run dir: what it asks of a supervisor, and what it reads of one.

Between the two there are only files, a lock and signals, so either may die and the other goes on. The supervisor's
side is `supervisor.py`; what the files promise is said there and in `joblog.py`.
"""

import fcntl
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from worker import files, logreader, proc
from worker.cgroup import Cgroup
from worker.hold import Hold
from worker.logreader import LogPiece
from worker.proc import boot_id

__all__ = [
    "Ending",
    "LogPiece",
    "RunDir",
    "Spec",
    "State",
    "boot_id",
    "end_attempt",
]

_PAUSE_SECONDS = 0.01
_KILLING_SECONDS = 10.0


@dataclass(frozen=True)
class Spec:
    """What a supervisor is asked to run. Without lease fields the attempt is never fenced."""

    attempt: str
    argv: list[str]
    env: dict[str, str]
    """All of it; LEVARE_ATTEMPT must be there, stray processes are known by it."""
    cwd: str
    grace_seconds: float
    timeout_seconds: float | None
    log_head_bytes: int
    log_tail_bytes: int
    memory_max_mib: int | None
    lease_file: str | None
    lease_seconds: float | None
    fence_grace_seconds: float
    log_mode: str = "file"
    """`pipe` has the supervisor write the log even where the job could; `file` falls back to it where it must."""
    cgroup: bool = True
    """False goes without even where one may be made."""
    warning_signal: int | None = None
    warning_seconds: float = 0.0
    """So long before its limit, or before it is ended to make room, the job gets its warning."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Variable -> the file with its value, which the job alone reads; a relative one is in the run dir, and removed."""


@dataclass(frozen=True)
class State:
    """Who runs the attempt. A start is in clock ticks since boot, `started_at` in Unix seconds."""

    supervisor_pid: int
    supervisor_start: int
    pid: int
    start: int
    boot_id: str
    cgroup: str | None
    started_at: float


@dataclass(frozen=True)
class Ending:
    """How an attempt ended; `exit_code` is 128 + `signal` if by a signal. Times are Unix seconds."""

    exit_code: int
    signal: int | None
    cause: str
    """exited, timed_out, cancelled, fenced, out_of_memory or not_started."""
    error: str | None
    peak_memory_mib: int
    cpu_seconds: float
    started_at: float
    ended_at: float
    log_bytes: int


class RunDir:
    """The directory of one attempt. It is named after it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attempt = path.name
        self.metrics = path / "metrics.jsonl"

    def write_spec(self, spec: Spec) -> None:
        """Readable by this user only: the environment may hold secrets."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        files.put(str(self.path / "spec.json"), vars(spec))
        self._spec = spec

    def spec(self) -> Spec:
        return self._spec

    def state(self) -> State | None:
        """None until the command starts. Where there is a state, the attempt can not be started again."""
        document = self._document("state.json")
        return State(**document) if document else None

    def ending(self) -> Ending | None:
        """None until nothing of the attempt is left."""
        document = self._document("exit.json")
        return Ending(**document) if document else None

    def is_locked(self) -> bool:
        """Whether a supervisor lives: the lock goes with it, however it ends."""
        try:
            fd = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        else:
            return False
        finally:
            os.close(fd)

    def open_supervisor(self) -> Hold | None:
        """
        The living supervisor, for the caller to close, or None.

        Never one of another process that has its number by now: the number is pinned first, then start time, boot and
        lock are compared.
        """
        state = self.state()
        if state is None or state.boot_id != boot_id():
            return None
        try:
            pidfd = os.pidfd_open(state.supervisor_pid)
        except ProcessLookupError:
            return None
        if self._is_supervised_by(state):
            return Hold(pidfd)
        os.close(pidfd)
        return None

    def log_size(self) -> int:
        """How many bytes the job has written, kept or not."""
        return logreader.size(self.path)

    def log_cut(self) -> int:
        """Everything in [log_head_bytes, cut) is gone; 0 if nothing is."""
        return logreader.cut(self.path)

    def read_log(self, offset: int, limit: int) -> LogPiece:
        """
        The bytes at `offset`, at most `limit` of them, never any that are gone; none: nothing more yet.

        If `offset` lies in the cut, the piece begins after it, and no piece reaches across one.
        """
        return logreader.read(self.path, offset, limit, head=self.spec().log_head_bytes)

    @cached_property
    def _spec(self) -> Spec:
        document = self._document("spec.json")
        if document is None:
            raise FileNotFoundError(f"{self.path / 'spec.json'} is not there or not whole.")
        return Spec(**document)

    def _is_supervised_by(self, state: State) -> bool:
        with suppress(OSError):
            return proc.start_of(state.supervisor_pid) == state.supervisor_start and self.is_locked()
        return False

    def _document(self, name: str) -> dict[str, Any] | None:
        return files.get(str(self.path / name))


def end_attempt(run: RunDir) -> int:
    """
    Kill what is left of an attempt whose supervisor is gone, and return how many processes that were.

    When it returns, none is left that could be found and ended.
    """
    if run.is_locked():
        raise RuntimeError(f"The supervisor of {run.attempt} lives: signal it, it ends the attempt in order.")
    state = run.state()
    group = Cgroup(state.cgroup) if state and state.cgroup and state.boot_id == boot_id() else None
    found: set[int] = set()
    deadline = time.monotonic() + _KILLING_SECONDS
    while ((left := _left(run, group)) or not _removed(group)) and time.monotonic() < deadline:
        found |= left
        for pid in left:
            _kill_marked(pid, run.attempt)
        if group:
            group.kill()
        time.sleep(_PAUSE_SECONDS)
    return len(found)


def _left(run: RunDir, group: Cgroup | None) -> set[int]:
    return set(proc.marked(run.attempt)).union(group.pids() if group else ())


def _removed(group: Cgroup | None) -> bool:
    return group is None or group.remove()


def _kill_marked(pid: int, attempt: str) -> None:
    """The number is pinned before it is looked at, so that nobody else can have it by then."""
    with suppress(ProcessLookupError, PermissionError):
        pidfd = os.pidfd_open(pid)
        try:
            if proc.is_marked(pid, attempt):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        finally:
            os.close(pidfd)
