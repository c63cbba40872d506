"""Parts of requests, as the API takes them."""

from datetime import datetime
from typing import Any
from urllib.parse import quote


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what was not said."""
    return {name: value for name, value in values.items() if value is not None}


def dry(dry_run: bool) -> dict[str, str]:
    return {"dry_run": "true"} if dry_run else {}


Version = int | str | None
"""Of what is declared its `revision`, or an ETag; a write is refused with Stale if it is another by now."""


def only(version: Version) -> dict[str, Any]:
    """
    What a write is sent with so that it changes only this version.

    It is not sent again when the connection breaks: if the first has arrived, the second would be told 412.
    """
    if version is None:
        return {}
    tag = version if isinstance(version, str) else f'"{version}"'
    return {"headers": {"If-Match": tag}, "repeatable": False}


def instant(moment: str | datetime | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def span(since: str | datetime | None, until: str | datetime | None) -> dict[str, str | None]:
    """A time, as parameters."""
    return {"since": instant(since), "until": instant(until)}
