"""
Processes of a deployment without the imports, which cost each of them seconds: they are forked from one that has made
them.

Each has a session, an environment, and files of its own, and runs the `main()` that `python -m` would. That this is so
when a person starts them is shown by the tests of `levare up`, of the demo, of the wheel, of pools and of secrets.
"""

import atexit
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parent.parent
KINDS = ("levare.embedded", "app", "beat", "worker")
_MOST_BYTES = 1 << 17
_LINE = b"%15d\n"


class Started:
    """A process that the nursery has forked, as `subprocess.Popen` shows one."""

    def __init__(self, told: int) -> None:
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._line())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.returncode = int(self._line())
            self._told.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None and not select.select([self._told], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired([str(self.pid)], timeout or 0)
        code = self.poll()
        assert code is not None
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _line(self) -> bytes:
        """Up to the end of a line; the nursery writes each at once."""
        line = self._told.read(16)
        assert line, "the nursery has ended"
        return line


class Nursery:
    """The process that has imported everything; it ends with us."""

    def __init__(self) -> None:
        self._asking, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-m", "tests.nursery", str(theirs.fileno())]
            self._process = subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        atexit.register(self.end)

    def start(self, module: str, environment: Mapping[str, str], output: IO[bytes]) -> Started:
        heard, told = os.pipe()
        wish = json.dumps({"module": module, "environment": dict(environment)}).encode()
        socket.send_fds(self._asking, [wish], [output.fileno(), told])
        os.close(told)
        return Started(heard)

    def end(self) -> None:
        self._asking.close()
        self._process.wait()


@cache
def _nursery() -> Nursery:
    return Nursery()


def start(module: str, environment: Mapping[str, str], output: IO[bytes]) -> Started:
    """Run a module of `KINDS` in a process that has this environment and says everything there."""
    return _nursery().start(module, environment, output)


def _serve(asking: socket.socket) -> str | None:
    """Fork what is asked for and tell how it ends; return in the child the module whose `main` it is to run."""
    living: dict[int, tuple[int, int]] = {}
    """By the file that is readable once it has ended: its id, and where to tell."""
    while True:
        for ready in select.select([asking.fileno(), *living], [], [])[0]:
            if ready in living:
                _tell_end(ready, *living.pop(ready))
                continue
            wish, fds, _, _ = socket.recv_fds(asking, _MOST_BYTES, 2)
            if not wish:
                return None
            output, told = fds
            pid = os.fork()
            if not pid:
                asking.close()
                return _become(json.loads(wish), output, close=[*living, *(each for _, each in living.values()), told])
            os.write(told, _LINE % pid)
            os.close(output)
            living[os.pidfd_open(pid)] = (pid, told)


def _tell_end(ended: int, pid: int, told: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    with suppress(BrokenPipeError):  # nobody waits for it any more
        os.write(told, _LINE % code)
    os.close(ended)
    os.close(told)


def _become(wish: dict[str, Any], output: int, close: list[int]) -> str:
    """Be alone: of what the nursery has nothing stays but what it has imported."""
    os.setsid()
    for standard in (1, 2):
        os.dup2(output, standard)
    for each in (output, *close):
        os.close(each)
    os.environ.clear()
    os.environ.update(wish["environment"])
    sys.argv[:] = [wish["module"]]
    return wish["module"]


def _mains() -> dict[str, Callable[[], Any]]:
    """By module what it runs; each is imported whole."""
    modules = {kind: kind if "." in kind else f"{kind}.__main__" for kind in KINDS}
    return {kind: import_module(module).main for kind, module in modules.items()}


if __name__ == "__main__":
    mains = _mains()
    gc.freeze()
    chosen = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(mains[chosen]() if chosen else 0)
