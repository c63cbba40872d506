"""The clock of the conductor: gives every due instant of every schedule its row, and what runs its job."""

from collections.abc import Callable
from datetime import datetime, timedelta

from beat.leader import Leader
from levare.decide.due import Settled, settle
from levare.model import Rules
from levare.store import fires
from levare.store.engine import Database
from levare.store.fires import Due
from levare.store.ids import new_id

_MOST_SCHEDULES = 500
_MOST_FIRES = 2000
"""In one transaction, so that others may write meanwhile."""


class Timekeeper:
    def __init__(self, database: Database, leader: Leader, rules: Rules, *, ids: Callable[[], str] = new_id) -> None:
        self._database, self._leader, self._rules, self._ids = database, leader, rules, ids

    def run(self, *, now: datetime) -> timedelta | None:
        """Settle what is due; return how long until more is, None for never. Work is left over if that is no time."""
        with self._database.reading() as connection:
            due = fires.due(connection, now=now, limit=_MOST_SCHEDULES)
        owed = _bounded([(each, settle(each.schedule, now=now)) for each in due])
        if owed:
            with self._database.writing() as connection:
                epoch = self._leader.renew_in(connection)
                fires.write(connection, owed, epoch=epoch, now=now, rules=self._rules, new_id=self._ids)
        with self._database.reading() as connection:
            next_at = fires.next_at(connection)
        return None if next_at is None else max(next_at - now, timedelta())


def _bounded(owed: list[tuple[Due, Settled]]) -> list[tuple[Due, Settled]]:
    """The first of them, at least one, with no more fires than fit into a transaction."""
    count = 0
    for place, (_, settled) in enumerate(owed):
        count += len(settled.fires)
        if count > _MOST_FIRES and place:
            return owed[:place]
    return owed
