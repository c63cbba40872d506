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

Known = dict[tuple[str, int | None], tuple[Group, Duration | None]]
"""What is expected of a family within a limit, with the history that says so."""
_NEW = Group((), ())
_MOST_KNOWN = 20_000


class Expectations:
    """Of rows that name a family and a limit; what is `known` of a history that is as it was is not worked out anew."""

    def __init__(self, histories: Mapping[str, Group], known: Known) -> None:
        self._histories, self._known = histories, known

    def of(self, row: Any) -> Duration | None:
        key, history = (row.family, row.timeout_seconds), self._histories.get(row.family, _NEW)
        known = self._known.get(key)
        if known is None or known[0] is not history:
            limit = None if key[1] is None else timedelta(seconds=key[1])
            known = self._known[key] = (history, expected(history.rows[0].seconds if history.rows else (), limit))
        return known[1]


@dataclass
class Histories:
    """What the last runs of families took, as it was read last; the next reading makes anew only what differs."""

    known: Groups = field(default_factory=dict)
    asked: AbstractSet[str] = frozenset()
    _expected: Known = field(default_factory=dict)

    def read(self, connection: Connection, names: Iterable[str], *, beside: "Histories | None" = None) -> Expectations:
        """Of these families, as far as anything is known; what is read `beside` in the same view is not read again."""
        others = beside or Histories()
        self.asked = set(names) - others.asked
        given = {"names": sorted(self.asked)}
        self.known = _FAMILIES.groups(connection, self.known, given) if self.asked else {}
        if len(self._expected) > _MOST_KNOWN:
            self._expected.clear()
        return Expectations({**others.known, **self.known}, self._expected)


_FAMILIES = Reading(
    "HistoryRow",
    select(families.c.name, families.c.seconds).where(families.c.name.in_(bindparam("names", expanding=True))),
)
