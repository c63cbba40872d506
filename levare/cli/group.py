"""The group of all commands: loads each when it is called for, and tells errors the same way for all."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn

import click

from levare.cli.words import plain
from levare.errors import Fault, LevareError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130


class Commands(click.Group):
    """Commands by the module that has each; one whose module is not there is not a command."""

    def __init__(self, name: str, modules: Mapping[str, str], **extra: Any) -> None:
        super().__init__(name, **extra)
        self._modules = modules

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name in self._modules if self.get_command(ctx, name)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        module = self._modules.get(cmd_name)
        if module is None or find_spec(module) is None:
            return None
        return getattr(import_module(module), cmd_name, None)

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any) -> NoReturn:
        """Run and exit: 0 done, 1 failed, 2 misused, or what a command says by its exit."""
        try:
            code = super().main(args, prog_name, **(extra | {"standalone_mode": False}))
        except click.UsageError as error:
            path = error.ctx.command_path if error.ctx else self.name
            _tell(error.format_message(), next_step=f"`{path} --help` tells how.")
            sys.exit(MISUSED)
        except LevareError as error:
            _tell(error.detail, error.faults, error.next_step)
            sys.exit(FAILED)
        except (click.ClickException, OSError) as error:
            _tell(error.format_message() if isinstance(error, click.ClickException) else str(error))
            sys.exit(FAILED)
        except click.Abort:
            sys.exit(INTERRUPTED)
        sys.exit(code if isinstance(code, int) else 0)


def _tell(detail: str, faults: Sequence[Fault] = (), next_step: str = "") -> None:
    click.echo(f"{click.style('error:', fg='red', bold=True)} {plain(detail)}", err=True)
    for fault in faults:
        click.echo(f"  {plain(_sentence(fault, detail))}", err=True)
    if next_step:
        click.echo(f"{click.style('next:', bold=True)} {plain(next_step)}", err=True)


def _sentence(fault: Fault, detail: str) -> str:
    """`field: message (given 99, allowed 0 to 64)`; what the detail has said already is left out."""
    numbers = [f"given {fault.value}"] if fault.value is not None else []
    numbers += [f"allowed {fault.limit}"] if fault.limit is not None else []
    said = "" if fault.message in detail else fault.message
    told = ", ".join(numbers)
    return f"{fault.field}: " + (f"{said} ({told})" if said and told else said or told)
