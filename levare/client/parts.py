"""Parts of requests, as the API takes them."""

from datetime import datetime
from typing import Any
from urllib.parse import quote


def given(values: dict[str, Any]) -> dict[str, Any]:
    """Without what was not said."""
    return {name: value for name, value in values.items() if value is not None}


def dry(dry_run: bool) -> dict[str, str]:
    return {"dry_run": "true"} if dry_run else {}


def instant(moment: str | datetime | None) -> str | None:
    return moment.isoformat() if isinstance(moment, datetime) else moment


def part(name: str) -> str:
    """A name as one part of a path."""
    return quote(name, safe="")


def span(since: str | datetime | None, until: str | datetime | None) -> dict[str, str | None]:
    """A time, as parameters."""
    return {"since": instant(since), "until": instant(until)}
