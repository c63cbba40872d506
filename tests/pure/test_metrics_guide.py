"""The guide to metrics says what is so."""

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from levare.cli import levare
from levare.stages import split
from levare.store.curves import MOST_KEPT
from worker.points import LONGEST_LINE, LONGEST_NAME, MOST_VALUES, read_points

GUIDE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", GUIDE, re.DOTALL)
COMMANDS = re.findall(r"^\$ levare (.*)$", GUIDE, re.MULTILINE)
NAMES = re.findall(r"^\| `([^`]+)` \| (?:`(\w+)`)? *\| `(\w+)` \|$", GUIDE, re.MULTILINE)


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_guide_is_one(line: str):
    name, *arguments = shlex.split(line, comments=True)
    command = levare.get_command(click.Context(levare), name)

    assert command is not None
    assert command.make_context(name, arguments).params


@pytest.mark.parametrize("code", [text for kind, text in BLOCKS if kind == "python"])
def test_every_python_of_the_guide_is_python(code: str):
    assert compile(code, "docs/metrics.md", "exec")


def test_the_lines_of_the_guide_are_read_as_it_says():
    [lines] = [text for kind, text in BLOCKS if kind == "json"]

    read = read_points(lines.encode(), 0, now=datetime(2030, 1, 1, tzinfo=UTC))

    assert (len(read.points), read.dropped, read.progress) == (1, 0, 0.15)
    assert read.params == {"lr": 0.1, "epochs": 20}


@pytest.mark.parametrize(("name", "stage", "metric"), NAMES)
def test_every_name_of_the_guide_is_read_as_it_says(name: str, stage: str, metric: str):
    assert split(name) == (stage or None, metric)


def test_the_bounds_of_the_guide_are_those_of_the_code():
    assert (len(COMMANDS), len(NAMES)) == (6, 11)
    assert f"{MOST_KEPT:,} lines" in GUIDE
    assert f"{MOST_VALUES} values, {LONGEST_NAME} characters of a name, {LONGEST_LINE // 1024} KiB" in GUIDE
