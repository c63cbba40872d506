"""Starts supervisors: through a fork-server, again in those whose attempts are over, or as plain processes."""

import array
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock, Thread

from worker.hold import ANSWER_SECONDS, Hold
from worker.rundir import RunDir

_HERE = Path(__file__).parent
_PYTHON = (getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-E", "-X", "utf8")
_APPEARING_SECONDS = 0.5
_PAUSE_SECONDS = 0.01
_MOST_SPARE = 8


class Launcher:
    """
    Starts supervisors, through a fork-server where that works and as plain processes where it does not.

    Those whose attempts are over serve again, for that costs half as much. Only one that nobody holds for its last
    attempt any more is given another: who holds one may signal it, and would hit the wrong job.

    Safe to use from several threads. What it has started does not depend on it.
    """

    def __init__(self, *, fork_server: bool = True) -> None:
        self._fork_server = fork_server
        self._guard = Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._spare: list[Hold] = []

    def start(self, run: RunDir) -> Hold:
        """
        Start the supervisor of a run dir whose spec is written; return it, for the caller to release.

        Whatever fails on the way, the attempt starts once: the supervisor's own lock sees to it.
        """
        with self._guard:
            if self._fork_server:
                if (spare := self._take_spare(run)) is not None:
                    return spare
                with suppress(OSError):
                    return self._fork(run)
                self._drop_server()
                if (found := _appearing(run)) is not None:
                    return found
            return _spawn(run)

    def release(self, hold: Hold) -> None:
        """Say that nobody will signal it any more: it may serve again if its attempt is over."""
        with self._guard:
            if len(self._spare) < _MOST_SPARE and hold.is_free():
                self._spare.append(hold)
            else:
                hold.close()

    def close(self) -> None:
        """End the fork-server and the spare supervisors; those with an attempt go on."""
        with self._guard:
            self._drop_server()
            while self._spare:
                self._spare.pop().close()

    def _take_spare(self, run: RunDir) -> Hold | None:
        while self._spare:
            hold = self._spare.pop()
            if hold.takes_on(run.path):
                return hold
            hold.close()
        return None

    def _fork(self, run: RunDir) -> Hold:
        line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line.setblocking(False)
        try:
            with theirs:
                return Hold(self._ask(run, theirs), line)
        except OSError:
            line.close()
            raise

    def _ask(self, run: RunDir, line: socket.socket) -> int:
        channel = self._channel or self._start_server()
        request = ([os.fsencode(run.path.absolute())], [line.fileno()])
        try:
            socket.send_fds(channel, *request)
        except OSError:  # it has died since the last start and has forked nothing for this one
            self._drop_server()
            channel = self._start_server()
            socket.send_fds(channel, *request)
        return _answer(channel)

    def _start_server(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.settimeout(ANSWER_SECONDS)
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


def _spawn(run: RunDir) -> Hold:
    process = _popen("supervisor.py", str(run.path.absolute()))
    pidfd = os.pidfd_open(process.pid)
    Thread(target=process.wait, name=f"reap-{run.attempt}", daemon=True).start()
    return Hold(pidfd)


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


def _appearing(run: RunDir) -> Hold | None:
    """The supervisor that a fork-server has started after all, just before it failed to answer."""
    deadline = time.monotonic() + _APPEARING_SECONDS
    while time.monotonic() < deadline or run.is_locked():
        if (found := run.open_supervisor()) is not None:
            return found
        time.sleep(_PAUSE_SECONDS)
    return None
