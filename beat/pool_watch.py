"""Pools: every second the leader decides how many workers each has, and where."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from time import monotonic

from sqlalchemy.exc import SQLAlchemyError
from structlog import get_logger

from beat.leader import Leader
from levare.decide.pools import Facts
from levare.errors import StaleLeader
from levare.model import Pool, Scaling, Waiting
from levare.store import pool_workers
from levare.store.engine import Database

log = get_logger()

LOOK_EVERY_SECONDS = 0.7


class PoolWatch:
    """Where there is neither a pool nor a worker of one, a look is one small question."""

    def __init__(self, database: Database, leader: Leader) -> None:
        self._database, self._leader = database, leader
        self._look_at = 0.0

    def run(self, without_room: Sequence[Waiting], *, now: datetime) -> None:
        """`without_room` are the jobs that the last placement left waiting for room."""
        if monotonic() < self._look_at:
            return
        self._look_at = monotonic() + LOOK_EVERY_SECONDS
        try:
            self.look(without_room, now=now)
        except (StaleLeader, SQLAlchemyError):
            raise
        except Exception:
            log.exception("pools.not_decided")  # jobs start nevertheless

    def look(self, without_room: Sequence[Waiting], *, now: datetime) -> None:
        facts = self._load(without_room, now)
        if facts is None:
            return
        decided = facts.decide({job.job_id for job in without_room}, now=now)
        before = {pool.name: pool for pool in facts.pools}
        if not any(each.moves_any or _is_news(each, before) for each in decided):
            return
        with self._database.writing() as connection:
            self._leader.renew_in(connection)
            pool_workers.apply(connection, decided, before, now=now)
        for each in decided:
            if each.scales:
                log.info("pool.scaled", pool=each.pool, wanted=each.wanted, **each.scales, why=each.why)

    def _load(self, without_room: Sequence[Waiting], now: datetime) -> Facts | None:
        with self._database.reading() as connection:
            if not pool_workers.are_any(connection):
                return None
            return pool_workers.load(connection, without_room, now=now)


def _is_news(scaling: Scaling, before: Mapping[str, Pool]) -> bool:
    pool = before.get(scaling.pool)
    said = (scaling.wanted, scaling.why, scaling.surplus_since)
    return pool is not None and said != (pool.stood, pool.why, pool.surplus_since)
