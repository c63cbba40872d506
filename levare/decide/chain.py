"""
A chain of hashes over rows that are only ever added: each seals its own content and all rows before it.

Whoever changes, removes, moves or slips in a row has to make every hash behind it anew. Who can do that too is found
out by whoever has noted the hash of a place elsewhere: the anchor.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

START = "0" * 64
"""What stands before the first row."""
MOST_BACKWARDS = timedelta(minutes=15)
"""Rows are sealed as they come: by so much clocks and transactions may differ, a row that was slipped in by more."""


@dataclass(frozen=True)
class Entry:
    """A row as it is sealed; `row` is its number in the table, `place` and `hash` are what its seal says."""

    row: int
    at: datetime
    actor: str
    action: str
    object: str
    source: str
    detail: Mapping[str, Any]
    place: int = 0
    hash: str = ""


@dataclass(frozen=True)
class Break:
    """The first row of which the chain is not true; `row` is None for one that is gone."""

    place: int
    row: int | None
    reason: str


def link(previous: str, entry: Entry, place: int) -> str:
    """The hash of a row at this place."""
    content = [
        place,
        entry.row,
        entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        *(entry.actor, entry.action, entry.object, entry.source, entry.detail),
    ]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, default=str)
    return sha256(f"{previous}\n{text}".encode()).hexdigest()


class Walk:
    """A walk along a chain from its start: `broken` is the first break that it met."""

    def __init__(self, anchors: Mapping[int, str] | None = None) -> None:
        self.place, self.hash = 0, START
        self.broken: Break | None = None
        self._anchors = anchors or {}
        self._at: datetime | None = None

    def along(self, entries: Iterable[Entry]) -> bool:
        """Go on by these, in the order of their places; False if the chain is broken."""
        for entry in entries:
            self.broken = next(self._faults(entry), None)
            if self.broken:
                return False
            self.place, self.hash = entry.place, entry.hash
            self._at = max(self._at or entry.at, entry.at)
        return True

    def ends_at(self, sealed: int, hash_: str) -> bool:
        """Whether it ends where the head says; False if it is broken."""
        if self.place < sealed:
            self.broken = Break(self.place + 1, None, f"row {self.place + 1} to {sealed} of the chain are gone")
        elif self.place > sealed:
            self.broken = Break(sealed + 1, None, f"the chain ends at {sealed}, and {self.place - sealed} rows go on")
        elif self.hash != hash_:
            self.broken = Break(self.place, None, "the end of the chain is not the one that was kept")
        return self.broken is None

    def _faults(self, entry: Entry) -> Iterator[Break]:
        expected = self.place + 1
        if entry.place != expected:
            yield Break(expected, None, f"row {expected} of the chain is gone")
        if link(self.hash, entry, entry.place) != entry.hash:
            what = f"{entry.action} {entry.object} by {entry.actor}".strip()
            yield Break(entry.place, entry.row, f"{what}: its content or its place was changed")
        if self._at and entry.at < self._at - MOST_BACKWARDS:
            late = f"it says {entry.at:%Y-%m-%d %H:%M:%S} UTC, but came after one of {self._at:%Y-%m-%d %H:%M:%S} UTC"
            yield Break(entry.place, entry.row, f"{entry.action} {entry.object} by {entry.actor}: {late}")
        if not entry.hash.startswith(self._anchors.get(entry.place, "")):
            yield Break(entry.place, entry.row, "its hash is not the one that was noted: the chain was made anew")
