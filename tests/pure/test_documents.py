"""What exists is documented, by its name."""

import re
import shlex
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from levare import model, settings
from levare.cli import levare as command_line
from levare.manifest import patterns
from tests.reference import pages

ROOT = Path(__file__).parent.parent.parent
JOBS = (ROOT / "docs" / "jobs.md").read_text()
OPERATORS = ("|", ">", ">>", "<", "&&", ";")
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


def variables() -> list[str]:
    return sorted(set(re.findall(r'"(LEVARE_[A-Z_]+)"', Path(settings.__file__).read_text())))


@pytest.mark.parametrize("variable", variables())
def test_every_setting_has_a_sentence_in_the_reference(variable: str):
    assert f"| `{variable}` | " in (ROOT / "docs" / "reference" / "settings.md").read_text()


@pytest.mark.parametrize("name", sorted(name for name in vars(patterns) if name.isupper() and name != "_WORDS"))
def test_every_pattern_is_told_in_words_to_whoever_sends_something_else(name: str):
    assert not patterns.in_words(vars(patterns)[name]).startswith("text that matches")


@pytest.mark.parametrize("state", sorted({*model.JOB_STATES, *model.ENDINGS}))
def test_every_state_is_in_the_guide_to_jobs(state: str):
    assert f"`{state}`" in JOBS


@pytest.mark.parametrize("command", command_line.list_commands(click.Context(command_line)))
def test_every_command_is_in_the_guide_to_commands(command: str):
    assert f"`levare {command}`" in COMMANDS


def documented() -> Iterator[str]:
    """Every command line of levare in a block of the documents."""
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for block in re.findall(r"```console\n(.*?)```", document.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("$ levare "):
                    yield line.removeprefix("$ levare ")


@pytest.mark.parametrize("line", sorted(set(documented())))
def test_every_command_line_in_the_documents_is_one_that_levare_takes(line: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(click.Context, "invoke", lambda *_, **__: None)  # it is read, and nothing is done
    monkeypatch.setattr(click.Path, "convert", lambda _, value, *__: value)

    words = shlex.shlex(line, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    done = CliRunner().invoke(command_line, [*takewhile(lambda word: word not in OPERATORS, words)])

    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("name", ["commands.md", "rest.md", "manifest.md", "settings.md"])
def test_a_page_of_the_reference_is_what_the_code_says_now(name: str, reference: dict[str, str]):
    written = (ROOT / "docs" / "reference" / name).read_text()

    assert written == reference[name], "`python -m tests.reference` writes it anew"


@pytest.fixture(scope="module")
def reference(the_api: Mapping[str, Any]) -> dict[str, str]:
    return dict(pages(the_api))


def test_every_link_of_the_documents_leads_somewhere():
    for document in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
