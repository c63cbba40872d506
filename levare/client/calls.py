"""What every part of the client stands on."""

from typing import Any

from levare.client.parts import given
from levare.client.wire import Wire


class Calls:
    _wire: Wire

    def _get(self, path: str, **params: Any) -> Any:
        """The answer to a question; what was not said is left out."""
        return self._wire.ask("GET", path, params=given(params))
