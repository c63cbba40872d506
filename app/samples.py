"""What nodes and attempts measured: the last seconds from Redis, what was before from SQL."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Query

from app.call import Call
from levare.errors import Contradiction, Fault
from levare.manifest.values import Time
from levare.model.sampled import TIERS, Bucket, Kind, regrouped, sampled
from levare.pulse import SAMPLES_KEPT
from levare.store import samples

Since = Annotated[Time | None, Query(description="From then on; with `until` alone, an hour before it.")]
Until = Annotated[Time | None, Query(description="Until then; now by default.", examples=["2030-01-01T13:00:00Z"])]
Step = Annotated[
    int | None,
    Query(
        ge=1,
        le=86400,
        description="Seconds that one item is of; at most the newest 10000 items. By default 10, 60 or 900, or as many"
        " more as give no more than 1000 items.",
        examples=[60],
    ),
]
Newest = Annotated[
    int, Query(ge=1, le=SAMPLES_KEPT, description="At most so many, the newest; for seconds only.", examples=[60])
]
MOST_ITEMS = 10_000
_DEFAULT_SPAN = timedelta(hours=1)
_WRITTEN_WITHIN = timedelta(minutes=10)
"""What is older than this is in SQL, unless SQL was away; so Redis is asked for no more than this."""


@dataclass(frozen=True)
class Asking:
    """What somebody wants to see; without any of it the newest seconds."""

    since: datetime | None = None
    until: datetime | None = None
    step: int | None = None
    limit: int = SAMPLES_KEPT

    @property
    def is_plain(self) -> bool:
        return self.since is None and self.until is None and self.step is None


@dataclass(frozen=True)
class Series:
    """What one node or attempt measured."""

    call: Call
    kind: Kind
    owner: str

    def items(self, asking: Asking, *, ended: datetime | None = None) -> list[dict[str, Any]]:
        """
        Oldest first.

        Plainly asked, the newest seconds that Redis has; of what has `ended` and is no longer there, all that SQL has.
        """
        if not asking.is_plain:
            return self._between(asking)[-MOST_ITEMS:]
        newest = self.call.pulse.samples(self.kind, self.owner, limit=asking.limit)
        return newest if newest or ended is None else self._whole(ended)[-asking.limit :]

    def _between(self, asking: Asking) -> list[dict[str, Any]]:
        """From SQL, and of what is not yet there, or is wanted finer than it is there, from Redis."""
        until = min(asking.until or self.call.now, self.call.now)
        since = asking.since or until - _DEFAULT_SPAN
        if since >= until:
            raise _empty(since, until)
        step = asking.step or samples.step_for(since.timestamp(), until.timestamp())
        if step < TIERS[0]:
            live = self._live(since, until)
            stored = self._stored(since, datetime.fromtimestamp(live[0].at, UTC) if live else until, step)
        else:
            stored = self._stored(since, until, step)
            live = self._live(max(since, self.call.now - _WRITTEN_WITHIN, self._told_until()), until)
        return [_shown(each) for each in regrouped([*stored, *live], step)]

    def _whole(self, ended: datetime) -> list[dict[str, Any]]:
        """All there is, as fine as it is kept and as an answer may be."""
        found: list[Bucket] = []
        for tier in TIERS:
            found = self._stored(datetime.fromtimestamp(0, UTC), ended + _WRITTEN_WITHIN, tier)
            if len(found) <= samples.MOST_POINTS:
                break
        return [_shown(each) for each in found]

    def _stored(self, since: datetime, until: datetime, step: int) -> list[Bucket]:
        with self.call.database.reading() as connection:
            return samples.history(connection, self.kind, self.owner, since=since, until=until, step=step)

    def _told_until(self) -> datetime:
        with self.call.database.reading() as connection:
            return samples.told_until(connection, self.kind, self.owner)

    def _live(self, since: datetime, until: datetime) -> list[Bucket]:
        seconds = self.call.pulse.samples(self.kind, self.owner, since=since - timedelta(milliseconds=1))
        begin, end = since.timestamp(), until.timestamp()
        return [
            sampled(each["at"], {name: value for name, value in each.items() if name != "at"})
            for each in seconds
            if begin <= each["at"] < end
        ]


def _shown(bucket: Bucket) -> dict[str, Any]:
    """Means by the counters' own names; lowest and highest beside them where they differ."""
    item: dict[str, Any] = {"at": bucket.at, "seconds": bucket.seconds}
    for name, spread in bucket.counters.items():
        item[name] = round(spread.mean, 2)
        if spread.lowest != spread.highest:
            item |= {f"{name}_lowest": spread.lowest, f"{name}_highest": spread.highest}
    return item


def _empty(since: datetime, until: datetime) -> Contradiction:
    begin, end = (f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in (since, until))
    return Contradiction(
        f"Nothing lies between since {begin} and until {end}.",
        "Give a `since` before `until`, and before now.",
        [Fault("since", "must be before until", begin, end)],
    )
