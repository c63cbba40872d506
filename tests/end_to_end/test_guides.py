"""
The guides, as somebody who reads them: every command in them is run, and says what they show.

In what is shown `…` stands for anything, numbers for numbers, and the id that a submit prints for the real one.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.fleet import ROOT, Fleet, eventually, fleet

DOCS = ROOT / "docs"
BY_THE_READER = ("pip install", "levare up", "git clone", "make ")
"""What was done before the test began."""
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


def scripts(text: str) -> Iterator[tuple[str, str]]:
    """Each script of Python that begins with its name, and the name."""
    yield from re.findall(r"```python\n# (\w+\.py)\n(.*?)```", text, re.DOTALL)


class Reader:
    """Somebody in a folder of their own, with a terminal."""

    def __init__(self, running: Fleet, folder: Path) -> None:
        self.folder, self.ids, self.lacks = folder, dict[str, str](), ""
        others = {name: value for name, value in os.environ.items() if not name.startswith("LEVARE_")}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = others | {"LEVARE_HOME": str(running.home), "PATH": path, "NODE": "n1", "COLUMNS": "120"}
        (folder / "examples").symlink_to(ROOT / "examples")

    def read(self, text: str) -> None:
        for name, script in scripts(text):
            (self.folder / name).write_text(script)
        for step in steps(text):
            if not step.command.startswith(BY_THE_READER):
                self.do(step)

    def do(self, step: Step) -> None:
        if step.command.startswith("levare submit"):
            self.ids[step.shown[0]] = self._run(step).strip()
            return
        try:
            eventually(lambda: self._shows(self._run(step), step), within=60, every=0.5)
        except AssertionError as error:
            raise AssertionError(self.lacks) from error

    def _run(self, step: Step) -> str:
        command = self._real(step.command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != step.code:
            pytest.fail(f"{command} exits with {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout + done.stderr

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
    """With one space for many and 0 for any number."""
    line = re.sub(r"[\[\]*?]", "", line.replace("…", "\0"))
    return re.sub(r"\d+(\.\d+)?", "0", " ".join(line.split())).replace("\0", "*")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with fleet(tmp_path_factory.mktemp("guides"), LEVARE_SIMULATED_GPUS="2x24GiB") as deployment:
        deployment.start_all()
        yield deployment


@pytest.mark.parametrize("guide", ["first-run.md", "training.md", "operating.md"])
def test_every_command_of_the_guide_does_what_it_says(guide: str, running: Fleet, tmp_path: Path):
    Reader(running, tmp_path).read((DOCS / guide).read_text())


def test_what_was_backed_up_is_there_again_where_it_is_put_back(running: Fleet, tmp_path: Path):
    reader = Reader(running, tmp_path)
    [backup] = [step for step in steps((DOCS / "operating.md").read_text()) if "VACUUM INTO" in step.command]
    job = running.submit("true")
    running.await_end(job)
    reader.do(backup)
    home = tmp_path / "restored"
    home.mkdir()
    (tmp_path / "backup.db").rename(home / "levare.db")

    with fleet(home) as restored:
        restored.start_all()
        assert restored.job(job)["state"] == "succeeded"
        assert restored.await_end(restored.submit("true"))[0]["state"] == "succeeded"
