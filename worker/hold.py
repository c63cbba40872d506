"""A living supervisor in the hands of a worker."""

import os
import select
import signal
import socket
from contextlib import suppress
from pathlib import Path

ANSWER_SECONDS = 10.0
_FREE, _TAKEN_ON = b".", b"+"  # as in forkserver.py


class Hold:
    """
    A living supervisor, held by a pidfd.

    One that we have forked says over its line when its attempt is over. Of any other only the end of its process does.
    """

    def __init__(self, pidfd: int, line: socket.socket | None = None) -> None:
        self._pidfd, self._line = pidfd, line

    def ends(self, within: float) -> bool:
        """Whether it says within so many seconds that its attempt is over, or is over itself."""
        return self._speaks(within)

    def signal(self, number: int = signal.SIGTERM) -> None:
        """SIGTERM cancels, SIGHUP makes room, SIGUSR1 and SIGUSR2 reach the job. One that has ended hears nothing."""
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def is_free(self) -> bool:
        """Whether it has said that its attempt is over and it may be given another. It says so once."""
        with suppress(OSError):
            return self._line is not None and self._line.recv(1) == _FREE
        return False

    def takes_on(self, run_dir: Path) -> bool:
        """Give it another attempt. False if it has died meanwhile, whether or not it has begun."""
        with suppress(OSError):
            if self._line:
                self._line.send(os.fsencode(run_dir.absolute()))
                return self._speaks(ANSWER_SECONDS) and self._line.recv(1) == _TAKEN_ON
        return False

    def close(self) -> None:
        """Let go of it: it goes on, and ends with its attempt."""
        os.close(self._pidfd)
        if self._line:
            self._line.close()

    def _speaks(self, within: float) -> bool:
        poll = select.poll()
        poll.register(self._pidfd, select.POLLIN)
        if self._line:
            poll.register(self._line, select.POLLIN)
        return bool(poll.poll(within * 1000))
