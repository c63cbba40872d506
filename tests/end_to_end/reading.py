"""
A guide, as somebody who reads it: every command in it is run, and says what the guide shows.

In what is shown `…` stands for anything, numbers for numbers, and the id that a submit prints for the real one.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest
from click.testing import CliRunner

from levare.cli import levare
from tests.fleet import ROOT, Fleet, eventually

DOCS = ROOT / "docs"
BY_THE_READER = (
    "pip install",
    "levare up",
    "levare node run",
    "levare doctor --chaos",
    "git clone",
    "make ",
    "export ",
    "openapi-python-client",
)
"""What was done before the test began, or is done by a test of its own."""
TELL_AN_ID = ("levare submit", "levare rerun", "levare nodes invite")
OF_A_SHELL = re.compile(r"[$|>;&\\]|^(?!levare )")
EXITS = re.compile(r"# exits with (\d+)")


@dataclass
class Step:
    command: str
    shown: list[str] = field(default_factory=list)

    @property
    def code(self) -> int:
        found = EXITS.search(self.command)
        return int(found[1]) if found else 0


def steps(text: str) -> Iterator[Step]:
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        step: Step | None = None
        for line in block.splitlines():
            if line.startswith("$ "):
                if step:
                    yield step
                step = Step(line.removeprefix("$ "))
            elif step:
                step.shown.append(line)
        if step:
            yield step


def files(text: str) -> Iterator[tuple[str, str]]:
    """Each file in the text that begins with its name, and the name."""
    yield from re.findall(r"```\w+\n# (\w+\.(?:py|yaml))\n(.*?)```", text, re.DOTALL)


class Reader:
    """Somebody in a folder of their own, with a terminal."""

    def __init__(self, running: Fleet, folder: Path, listener: str) -> None:
        self.running, self.folder, self.listener = running, folder, listener
        self.ids, self.lacks = dict[str, str](), ""
        others = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = others | {
            "LEVARE_HOME": str(running.home),
            "PATH": path,
            "NODE": "atlas",
            "LEVARE_NODE": "hera",
            "COLUMNS": "120",
        }
        self.environment["LEVARE_URL"] = str(running.client.base_url).rstrip("/")
        self.environment["LEVARE_TOKEN"] = (running.home / "admin.token").read_text().strip()
        (folder / "examples").symlink_to(ROOT / "examples")

    def write(self, name: str, text: str = "") -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def read(self, text: str) -> None:
        for name, content in files(text):
            self.write(name, content)
        for step in steps(text):
            if not step.command.startswith(BY_THE_READER):
                self.do(step)

    def do(self, step: Step) -> None:
        if step.command.startswith(TELL_AN_ID):
            told = self._run(step).strip()
            if step.shown:
                self.ids[step.shown[0]] = told.splitlines()[0]
            return
        try:
            eventually(lambda: self._shows(self._run(step), step), within=60, every=0.5)
        except AssertionError as error:
            raise AssertionError(self.lacks) from error

    def _run(self, step: Step) -> str:
        command = self._real(step.command)
        if command.startswith("curl ") and not shutil.which("curl"):
            pytest.skip("curl is not installed: apt-get install curl")
        code, said = self._of_shell(command) if OF_A_SHELL.search(command) else self._of_levare(command)
        if code != step.code:
            pytest.fail(f"{command} exits with {code}\n{said}")
        return said

    def _of_levare(self, command: str) -> tuple[int, str]:
        """In this process: a new one for each command would take ten times as long."""
        with chdir(self.folder):
            done = CliRunner().invoke(levare, shlex.split(command, comments=True)[1:], env=self.environment)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    def _of_shell(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def _shows(self, said: str, step: Step) -> bool:
        """What was just submitted may not have told all of it yet."""
        missing = [line for line in step.shown if not self._is_in(said, line)]
        self.lacks = f"{step.command}\n{said}\nlacks: {missing}"
        return not missing

    def _real(self, text: str) -> str:
        for written, real in self.ids.items():
            text = text.replace(written, real)
        return text

    def _is_in(self, said: str, line: str) -> bool:
        return any(fnmatch(alike(each), f"{alike(self._real(line))}*") for each in said.splitlines())


def alike(line: str) -> str:
    """With one space for many, 0 for any number, and one step for any curve."""
    line = re.sub(r"[\[\]*?]", "", line.replace("…", "\0"))
    line = re.sub(r"[▁-█]+", "▁", re.sub(r"\d+(,\d{3})*(\.\d+)?", "0", " ".join(line.split())))
    return line.replace("\0", "*")
