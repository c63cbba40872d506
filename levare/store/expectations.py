"""How long jobs take, by their families' history and their own limits."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.decide.durations import expected
from levare.model import Duration
from levare.store.reading import Group, Groups, Reading
from levare.store.tables import families


class Expectations:
    """Of rows that name a family and a limit."""

    def __init__(self, histories: Mapping[str, Group]) -> None:
        self._histories = histories
        self._known: dict[tuple[str, int | None], Duration | None] = {}

    def of(self, row: Any) -> Duration | None:
        key = (row.family, row.timeout_seconds)
        if key not in self._known:
            limit = None if key[1] is None else timedelta(seconds=key[1])
            history = self._histories.get(row.family)
            self._known[key] = expected(history.rows[0].seconds if history else (), limit)
        return self._known[key]


@dataclass
class Histories:
    """What the last runs of families took, as it was read last; the next reading makes anew only what differs."""

    known: Groups = field(default_factory=dict)
    asked: AbstractSet[str] = frozenset()

    def read(self, connection: Connection, names: Iterable[str], *, beside: "Histories | None" = None) -> Expectations:
        """Of these families, as far as anything is known; what is read `beside` in the same view is not read again."""
        others = beside or Histories()
        self.asked = set(names) - others.asked
        given = {"names": sorted(self.asked)}
        self.known = _FAMILIES.groups(connection, self.known, given) if self.asked else {}
        return Expectations({**others.known, **self.known})


_FAMILIES = Reading(
    "HistoryRow",
    select(families.c.name, families.c.seconds).where(families.c.name.in_(bindparam("names", expanding=True))),
)
