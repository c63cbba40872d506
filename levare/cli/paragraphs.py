"""Sentences and lists in 80 columns."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from levare.client import Reason

WIDTH = 80
_KINDS = {
    "can-never-run": "Why it can never run",
    "misconfigured": "What has to change",
    "will-wait": "Why it waits",
}
_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


def wrapped(text: str) -> Iterator[str]:
    yield from textwrap.wrap(text, WIDTH, **_WHOLE_WORDS)


def section(head: str, items: Sequence[str]) -> Iterator[str]:
    """A list under its head; nothing without items."""
    if items:
        yield ""
        yield head
        for item in items:
            yield from textwrap.wrap(item, WIDTH, initial_indent="  - ", subsequent_indent="    ", **_WHOLE_WORDS)


def of_reasons(reasons: Sequence["Reason"]) -> Iterator[str]:
    for kind, head in _KINDS.items():
        yield from section(head, [reason["message"] for reason in reasons if reason["kind"] == kind])
