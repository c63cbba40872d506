"""Files that people write: YAML or JSON, of which every text stays as it was written."""

from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any

import click

from levare.cli import words

_TIMESTAMP, _FLOAT = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:float"


def loaded(file: Path) -> Any:
    """What a file holds; dates and times stay texts, and JSON has no NaN. Errors name line and column."""
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return _reader().load(file.read_text())
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
