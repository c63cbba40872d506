"""The group of all commands: loads each when it is called for, and tells errors the same way for all."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn

import click

from levare.cli.examples import with_examples
from levare.errors import Fault, LevareError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


@dataclass(frozen=True)
class Lazy:
    """A command that is not loaded yet; `help` is its line in the list of all commands."""

    name: str
    help: str
    module: str

    @property
    def is_there(self) -> bool:
        return find_spec(self.module) is not None

    def load(self) -> click.Command:
        return getattr(import_module(self.module), self.name)


class Commands(click.Group):
    """A group whose list of commands is shown without loading any; it exits 0 done, 1 failed, 2 misused."""

    def __init__(self, name: str, commands: Sequence[Lazy], **extra: Any) -> None:
        super().__init__(name, callback=_show_help, invoke_without_command=True, **extra)
        self._lazy = {command.name: command for command in commands}

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return [name for name, command in self._lazy.items() if command.is_there]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        command = self._lazy.get(cmd_name)
        return with_examples(command.load(), cmd_name) if command and command.is_there else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._lazy[name].help) for name in self.list_commands(ctx)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            near = get_close_matches(name, known, 1)
            ctx.fail(f"There is no command {name!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run and exit with the code that the command returns; tell what a person can meet, without a traceback."""
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.message)
            sys.exit(MISUSED)
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else self.name
            sys.exit(_tell(error.format_message(), next_step=f"`{path} --help` tells how.", code=MISUSED))
        except LevareError as error:
            sys.exit(tell(error))
        except click.ClickException as error:
            sys.exit(_tell(error.format_message()))
        except BrokenPipeError:
            raise
        except OSError as error:
            sys.exit(_tell(str(error)))
        except click.Abort:
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


class Nouns(click.Group):
    """A group whose `default` command takes what is no command: `levare teams NAME` shows that team."""

    def __init__(self, *args: Any, default: str, **extra: Any) -> None:
        super().__init__(*args, **extra)
        self.default = default

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        known = {*self.commands, *ctx.help_option_names}
        is_completing = ctx.resilient_parsing and not args
        if not is_completing and known.isdisjoint(args[:1]):
            args = [self.default, *args]
        return super().parse_args(ctx, args)


@click.pass_context
def _show_help(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def tell(error: LevareError) -> int:
    """Tell what was refused, to stderr; the code to exit with."""
    return _tell(error.detail, error.faults, error.next_step)


def _tell(detail: str, faults: Sequence[Fault] = (), next_step: str = "", code: int = FAILED) -> int:
    from levare.cli.terminal import paint
    from levare.cli.words import plain

    click.echo(f"{paint('error:', fg='red', bold=True)} {plain(detail)}", err=True)
    for fault in faults:
        if len(faults) > 1 or not _is_told(fault, detail):
            click.echo(f"  {plain(_sentence(fault))}", err=True)
    if next_step:
        click.echo(f"{paint('next:', bold=True)} {plain(next_step)}", err=True)
    return code


def _sentence(fault: Fault) -> str:
    """`field: message (given 99, allowed at most 64)`."""
    value, limit = _written(fault.value), _written(fault.limit)
    numbers = [f"given {value}"] if value is not None else []
    numbers += [f"allowed {limit}"] if limit is not None and limit not in fault.message else []
    return f"{fault.field}: {fault.message}" + (f" ({', '.join(numbers)})" if numbers else "")


def _is_told(fault: Fault, detail: str) -> bool:
    """Whether the sentence above has already said all of it."""
    parts = [fault.message, _written(fault.value), _written(fault.limit)]
    return fault.message == detail or all(part in detail for part in parts if part is not None)


def _written(value: object) -> str | None:
    """As it was sent: text as it is, anything else as JSON writes it."""
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
