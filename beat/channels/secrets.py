"""The secrets of one message."""

from collections.abc import Mapping
from typing import Any

from beat.channels.undelivered import Undelivered
from levare.errors import MissingSecret
from levare.secrets import Vault


class Secrets:
    """Those that were read for one message, so that none of them gets into what is said of it."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._read: dict[str, str] = {}

    def value(self, given: Any) -> str:
        """The text, or the secret that `{"secret": NAME}` names."""
        return str(given) if not isinstance(given, Mapping) else self.named(given["secret"])

    def named(self, name: str) -> str:
        try:
            found = self._vault.read(name)
        except MissingSecret as error:
            raise Undelivered(str(error)) from None
        self._read[name] = found
        return found

    def without(self, text: str) -> str:
        """The text with the names of secrets instead of their values."""
        for name, value in self._read.items():
            text = text.replace(value, f"<{name}>")
        return text
