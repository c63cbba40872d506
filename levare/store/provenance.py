"""
What ran in an attempt, as its node saw it: kept beside it.

What many runs have in common is kept once, by its digest: the code with its diff, the packages of an environment.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.store.tables_failures import packages, provenance
from levare.store.tables_pins import patches, pins
from levare.store.upsert import upsert


@dataclass(frozen=True)
class Found:
    """`found` is of this attempt alone, `shared` of many: code, locks, script, interpreter, environment, missing."""

    attempt_id: str
    found: dict[str, Any]
    shared: Mapping[str, Any] = field(default_factory=dict)
    patch: bytes | None = None
    digest: str | None = None
    packages: Sequence[str] = ()

    def told(self) -> dict[str, Any]:
        """As `of_attempt` gives it."""
        return {**self.shared, **self.found, "packages": list(self.packages) if self.digest else None}


def keep(connection: Connection, starts: Sequence[Found]) -> None:
    """Write it once for each attempt; what is there already stays."""
    sets = {start.digest: list(start.packages) for start in starts if start.digest}
    documents = {_digest(_text(start.shared)): start.shared for start in starts}
    diffs = {_digest(start.patch): start.patch for start in starts if start.patch}
    _keep_new(connection, packages, "packages", sets)
    _keep_new(connection, pins, "document", documents)
    _keep_new(connection, patches, "patch", diffs)
    _PROVENANCE.run(connection, [_row(each) for each in starts])


def _keep_new(connection: Connection, table: Any, column: str, values: Mapping[str, Any]) -> None:
    """Those that are not there yet, so that what everybody shares is sent once."""
    known = set(connection.execute(_KNOWN[table], {"digests": list(values)}).scalars()) if values else set()
    new = {digest: value for digest, value in values.items() if digest not in known}
    if table is patches:
        new = {digest: zlib.compress(patch) for digest, patch in new.items()}
    _SHARED[table].run(connection, [{"digest": digest, column: value} for digest, value in new.items()])


def _row(start: Found) -> dict[str, Any]:
    return {
        "attempt_id": start.attempt_id,
        "found": start.found,
        "packages": start.digest,
        "pins": _digest(_text(start.shared)),
        "patch": _digest(start.patch) if start.patch else None,
    }


def _text(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True).encode()


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()


def of_attempt(connection: Connection, attempt_id: str) -> dict[str, Any]:
    """What is known; empty where nobody looked."""
    row = connection.execute(_OF_ATTEMPT, {"attempt": attempt_id}).one_or_none()
    return {**(row.document or {}), **row.found, "packages": row.packages} if row else {}


def patch_of(connection: Connection, attempt_id: str) -> bytes | None:
    """The uncommitted changes that the attempt ran with; None where there were none, or too many to keep."""
    patch = connection.execute(_PATCH_OF, {"attempt": attempt_id}).scalar()
    return zlib.decompress(patch) if patch else None


_PROVENANCE = upsert(provenance)
_SHARED = {table: upsert(table) for table in (packages, pins, patches)}
_KNOWN = {
    table: select(table.c.digest).where(table.c.digest.in_(bindparam("digests", expanding=True))) for table in _SHARED
}
_OF_ATTEMPT = (
    select(provenance.c.found, packages.c.packages, pins.c.document)
    .outerjoin(packages, packages.c.digest == provenance.c.packages)
    .outerjoin(pins, pins.c.digest == provenance.c.pins)
    .where(provenance.c.attempt_id == bindparam("attempt"))
)
_PATCH_OF = (
    select(patches.c.patch)
    .join(provenance, patches.c.digest == provenance.c.patch)
    .where(provenance.c.attempt_id == bindparam("attempt"))
)
