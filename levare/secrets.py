"""
Secrets by their names: from the environment, or from a file that only its owner may read.

Whoever needs one reads it when it is needed and keeps it nowhere. What names one in a document is `{"secret": NAME}`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from levare.errors import MissingSecret

PREFIX = "LEVARE_SECRET_"
_OTHERS = 0o077


@dataclass(frozen=True)
class Vault:
    """Where secrets are; what the environment gives comes first. `reader` is who has to be given them, for people."""

    folder: Path
    reader: str = "the process that needs it"
    environ: Mapping[str, str] | None = None

    def given(self, name: str) -> str | None:
        """What the environment says."""
        environ = os.environ if self.environ is None else self.environ
        return environ.get(f"{PREFIX}{name}") or None

    def file(self, name: str) -> Path:
        """The file of a secret that the environment does not give, unread. Raise MissingSecret if it does not serve."""
        path = self.folder / name
        try:
            found = path.stat()
        except OSError:
            raise MissingSecret(
                f"There is no secret {name}.", f"Set {PREFIX}{name} for {self.reader}, or write {path} with mode 0600."
            ) from None
        if found.st_mode & _OTHERS:
            raise MissingSecret(f"The secret {name} may be read by others.", f"`chmod 600 {path}`.")
        if not found.st_size:
            raise MissingSecret(f"The secret {name} is empty.", f"Write it into {path}.")
        return path

    def read(self, name: str) -> str:
        """The value."""
        if value := self.given(name):
            return value
        path = self.file(name)
        try:
            value = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise MissingSecret(f"The secret {name} cannot be read from {path}.", f"{error}.") from None
        if not value:
            raise MissingSecret(f"The secret {name} is empty.", f"Write it into {path}.")
        return value


def named(env: Mapping[str, Any]) -> dict[str, str]:
    """Variable -> name of its secret."""
    return {variable: value["secret"] for variable, value in env.items() if not isinstance(value, str)}


def plain(env: Mapping[str, Any]) -> dict[str, str]:
    """The variables that are no secrets."""
    return {variable: value for variable, value in env.items() if isinstance(value, str)}


def without(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for processes that need no secrets."""
    return {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
