"""What is kept of families of jobs: how long their runs took, and which of them are held back."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, false, insert, or_, select, update

from levare.decide.durations import expected
from levare.decide.families import Family
from levare.errors import NotFound
from levare.store import audit
from levare.store.audit import Actor
from levare.store.tables import families
from levare.store.types import Utc

Row = Mapping[str, Any]


def known(connection: Connection, names: Iterable[str]) -> dict[str, Family]:
    """The families of these names that anything is known of."""
    wanted = sorted(set(names))
    rows = connection.execute(_KNOWN, {"names": wanted}) if wanted else ()
    return {row.name: Family(row.name, tuple(row.seconds), *row[2:]) for row in rows}


def held(connection: Connection, *, now: datetime) -> dict[str, str]:
    """Families of which nothing starts now, each with the sentence that says why."""
    return {row.name: row.held_reason or "" for row in connection.execute(_HELD, {"now": now})}


def keep(connection: Connection, changed: Iterable[Family], *, now: datetime) -> None:
    """Write each family, unless somebody has released it since it was read: that counts for more."""
    for family in changed:
        values = {name: value for name, value in asdict(family).items() if name not in ("name", "seen")}
        if family.seen is None:
            connection.execute(insert(families), {"name": family.name, "updated_at": now, **values})
        else:
            names = {f"new_{name}": value for name, value in values.items()}
            connection.execute(_KEEP, {"family": family.name, "seen": family.seen, "now": now, **names})


def release(connection: Connection, name: str, *, actor: Actor, now: datetime) -> Row:
    """Let a held family start again and forget its failures; one that is not held stays as it is."""
    found = family(connection, name, now=now)
    if not connection.execute(_RELEASE, {"family": name, "now": now}).rowcount:
        return found
    before = {"held_until": found["held_until"] and found["held_until"].isoformat(), "reason": found["held_reason"]}
    audit.record(connection, actor, "family.released", name, now=now, before=before, after=None)
    return family(connection, name, now=now)


def family(connection: Connection, name: str, *, now: datetime) -> Row:
    row = connection.execute(_BY_NAME, {"family": name}).mappings().first()
    if row is None:
        raise unknown(name)
    return _shown(dict(row), now)


def unknown(name: str) -> NotFound:
    return NotFound(f"Nothing is known of a family {name!r}.", "`levare families` lists them: team/project/name.")


def find_families(
    connection: Connection,
    *,
    after: str,
    limit: int,
    only_held: bool,
    now: datetime,
    seen: Collection[str] | None = None,
) -> list[Row]:
    """Families by name, those beyond `after`; with `seen` those of these teams."""
    query = select(families).where(families.c.name > after).order_by(families.c.name).limit(limit)
    if seen is not None:
        query = query.where(or_(false(), *(families.c.name.startswith(f"{team}/", autoescape=True) for team in seen)))
    if only_held:
        query = query.where(families.c.held_until > now)
    return [_shown(dict(row), now) for row in connection.execute(query).mappings()]


def _shown(row: Row, now: datetime) -> Row:
    """With what its history promises; a hold that is over is not shown."""
    duration = expected(row["seconds"], None)
    is_held = row["held_until"] is not None and row["held_until"] > now
    return {
        **row,
        "runs": len(row["seconds"]),
        "typical_seconds": duration and duration.typical.total_seconds(),
        "promised_seconds": duration and duration.promised.total_seconds(),
        "held_until": row["held_until"] if is_held else None,
        "held_reason": row["held_reason"] if is_held else None,
    }


_F = families.c
_NAME = _F.name == bindparam("family")
_NOW = bindparam("now", type_=Utc)
_KNOWN = select(_F.name, _F.seconds, _F.fast_failures, _F.held_until, _F.held_reason, _F.updated_at).where(
    _F.name.in_(bindparam("names", expanding=True))
)
_HELD = select(_F.name, _F.held_reason).where(_F.held_until > _NOW)
_KEPT = ("seconds", "fast_failures", "held_until", "held_reason")
_KEEP = (
    update(families)
    .where(_NAME, _F.updated_at == bindparam("seen", type_=Utc))
    .values({name: bindparam(f"new_{name}", type_=_F[name].type) for name in _KEPT} | {"updated_at": _NOW})
)
_RELEASE = (
    update(families)
    .where(_NAME, _F.held_until > _NOW)
    .values(held_until=None, held_reason=None, fast_failures=0, updated_at=_NOW)
)
_BY_NAME = select(families).where(_NAME)
