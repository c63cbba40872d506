"""What every process of levare does first, and how it says that it cannot run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from levare import logs
from levare.errors import LevareError
from levare.settings import Settings, load


@contextmanager
def running_as(name: str) -> Iterator[Settings]:
    """Read the settings and open the log; what a person can mend ends the process with one line and status 1."""
    try:
        settings = load()
        logs.configure(settings, process=name)
        yield settings
    except LevareError as error:
        sys.exit(f"levare {name}: {error}")
