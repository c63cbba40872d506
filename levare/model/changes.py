"""What a revision changes in one object that is declared."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Document = Mapping[str, Any]

CREATE, UPDATE, REMOVE = "create", "update", "remove"
ACTIONS = (CREATE, UPDATE, REMOVE)


@dataclass(frozen=True)
class Change:
    """Of one object: `before` is None before it existed, `after` is None after it was removed."""

    kind: str
    name: str
    before: Document | None
    after: Document | None

    @property
    def action(self) -> str:
        if self.before is None:
            return CREATE
        return REMOVE if self.after is None else UPDATE
