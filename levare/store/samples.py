"""
What nodes and attempts measured, down-sampled in tiers: written in batches by workers, read by everybody.

A row is a bucket of a tier. Its key says all: a batch that is written again changes nothing.
"""

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, select, tuple_

from levare.model.sampled import KEPT, TIERS, Bucket, Kind, Spread, begin_of, regrouped
from levare.store.tables_samples import sample_layouts, samples
from levare.store.upsert import upsert

MOST_POINTS = 1000
"""So many buckets at most does `history` give if it may choose the step."""
_HIGHEST = TIERS[-1]


@dataclass(frozen=True, slots=True)
class Packed:
    """A bucket as it is stored, and the names that its values are of."""

    kind: Kind
    owner: str
    tier: int
    at: int
    samples: int
    names: tuple[str, ...]
    values: bytes


def pack(kind: Kind, owner: str, bucket: Bucket) -> Packed:
    """As compact as it gets without losing a cent: of what did not change, one number for three."""
    names = tuple(sorted(bucket.counters))
    spreads = (_rounded(bucket.counters[name]) for name in names)
    numbers = [each[0] if each[1] == each[2] else each for each in spreads]
    values = zlib.compress(json.dumps(numbers, separators=(",", ":")).encode(), 6)
    return Packed(kind, owner, bucket.seconds, bucket.at, bucket.samples, names, values)


def write(connection: Connection, rows: Sequence[Packed]) -> None:
    """Add buckets; one that is there already stays as it is."""
    layouts = {each.names: layout_of(each.names) for each in rows}
    _ADD_LAYOUT.run(connection, [{"id": layout, "names": list(names)} for names, layout in layouts.items()])
    _ADD.run(
        connection,
        [
            {
                "kind": each.kind,
                "owner": each.owner,
                "tier": each.tier,
                "at": each.at,
                "samples": each.samples,
                "layout": layouts[each.names],
                "values": each.values,
            }
            for each in rows
        ],
    )


def history(
    connection: Connection,
    kind: Kind,
    owner: str,
    *,
    since: datetime,
    until: datetime,
    step: int | None = None,
) -> list[Bucket]:
    """
    What somebody measured in [since, until), oldest first, in buckets of `step` seconds.

    Without a step it is the finest tier that gives no more than MOST_POINTS. Where the tier of the step is no longer
    kept, the buckets are as coarse as what is; what is not yet in it comes from the finer ones. What a worker has not
    yet written (about a minute) is in Redis alone.
    """
    begin, end = int(since.timestamp()), int(until.timestamp())
    wanted = step or step_for(begin, end)
    tier = max((each for each in TIERS if each <= wanted), default=TIERS[0])
    read = partial(_read, connection, kind, owner)
    found = read(tier, begin, end)
    finer = [each for each in reversed(TIERS) if each < tier]
    coarser = [each for each in TIERS if each > tier]
    for each in finer:
        found = found + read(each, found[-1].end if found else begin, end)
    for each in coarser:
        last = found[0].at if found else end
        found = read(each, begin, last - each + 1 if found else last) + found
    return regrouped(found, wanted)


def step_for(begin: float, end: float) -> int:
    """The finest step that divides this time into no more than MOST_POINTS: a tier, or a multiple of the coarsest."""
    fitting = (each for each in TIERS if (end - begin) / each <= MOST_POINTS)
    return next(fitting, _HIGHEST * (1 + int((end - begin) / _HIGHEST / MOST_POINTS)))


def told_until(connection: Connection, kind: Kind, owner: str) -> datetime:
    """Up to when the finest tier has what was measured."""
    return datetime.fromtimestamp(_end(connection, kind, owner, TIERS[0]), UTC)


def unfinished(
    connection: Connection, kind: Kind, owner: str, *, now: datetime
) -> tuple[Sequence[Bucket], Sequence[Bucket]]:
    """What was written of the two finer tiers and is not yet in the one above, of the last quarter of an hour."""
    end = int(now.timestamp())
    begins = [max(end - _HIGHEST, _end(connection, kind, owner, tier)) for tier in TIERS[1:]]
    found = [_read(connection, kind, owner, tier, begin, end) for tier, begin in zip(TIERS[:-1], begins, strict=True)]
    return found[0], found[1]


