"""What ran in an attempt, as its node saw it: kept beside it, the packages of an environment only once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.store.tables_failures import packages, provenance
from levare.store.upsert import upsert


@dataclass(frozen=True)
class Found:
    attempt_id: str
    found: dict[str, Any]
    digest: str | None = None
    packages: Sequence[str] = ()


def keep(connection: Connection, starts: Sequence[Found]) -> None:
    """Write it once for each attempt; what is there already stays."""
    sets = {start.digest: list(start.packages) for start in starts if start.digest}
    known = set(connection.execute(_KNOWN, {"digests": list(sets)}).scalars()) if sets else set()
    _PACKAGES.run(connection, [{"digest": digest, "packages": sets[digest]} for digest in sets.keys() - known])
    rows = [{"attempt_id": each.attempt_id, "found": each.found, "packages": each.digest} for each in starts]
    _PROVENANCE.run(connection, rows)


def of_attempt(connection: Connection, attempt_id: str) -> dict[str, Any]:
    """What is known; empty where nobody looked."""
    row = connection.execute(_OF_ATTEMPT, {"attempt": attempt_id}).one_or_none()
    return {**row.found, "packages": row.packages} if row else {}


_PACKAGES, _PROVENANCE = upsert(packages), upsert(provenance)
_KNOWN = select(packages.c.digest).where(packages.c.digest.in_(bindparam("digests", expanding=True)))
_OF_ATTEMPT = (
    select(provenance.c.found, packages.c.packages)
    .outerjoin(packages, packages.c.digest == provenance.c.packages)
    .where(provenance.c.attempt_id == bindparam("attempt"))
)
