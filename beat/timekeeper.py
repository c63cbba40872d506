"""The clock of the conductor: gives every due instant of every schedule its row, and what runs its job."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from beat.leader import Leader
from levare.decide.due import Settled, settle
from levare.errors import StaleLeader
from levare.model import Rules
from levare.store import fires
from levare.store.engine import Database
from levare.store.fires import Due
from levare.store.ids import new_id

log = get_logger()

_MOST_SCHEDULES = 500
_MOST_FIRES = 2000
"""In one transaction, so that others may write meanwhile."""
_AGAIN_AFTER = timedelta(minutes=1)


class Timekeeper:
    def __init__(self, database: Database, leader: Leader, rules: Rules, *, ids: Callable[[], str] = new_id) -> None:
        self._database, self._leader, self._rules, self._ids = database, leader, rules, ids

    def run(self, *, now: datetime) -> timedelta | None:
        """Settle what is due; return how long until more is, None for never. Work is left over if that is no time."""
        with self._database.reading() as connection:
            due, unreadable = fires.due(connection, now=now, limit=_MOST_SCHEDULES)
        for name, error in unreadable:
            self._put_off(name, error, now)
        self._settle(_bounded([(each, settle(each.schedule, now=now)) for each in due]), now)
        with self._database.reading() as connection:
            next_at = fires.next_at(connection)
        return None if next_at is None else max(next_at - now, timedelta())

    def _settle(self, owed: Sequence[tuple[Due, Settled]], now: datetime) -> None:
        """All in one transaction or, where something unforeseen is wrong with one of them, each in its own."""
        try:
            self._write(owed, now)
        except (StaleLeader, SQLAlchemyError):
            raise
        except Exception as error:  # noqa: BLE001 - one schedule must not stop the others
            if len(owed) == 1:
                self._put_off(owed[0][0].schedule.name, error, now)
                return
            for each in owed:
                self._settle([each], now)

    def _write(self, owed: Sequence[tuple[Due, Settled]], now: datetime) -> None:
        if owed:
            with self._database.writing() as connection:
                epoch = self._leader.renew_in(connection)
                fires.write(connection, owed, epoch=epoch, now=now, rules=self._rules, new_id=self._ids)

    def _put_off(self, name: str, error: Exception, now: datetime) -> None:
        """Nothing of it is lost: what is due stays owed."""
        log.error("schedule.failed", schedule=name, error=str(error), again_after=str(_AGAIN_AFTER), exc_info=error)
        with self._database.writing() as connection:
            self._leader.renew_in(connection)
            fires.put_off(connection, name, now + _AGAIN_AFTER)


def _bounded(owed: list[tuple[Due, Settled]]) -> list[tuple[Due, Settled]]:
    """The first of them, at least one, with no more fires than fit into a transaction."""
    count = 0
    for place, (_, settled) in enumerate(owed):
        count += len(settled.fires)
        if count > _MOST_FIRES and place:
            return owed[:place]
    return owed
