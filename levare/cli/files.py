"""Files that people write: YAML or JSON, of which every text stays as it was written."""

from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from levare.cli import words

_OF_THE_ANSWER = ("dry_run", "as_json", "quietly")
_TIMESTAMP, _FLOAT = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float"


def definition_in(text: str, *, otherwise: str) -> Path:
    """The file that this names, which has all there is to say: an option that would be ignored beside it is misuse."""
    file = Path(text)
    if not file.is_file():
        raise click.UsageError(f"There is no file {text!r}; before a command {otherwise}.")
    ignored = _said()
    if ignored:
        raise click.UsageError(f"{file} has the whole definition: write into it what {words.listed(ignored)} said.")
    return file


def _said() -> list[str]:
    """The options that were given, but for those that bear on the answer alone."""
    ctx = click.get_current_context()
    options = [each for each in ctx.command.params if isinstance(each, click.Option)]
    said = [each for each in options if ctx.get_parameter_source(str(each.name)) is ParameterSource.COMMANDLINE]
    return [each.opts[-1] for each in said if each.name not in _OF_THE_ANSWER]


def text_of(file: Path) -> str:
    """What a file that people write says, with or without a byte order mark."""
    try:
        return file.read_text("utf-8-sig")
    except FileNotFoundError:
        raise click.ClickException(f"There is no file {str(file)!r}.") from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise click.ClickException(f"{file}, line {line} is not UTF-8, as text has to be.") from None


def loaded(file: Path) -> Any:
    """What a file holds; dates and times stay texts, and JSON has no NaN. Errors name line and column."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    text = text_of(file)
    try:
        return _reader().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        what = ": ".join(filter(None, (error.context, error.problem)))
        raise click.ClickException(f"{file}{place}: {words.plain(what)}.") from None
    except (YAMLError, ValueError) as error:
        raise click.ClickException(f"{file} cannot be read: {words.plain(str(error))}") from None


@cache
def _reader() -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import ConstructorError, SafeConstructor

    class AsWritten(SafeConstructor):
        def construct_finite(self, node: Any) -> float:
            value: float = self.construct_yaml_float(node)
            if not isfinite(value):
                raise ConstructorError(None, None, f"{node.value} is no number that can be sent", node.start_mark)
            return value

    AsWritten.add_constructor(_TIMESTAMP, AsWritten.construct_scalar)
    AsWritten.add_constructor(_FLOAT, AsWritten.construct_finite)
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = AsWritten
    return reader
