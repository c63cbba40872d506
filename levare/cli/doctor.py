"""`levare doctor`: checks what levare needs, and says for each thing that is wrong what to do."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import click

from levare.cli import terminal, words
from levare.cli.group import FAILED
from levare.errors import LevareError

if TYPE_CHECKING:
    from levare.client import Address, Client, Node

_MOST_SKEW_SECONDS = 5
_LEAST_FREE_GIB, _MOST_USED_PERCENT = 2, 95
_SILENT_SECONDS = 30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `next_step` says what to do where it is not ok."""

    name: str
    ok: bool
    detail: str
    next_step: str = ""


@click.command()
@terminal.json_option
def doctor(*, as_json: bool) -> int:
    """Check the address, the token, the API and what stands behind it, the nodes, clocks and disks."""
    checks: list[Check] = []
    with terminal.connect() as client:
        for check in examine(client):
            checks.append(check)
            if not as_json:
                _tell(check)
    if as_json:
        terminal.document({"ok": all(check.ok for check in checks), "checks": [asdict(check) for check in checks]})
    return 0 if all(check.ok for check in checks) else FAILED
