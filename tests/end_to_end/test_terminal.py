"""The command line on a real terminal: `levare top` and its keys, and what `levare wait` shows while it waits."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.end_to_end.serving import Api, serving
from tests.fleet import eventually

ROWS, COLUMNS = 12, 110
LEVARE = [sys.executable, "-c", "from levare.cli import main; main()"]
_CODES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, make_database_url: Callable[[str], str]) -> Iterator[Api]:
    with serving(tmp_path_factory.mktemp("serving") / "home", make_database_url("sqlite")) as api:
        api.join(gpus=4)
        yield api


@dataclass
class Seen:
    """A command on a terminal of its own, and all that it has written there."""

    process: subprocess.Popen[bytes]
    terminal: int
    written: str = ""
    stdout: bytes = field(default=b"")

    def shows(self, text: str) -> None:
        eventually(lambda: text in self.read(), within=60)

    def read(self) -> str:
        """What was written since the last key, without what moves the cursor or colours."""
        while select.select([self.terminal], [], [], 0.05)[0]:
            try:
                self.written += os.read(self.terminal, 65536).decode(errors="replace")
            except OSError:  # nobody has it open any more
                break
        return _CODES.sub("", self.written)

    def press(self, keys: str) -> None:
        self.read()
        self.written = ""
        os.write(self.terminal, keys.encode())


@contextmanager
def on_terminal(api: Api, *args: str, stdout: Any = None) -> Iterator[Seen]:
    terminal, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    token = api.settings.token_file.read_text().strip()
    environ = {**os.environ, "LEVARE_URL": api.url, "LEVARE_TOKEN": token, "TERM": "xterm-256color"}
    process = subprocess.Popen([*LEVARE, *args], stdin=other, stdout=stdout or other, stderr=other, env=environ)
    os.close(other)
    try:
        yield Seen(process, terminal)
    finally:
        process.kill()
        process.wait(20)
        os.close(terminal)


def test_top_fills_the_screen_scrolls_shows_what_waits_and_leaves(served: Api):
    running = served.submit("train", name="running-job", gpus=1)
    served.start(running)
    for number in range(6):
        served.submit("train", name=f"waiting-{number}")

    with on_terminal(served, "top", "--every", "0.5") as top:
        top.shows("1 job running, 6 waiting")
        top.shows("q leaves")
        assert "waiting-0" not in top.read()

        top.press("w")
        top.shows("w hides what waits")
        top.press("G")
        top.shows("waiting-0")
        top.press("p")
        top.shows("held, p goes on")
        top.press("q")

        assert top.process.wait(30) == 0


def test_wait_shows_on_a_terminal_how_far_a_job_is_and_keeps_stdout_for_the_result(served: Api):
    job = served.submit("train", name="slow")

    with on_terminal(served, "wait", job, stdout=subprocess.PIPE) as wait:
        wait.shows(job)
        wait.shows("waiting")
        served.finish(served.start(job))

        out, _ = wait.process.communicate(timeout=60)
        wait.read()

    assert out.decode().startswith(f"{job} ")
    assert wait.process.returncode == 0


def test_wait_shows_nothing_of_that_where_nobody_looks(served: Api):
    job = served.submit("train", name="quick")
    served.finish(served.start(job))
    environ = {**os.environ, "LEVARE_URL": served.url, "LEVARE_TOKEN": served.settings.token_file.read_text().strip()}

    result = subprocess.run([*LEVARE, "wait", job], env=environ, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stderr) == (0, "")
