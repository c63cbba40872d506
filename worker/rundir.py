"""
The worker's side of a run dir: what it asks of a supervisor, and what it reads of one.

Between the two there are only files, a lock and signals, so either may die and the other goes on. The supervisor's
side is `supervisor.py`; what the files promise is said there and in `joblog.py`.
"""

import array
import fcntl
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock, Thread
from typing import Any

from worker import files, logreader, proc
from worker.cgroup import Cgroup
from worker.logreader import LogPiece
from worker.proc import boot_id

__all__ = [
    "Ending",
    "Launcher",
    "LogPiece",
    "RunDir",
    "Spec",
    "State",
    "boot_id",
    "end_attempt",
    "signal_supervisor",
]

_HERE = Path(__file__).parent
_PYTHON = (getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-E", "-X", "utf8")
_FORK_SERVER_SECONDS = 10.0
_APPEARING_SECONDS = 0.5
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
        files.put(str(self.path / "spec.json"), asdict(spec))

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

    def open_supervisor(self) -> int | None:
        """
        A pidfd of the living supervisor, for the caller to close, or None.

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
            return pidfd
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


def signal_supervisor(pidfd: int | None, number: int = signal.SIGTERM) -> None:
    """SIGTERM cancels, SIGHUP makes room, SIGUSR1 and SIGUSR2 reach the job. One that has ended hears nothing."""
    if pidfd is not None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, number)


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


class Launcher:
    """
    Starts supervisors, through a fork-server where that works and as plain processes where it does not.

    Safe to use from several threads. What it has started does not depend on it.
    """

    def __init__(self, *, fork_server: bool = True) -> None:
        self._fork_server = fork_server
        self._guard = Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    def start(self, run: RunDir) -> int:
        """
        Start the supervisor of a run dir whose spec is written; return its pidfd, for the caller to close.

        Whatever fails on the way, the attempt starts once: the supervisor's own lock sees to it.
        """
        with self._guard:
            if self._fork_server:
                with suppress(OSError):
                    return self._fork(run)
                self._drop_server()
                if (pidfd := _appearing(run)) is not None:
                    return pidfd
            return _spawn(run)

    def close(self) -> None:
        """End the fork-server; supervisors go on."""
        with self._guard:
            self._drop_server()

    def _fork(self, run: RunDir) -> int:
        channel = self._channel or self._start_server()
        try:
            channel.send(os.fsencode(run.path.absolute()))
        except OSError:  # it has died since the last start and has forked nothing for this one
            self._drop_server()
            channel = self._start_server()
            channel.send(os.fsencode(run.path.absolute()))
        return _answer(channel)

    def _start_server(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.settimeout(_FORK_SERVER_SECONDS)
            self._channel = ours
            self._server = _popen("forkserver.py", str(theirs.fileno()), pass_fds=(theirs.fileno(),))
        return ours

    def _drop_server(self) -> None:
        if self._channel:
            self._channel.close()
        if self._server:
            self._server.kill()
            self._server.wait()
        self._channel = self._server = None


def _spawn(run: RunDir) -> int:
    process = _popen("supervisor.py", str(run.path.absolute()))
    pidfd = os.pidfd_open(process.pid)
    Thread(target=process.wait, name=f"reap-{run.attempt}", daemon=True).start()
    return pidfd


def _popen(script: str, argument: str, pass_fds: tuple[int, ...] = ()) -> "subprocess.Popen[bytes]":
    """A process that keeps nothing of the worker's: no secrets, no terminal, no pipe held open after its end."""
    kept = {name: value for name, value in os.environ.items() if name == "LD_LIBRARY_PATH"}
    with _signals_blocked():
        return subprocess.Popen(
            [*_PYTHON, str(_HERE / script), argument],
            env=kept,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=pass_fds,
            start_new_session=True,
        )


@contextmanager
def _signals_blocked() -> Iterator[None]:
    """A process starts with the mask of its parent's thread: what asks it early to end waits until it is heard."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _answer(channel: socket.socket) -> int:
    answer, control, _, _ = channel.recvmsg(4096, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    for level, kind, data in control:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            return array.array("i", data)[0]
    raise ConnectionError(f"The fork-server answered {answer!r}.")


def _appearing(run: RunDir) -> int | None:
    """The supervisor that a fork-server has started after all, just before it failed to answer."""
    deadline = time.monotonic() + _APPEARING_SECONDS
    while time.monotonic() < deadline or run.is_locked():
        if (pidfd := run.open_supervisor()) is not None:
            return pidfd
        time.sleep(_PAUSE_SECONDS)
    return None


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
