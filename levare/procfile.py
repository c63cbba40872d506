"""
The processes of a Procfile, kept running: what `levare up` does between its first and its last line.

Each has a session of its own, so that a Ctrl-C at the terminal reaches `levare up` alone, which ends them in order.
If `levare up` dies without that, however it dies, the kernel sends them TERM (on Linux).
"""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from levare.secrets import without

Say = Callable[[str, str], None]
"""Takes a name and a line."""

STEADY_SECONDS = 10.0
"""A process that ran this long starts again at once; one that ends sooner, after pauses that double."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 10.0
END_SECONDS = 10.0
"""From TERM to KILL."""

_READ_SECRETS = ("beat", "worker")
"""No other process is given secrets."""
_LONGEST_LINE = 64 * 1024
_DIE_WITH_PARENT = """
import os, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""


def deployment() -> Path:
    """The directory that holds app/, beat/, worker/ and the Procfile: the wheel's, or the checkout's own."""
    library = Path(__file__).parent
    packed = library / "_deploy"
    return packed if packed.is_dir() else library.parent


def commands(path: Path) -> dict[str, list[str]]:
    """The commands of a Procfile by name, with this very Python as `python`."""
    lines = [line.partition(":") for line in path.read_text().splitlines() if line.strip()]
    return {name: [sys.executable, *shlex.split(command)[1:]] for name, _, command in lines}


class Processes:
    """
    A context: processes that run, and start again when they end, until it is left.

    The first ends last, when all others have ended: they speak to it to the end.
    """

    def __init__(self, wanted: Mapping[str, Sequence[str]], *, cwd: Path, env: Mapping[str, str], say: Say) -> None:
        self._kept = [
            Kept(name, command, cwd=cwd, env=env if name in _READ_SECRETS else without(env), say=say)
            for name, command in wanted.items()
        ]

    def strike(self, number: signal.Signals, *names: str) -> None:
        """Send a signal to these, as from outside; what ends of it starts again."""
        for kept in self._kept:
            if kept.name in names and kept.pid:
                os.kill(kept.pid, number)

    def __enter__(self) -> Self:
        for kept in self._kept:
            kept.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            _end(self._kept[1:])
            _end(self._kept[:1])
        finally:  # a second Ctrl-C
            for kept in self._kept:
                kept.kill()


class Kept(threading.Thread):
    """
    One process, kept running from `start()` until `end()`.

    The thread that starts it lives as long as the process: the kernel takes the end of the thread for the parent's.
    """

    def __init__(self, name: str, command: Sequence[str], *, cwd: Path, env: Mapping[str, str], say: Say) -> None:
        super().__init__(name=name, daemon=True)
        self._command, self._cwd, self._env, self._say = command, cwd, env, say
        self._ending = threading.Event()
        self._starting = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.starts, self.trouble = 0, ""
        """How often it was started, and why that was, when it was not the first time."""

    @property
    def pid(self) -> int | None:
        """None between two starts."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while process := self._start():
            began = time.monotonic()
            code = process.wait()
            if time.monotonic() - began > STEADY_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            if not self._ending.is_set():
                self.trouble = f"ended with {_ending(code)}; it starts again in {pause:.1f} s"
                self._say("levare", f"{self.name} {self.trouble}")
            self._ending.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def terminate(self) -> None:
        """Send TERM, and start it no more."""
        with self._starting:
            self._ending.set()
            if self._process:
                self._process.terminate()

    def await_end(self, seconds: float) -> None:
        """Wait for its end, and bring it about when it does not come in time."""
        self.join(seconds)
        if self.is_alive():
            self._say("levare", f"{self.name} does not end, it is killed")
            self.kill()

    def end(self) -> None:
        """End it: TERM, and KILL if that does not do in time."""
        self.terminate()
        self.await_end(END_SECONDS)

    def kill(self) -> None:
        """End it now, with its process group; jobs have sessions of their own."""
        self.terminate()
        if self.is_alive() and self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self.join()

    def _start(self) -> subprocess.Popen[bytes] | None:
        """Start it once, or None when it is to end."""
        with self._starting:
            if self._ending.is_set():
                return None
            self._process = self._popen()
            self.starts += 1
        threading.Thread(target=self._pass_on, args=(self._process.stdout,), daemon=True).start()
        return self._process

    def _popen(self) -> subprocess.Popen[bytes]:
        guard = [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid())]
        return subprocess.Popen(
            [*guard, *self._command],
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _pass_on(self, output: IO[bytes]) -> None:
        """Say each line, to the last; a child of the process that holds the pipe open delays nobody."""
        with output:
            while line := output.readline(_LONGEST_LINE):
                self._say(self.name, line.decode(errors="replace").rstrip("\n"))


def _end(kept: Iterable[Kept]) -> None:
    deadline = time.monotonic() + END_SECONDS
    for each in (asked := list(kept)):
        each.terminate()
    for each in asked:
        each.await_end(max(0.0, deadline - time.monotonic()))


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code} ({signal.strsignal(-code)})"
