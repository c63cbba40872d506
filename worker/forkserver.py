"""
Forks supervisors for a worker: each starts several times faster than a new interpreter and shares most of its memory.

Run as `python -I -S -E worker/forkserver.py FD`, where FD is one end of a SOCK_SEQPACKET pair. A request is the path
of a run dir, with one end of a line to the supervisor that is to come; the answer is its pid, with its pidfd, or a `!`
and a sentence. When the worker is gone the fork-server ends and its supervisors go on.

To begin and to end a process costs more than to supervise a short job. So a supervisor may serve again, one attempt
after the other, for as long as the worker that it belongs to lives and asks for it over its line.
"""
# pathlib costs more to import than all else here
# ruff: noqa: PTH100, PTH120

import gc
import os
import select
import signal
import socket
import sys

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from worker import cgroup, libc, proc, supervisor

_REQUEST_BYTES = 2**16
FREE, TAKEN_ON = b".", b"+"
_LINE = 3
"""The descriptor of the line; all that are higher belong to the attempt."""
_MOST_FILES = 256


class ForkServer:
    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        libc.block(supervisor.SIGNALS)
        self.signals = libc.signal_fd(supervisor.SIGNALS)

    def serve(self) -> None:
        """Until the worker hangs up or SIGTERM comes."""
        poller = select.poll()
        poller.register(self.channel, select.POLLIN)
        poller.register(self.signals, select.POLLIN)
        while True:
            for fd, _ in poller.poll():
                if not (self._hear() if fd == self.signals else self._answer()):
                    return

    def _hear(self) -> bool:
        heard = libc.waiting_signals(self.signals)
        _reap()
        return signal.SIGTERM not in heard

    def _answer(self) -> bool:
        """Nothing is reaped between the fork and its pidfd, so the pidfd is of this supervisor and no other."""
        run_dir, lines, _, _ = socket.recv_fds(self.channel, _REQUEST_BYTES, 1)
        if not run_dir:
            return False
        try:
            pid = self._fork(os.fsdecode(run_dir), lines[0])
        except OSError as error:
            self.channel.send(f"!{error}".encode())
            return True
        finally:
            os.close(lines[0])
        pidfd = os.pidfd_open(pid)
        socket.send_fds(self.channel, [str(pid).encode()], [pidfd])
        os.close(pidfd)
        return True

    def _fork(self, run_dir: str, line: int) -> int:
        pid = os.fork()
        if pid == 0:
            try:
                self.channel.close()
                os.close(self.signals)
                os._exit(_serve(run_dir, line))
            finally:
                os._exit(supervisor.CRASHED)
        return pid


def _serve(run_dir: str, line: int) -> int:
    """
    Supervise this run dir, and then each that the worker sends over the line, until it hangs up.

    `TAKEN_ON` says that an attempt was taken on: signals that come from then on mean it, those before meant another.
    `FREE` says that the attempt is over, its lock is free, and another may come.
    """
    os.dup2(line, _LINE)
    os.set_inheritable(_LINE, False)
    os.closerange(_LINE + 1, _MOST_FILES)
    while run_dir:
        code = supervisor.main(run_dir)
        os.closerange(_LINE + 1, _MOST_FILES)
        if code == supervisor.CRASHED:
            return code
        run_dir = _next()
    return 0


def _next() -> str:
    """The next run dir. If the worker is gone or wants no more there is none, or SIGPIPE ends this process."""
    try:
        os.write(_LINE, FREE)
        run_dir = os.read(_LINE, _REQUEST_BYTES)
        _forget_signals()
        os.write(_LINE, TAKEN_ON)
    except OSError:
        return ""
    return os.fsdecode(run_dir)


def _forget_signals() -> None:
    fd = libc.signal_fd(supervisor.SIGNALS)
    libc.waiting_signals(fd)
    os.close(fd)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _prepare() -> None:
    """Learn once what is the same for all of them, and share as much memory as can be."""
    for learn in (proc.boot_id, cgroup.own, supervisor.own_oom_score):
        try:
            learn()
        except OSError:
            continue
    supervisor.reset_signals()
    gc.disable()
    gc.freeze()


if __name__ == "__main__":
    _prepare()
    ForkServer(socket.socket(fileno=int(sys.argv[1]))).serve()
