"""
Forks supervisors for a worker: each starts several times faster than a new interpreter and shares most of its memory.

Run as `python -I -S -E worker/forkserver.py FD`, where FD is one end of a SOCK_SEQPACKET pair. A request is the path
of a run dir, with one end of a line to the supervisor that is to come; the answer is its pid, with its pidfd, or a `!`
and a sentence. When the worker is gone the fork-server ends and its supervisors go on.
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
                os._exit(supervisor.serve(run_dir, line))
            finally:
                os._exit(supervisor.CRASHED)
        return pid


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
