"""
What will go away: from when on it is advised against, until when it works, and what to use instead.

Within /v1 only additions are made. What is to go stands here for half a year at least before its last day: each answer
of it says so (`Deprecation` of RFC 9745, `Sunset` of RFC 8594, `Link` to its successor), and the document does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from typing import Any

NOTICE = timedelta(days=182)
"""So long at least it works on."""


@dataclass(frozen=True)
class Deprecated:
    """`instead` is the path of its successor."""

    since: date
    until: date
    instead: str

    def __post_init__(self) -> None:
        if self.until - self.since < NOTICE:
            raise ValueError(f"what is deprecated works on for {NOTICE.days} days at least")

    @property
    def headers(self) -> Mapping[str, str]:
        return {
            "Deprecation": f"@{int(_begin(self.since).timestamp())}",
            "Sunset": format_datetime(_begin(self.until), usegmt=True),
            "Link": f'<{self.instead}>; rel="successor-version"',
        }


DEPRECATED: dict[str, Deprecated] = {}
"""By the name of the operation; so far nothing is."""


def headers_of(scope: Mapping[str, Any]) -> Mapping[str, str]:
    """What an answer says of the operation that gave it."""
    found = DEPRECATED.get(getattr(scope.get("endpoint"), "__name__", ""))
    return found.headers if found else {}


def say_so(operation: dict[str, Any]) -> None:
    """Have the document say it of an operation."""
    found = DEPRECATED.get(operation["operationId"])
    if found:
        operation["deprecated"] = True
        until = f"Deprecated since {found.since}: it works until {found.until}. Use `{found.instead}` instead."
        operation["description"] = f"{operation.get('description', '')}\n\n{until}".strip()


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
