"""Regular expressions for logs, of RE2's kind: the time that a line takes is in proportion to its length, always."""

from functools import cache
from typing import Any

import re2

LONGEST = 500
_MOST_MEMORY = 1 << 20


@cache
def compiled(pattern: str) -> Any:
    """Raise ValueError with what is wrong with it: look-arounds and back-references are not of this kind."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else "no regular expression"
        raise ValueError(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None


def first_match(pattern: str, lines: list[str]) -> str | None:
    """The first of these lines that it matches anywhere."""
    search = compiled(pattern).search
    return next((line for line in lines if search(line)), None)
