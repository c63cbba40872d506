"""Many options of one command, told in sections."""

from collections.abc import Mapping, Sequence
from typing import Any

import click


class Sectioned(click.Command):
    """`sections` maps a title to the names of its parameters; all others come last, as `Options`."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **extra: Any) -> None:
        super().__init__(*args, **extra)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
        told = {option.name: option.get_help_record(ctx) for option in options}
        sectioned = {name for names in self._sections.values() for name in names}
        rest = [name for name in told if name not in sectioned]
        for title, names in [*self._sections.items(), ("Options", rest)]:
            records = [record for name in names if (record := told.get(name))]
            with formatter.section(title):
                formatter.write_dl(records)