def prune(connection: Connection, *, now: datetime, limit: int) -> int:
    """Forget at most so many of what is older than its tier is kept; return how many."""
    return sum(_prune(connection, tier, now, limit) for tier in TIERS)


def oldest_kept(tier: int, now: datetime) -> int:
    """Where the tier begins: with a bucket of the coarsest, so that no time is between the two."""
    return begin_of((now - KEPT[tier]).timestamp(), _HIGHEST)


def layout_of(names: Iterable[str]) -> str:
    return sha256("\n".join(names).encode()).hexdigest()[:16]


def _prune(connection: Connection, tier: int, now: datetime, limit: int) -> int:
    values = {"of_tier": tier, "before": oldest_kept(tier, now), "most": limit}
    return connection.execute(_PRUNE, values).rowcount


def _end(connection: Connection, kind: Kind, owner: str, tier: int) -> int:
    """Where the last bucket of a tier ends."""
    last = connection.execute(_LAST, {"of_kind": kind, "of_owner": owner, "of_tier": tier}).scalar()
    return 0 if last is None else last + tier


def _read(connection: Connection, kind: Kind, owner: str, tier: int, *span: int) -> list[Bucket]:
    begin, end = span
    if begin >= end:
        return []
    values = {"of_kind": kind, "of_owner": owner, "of_tier": tier, "begin": begin, "end": end}
    return _buckets(connection, connection.execute(_HISTORY, values).all())


def _buckets(connection: Connection, rows: Sequence[Any]) -> list[Bucket]:
    layouts = _layouts(connection, {row.layout for row in rows})
    return [
        Bucket(row.at, row.tier, row.samples, _unpacked(layouts[row.layout], row._mapping["values"]))  # noqa: SLF001 - values() is a method of a row
        for row in rows
    ]


def _layouts(connection: Connection, ids: set[str]) -> Mapping[str, Sequence[str]]:
    if not ids:
        return {}
    return {row.id: row.names for row in connection.execute(_LAYOUTS, {"ids": sorted(ids)})}


def _unpacked(names: Sequence[str], values: bytes) -> dict[str, Spread]:
    numbers = json.loads(zlib.decompress(values))
    return {
        name: Spread(*number) if isinstance(number, list) else Spread(number, number, number)
        for name, number in zip(names, numbers, strict=True)
    }


def _rounded(spread: Spread) -> tuple[float, float, float]:
    return _short(spread.mean), _short(spread.lowest), _short(spread.highest)


def _short(number: float) -> float:
    """With two decimals, and without any where there are none."""
    rounded = round(number, 2)
    return int(rounded) if rounded == int(rounded) else rounded


_ADD, _ADD_LAYOUT = upsert(samples), upsert(sample_layouts)
_OF_TIER = (
    samples.c.kind == bindparam("of_kind"),
    samples.c.owner == bindparam("of_owner"),
    samples.c.tier == bindparam("of_tier"),
)
_HISTORY = (
    select(samples)
    .where(*_OF_TIER, samples.c.at >= bindparam("begin"), samples.c.at < bindparam("end"))
    .order_by(samples.c.at)
)
_LAST = select(func.max(samples.c.at)).where(*_OF_TIER)
_LAYOUTS = select(sample_layouts).where(sample_layouts.c.id.in_(bindparam("ids", expanding=True)))
_KEY = tuple_(samples.c.kind, samples.c.owner, samples.c.tier, samples.c.at)
_OLD = (
    select(samples.c.kind, samples.c.owner, samples.c.tier, samples.c.at)
    .where(samples.c.tier == bindparam("of_tier"), samples.c.at < bindparam("before"))
    .order_by(samples.c.at)
    .limit(bindparam("most"))
)
_PRUNE = delete(samples).where(_KEY.in_(_OLD))
