"""What exists is documented, by its name."""

import re
from pathlib import Path

import click
import pytest

from levare import model, settings
from levare.cli import levare as command_line

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
JOBS = (ROOT / "docs" / "jobs.md").read_text()
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


def variables() -> list[str]:
    return sorted(set(re.findall(r'"(LEVARE_[A-Z_]+)"', Path(settings.__file__).read_text())))


@pytest.mark.parametrize("variable", variables())
def test_every_setting_is_in_the_readme(variable: str):
    assert f"`{variable}`" in README


@pytest.mark.parametrize("state", sorted({*model.JOB_STATES, *model.ENDINGS}))
def test_every_state_is_in_the_guide_to_jobs(state: str):
    assert f"`{state}`" in JOBS


@pytest.mark.parametrize("command", command_line.list_commands(click.Context(command_line)))
def test_every_command_is_in_the_guide_to_commands(command: str):
    assert f"`levare {command}`" in COMMANDS


def test_every_link_of_the_documents_leads_somewhere():
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"
