"""What is declared, whatever it is of."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

DeclaredKind = Literal["team", "window", "pool", "job", "pipeline", "schedule", "trigger", "alert_rule", "channel"]


@dataclass(frozen=True)
class Declared:
    """One object by its kind and its name. `document` is JSON, in the one form in which the store keeps it."""

    kind: DeclaredKind
    name: str
    document: Mapping[str, Any]
