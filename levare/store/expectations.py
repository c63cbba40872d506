"""How long jobs take, by their families' history and their own limits."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, select

from levare.decide.durations import expected
from levare.model import Duration
from levare.store.tables import families


class Expectations:
    """Of rows that name a family and a limit."""

    def __init__(self, connection: Connection, rows: Iterable[Any]) -> None:
        names = sorted({row.family for row in rows})
        found = connection.execute(_FAMILIES, {"names": names}) if names else []
        self._seconds = {row.name: row.seconds for row in found}
        self._known: dict[tuple[str, int | None], Duration | None] = {}

    def of(self, row: Any) -> Duration | None:
        key = (row.family, row.timeout_seconds)
        if key not in self._known:
            limit = None if key[1] is None else timedelta(seconds=key[1])
            self._known[key] = expected(self._seconds.get(row.family, ()), limit)
        return self._known[key]


_FAMILIES = select(families.c.name, families.c.seconds).where(families.c.name.in_(bindparam("names", expanding=True)))
