"""Every command shows how it is used, in lines that it takes."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from levare.cli import levare
from levare.cli.examples import EXAMPLES, lines

ROOT = click.Context(levare, info_name="levare")


def commands(group: click.Group = levare, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """All commands that are no groups, and groups that do something by themselves, by their words."""
    for name in group.list_commands(ROOT):
        command = group.get_command(ROOT, name)
        assert command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


def test_every_command_has_an_example():
    assert [name for name, _ in commands() if not lines(name)] == []


def test_no_example_is_of_a_command_that_there_is_not():
    known = dict(commands())

    assert [name for name in EXAMPLES if name not in known and name != "audit"] == []


@pytest.mark.parametrize("line", [line for name in EXAMPLES for line in lines(name)])
def test_the_examples_are_taken_as_they_stand(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for name in ("levare.yaml", "pipeline.yaml", "plan.json", "pool.yaml", "rule.yaml", "channel.yaml"):
        (tmp_path / name).touch()

    for called in re.findall(r"levare (?:(?!levare |[|&>)]).)+", line):
        context: click.Context = click.Context(levare, info_name="levare")
        args, command = shlex.split(called.rstrip('"'))[1:], levare
        while isinstance(command, click.Group):
            context = command.make_context(command.name, args, parent=context)
            left = [*context._protected_args, *context.args]
            if not left:
                break
            _, found, args = command.resolve_command(context, left)
            assert found, called
            command = found
        else:
            command.make_context(command.name, args, parent=context)


def test_the_help_of_a_command_shows_them():
    shown = CliRunner().invoke(levare, ["logs", "--help"]).stdout

    assert shown.endswith("Examples:\n    levare logs -f k3v9x2m1qa\n")
    assert CliRunner().invoke(levare, ["logs", "--help"]).stdout == shown, "once, however often it is asked for"


def test_the_help_of_a_command_in_a_group_shows_them():
    assert "levare tokens revoke laptop" in CliRunner().invoke(levare, ["tokens", "revoke", "--help"]).stdout
