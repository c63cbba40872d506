"""Forgets what is older than it is kept: a batch at a time, with time for others between, and then not for a while."""

from datetime import datetime, timedelta

from beat.leader import Leader
from levare.store import retention
from levare.store.engine import Database

_BETWEEN = timedelta(seconds=2)
_FIRST = timedelta(minutes=1)
_REST = timedelta(minutes=30)


class Forgetting:
    """Each table in its turn; one that has nothing old left rests."""

    def __init__(self, database: Database, leader: Leader) -> None:
        self._database, self._leader = database, leader
        self._due: dict[str, datetime] = {}
        self._next_at: datetime | None = None

    def run(self, *, now: datetime) -> None:
        """At most one batch of one table, and mostly nothing."""
        if self._next_at is None or abs(now - self._next_at) > 2 * _REST:  # as after the clock was set
            self._next_at = self._begin(now)
        if now >= self._next_at:
            self._forget(min(self._due, key=lambda table: self._due[table]), now)

    def _begin(self, now: datetime) -> datetime:
        """Not in the first minute: then there is more important work."""
        self._due = dict.fromkeys(retention.FORGOTTEN, now + _FIRST)
        return now + _FIRST

    def _forget(self, table: str, now: datetime) -> None:
        with self._database.writing() as connection:
            self._leader.renew_in(connection)
            is_more = retention.forget(connection, table, now=now)
        self._due[table] = now + (_BETWEEN if is_more else _REST)
        self._next_at = max(now + _BETWEEN, min(self._due.values()))
