"""Secrets, read when they are needed and kept nowhere: from the environment, or from a 0600 file."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from beat.channels.undelivered import Undelivered

_OTHERS = 0o077


class Secrets:
    """Those that were read for one message, so that none of them gets into what is said of it."""

    def __init__(self, home: Path, environ: Mapping[str, str] = os.environ) -> None:
        self._folder, self._environ = home / "secrets", environ
        self._read: dict[str, str] = {}

    def value(self, given: Any) -> str:
        """The text, or the secret that `{"secret": NAME}` names."""
        return str(given) if not isinstance(given, Mapping) else self.named(given["secret"])

    def named(self, name: str) -> str:
        found = self._environ.get(f"LEVARE_SECRET_{name}") or self._of_file(name)
        self._read[name] = found
        return found

    def without(self, text: str) -> str:
        """The text with the names of secrets instead of their values."""
        for name, value in self._read.items():
            text = text.replace(value, f"<{name}>")
        return text

    def _of_file(self, name: str) -> str:
        path = self._folder / name
        try:
            mode, found = path.stat().st_mode, path.read_text().strip()
        except (OSError, UnicodeDecodeError):
            raise Undelivered(
                f"There is no secret {name}: set LEVARE_SECRET_{name} for beat, or write {path}."
            ) from None
        if mode & _OTHERS:
            raise Undelivered(f"Others may read {path}: `chmod 600` it.")
        if not found:
            raise Undelivered(f"{path} is empty.")
        return found
