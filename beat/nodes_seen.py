"""What beat remembers of the nodes from one look to the next: how long each is silent, and how full its disks get."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from levare.decide.alerts.facts import Filling, Node
from levare.decide.alerts.machines import is_disk
from levare.decide.alerts.rules import Rule, Sample

Heartbeats = Mapping[str, Mapping[str, float]]
_KEPT_SERIES, _KEPT_FILLING = 102, 120
_FILLING_EVERY = timedelta(seconds=30)


class NodesSeen:
    def __init__(self) -> None:
        self._renewals: dict[str, tuple[int, datetime]] = {}
        self._renewing: set[str] = set()
        self._heartless: dict[str, datetime] = {}
        self._series: dict[tuple[str, str], deque[float]] = {}
        self._filling: dict[tuple[str, str], deque[tuple[float, float]]] = {}

    def nodes(
        self,
        rows: Sequence[Any],
        heartbeats: Heartbeats,
        runs: Mapping[str, Sequence[str]],
        *,
        redis: bool,
        now: datetime,
    ) -> list[Node]:
        """`runs` is node -> jobs there; without `redis` nobody knows whether a heart has stopped."""
        self._renewing |= {row.name for row in rows if self._renewals.get(row.name, (row.renewals,))[0] != row.renewals}
        self._renewals = {row.name: self._renewal(row, now) for row in rows}
        missing = {row.name for row in rows if redis and row.name not in heartbeats}
        self._heartless = {name: self._heartless.get(name, now) for name in missing}
        return [
            Node(
                name=row.name,
                state=row.state,
                renewed_at=row.renewed_at,
                silent=now - self._renewals[row.name][1],
                renews=row.name in self._renewing,
                sample=heartbeats.get(row.name),
                heartless=now - self._heartless[row.name] if row.name in missing else None,
                jobs=runs.get(row.name, ()),
            )
            for row in rows
        ]

    def _renewal(self, row: Any, now: datetime) -> tuple[int, datetime]:
        known = self._renewals.get(row.name)
        return known if known and known[0] == row.renewals else (row.renewals, now)

    def series(self, rules: Sequence[Rule], heartbeats: Heartbeats) -> Mapping[tuple[str, str], Sequence[float]]:
        """The last values of what some rule is about."""
        wanted = [rule.when.sample for rule in rules if isinstance(rule.when, Sample)]
        for node, sample in heartbeats.items():
            for name, value in sample.items():
                if any(fnmatchcase(name, pattern) for pattern in wanted):
                    self._series.setdefault((node, name), deque(maxlen=_KEPT_SERIES)).append(value)
        self._series = {place: kept for place, kept in self._series.items() if place[0] in heartbeats}
        return {place: tuple(kept) for place, kept in self._series.items()}

    def filling(self, heartbeats: Heartbeats, *, now: datetime) -> Mapping[tuple[str, str], Filling]:
        at = now.timestamp()
        for node, sample in heartbeats.items():
            for name, value in sample.items():
                if is_disk(name):
                    kept = self._filling.setdefault((node, name), deque(maxlen=_KEPT_FILLING))
                    if not kept or at - kept[-1][0] >= _FILLING_EVERY.total_seconds():
                        kept.append((at, value))
        return {place: Filling(tuple(kept)) for place, kept in self._filling.items()}
