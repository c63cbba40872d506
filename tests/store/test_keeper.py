"""The thread that writes samples: what SQL was away for is caught up, and a new worker goes on where the last was."""

from collections.abc import Iterator
from datetime import UTC, datetime
from time import time
from unittest.mock import Mock

import fakeredis
import pytest
import structlog
from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError

from levare.model.sampled import Bucket, begin_of
from levare.pulse import Pulse
from levare.store import samples
from levare.store.engine import Database
from levare.store.tables_samples import samples as rows
from worker import keeper as module
from worker.keeper import Keeper

T0 = begin_of(time() - 7200, 900)


@pytest.fixture
def pulse() -> Iterator[Pulse]:
    server = fakeredis.FakeServer()
    pulse = Pulse("", connect=lambda _, **__: fakeredis.FakeRedis(server=server, decode_responses=True))
    yield pulse
    pulse.close()


@pytest.fixture
def keeper(database: Database, pulse: Pulse) -> Keeper:
    return Keeper(database, pulse, "n1")


def measure(keeper: Keeper, begin: int, end: int, *attempts: str) -> None:
    for at in range(begin, end):
        keeper.note({"cpu_percent": at}, {attempt: {"memory_mib": 5.0} for attempt in attempts}, at=T0 + at)
        if at % 500 == 0:
            keeper.fold()
    keeper.fold()


def kept(database: Database, tier: int, kind: str = "node", owner: str = "n1") -> int:
    """How many seconds are in this tier."""
    query = select(func.sum(rows.c.samples)).where(rows.c.tier == tier, rows.c.kind == kind, rows.c.owner == owner)
    with database.reading() as connection:
        return connection.execute(query).scalar() or 0


class Away:
    """A database that does not answer, until it is told to."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(database, "writing", self._refuse)
        self._monkeypatch = monkeypatch

    def _refuse(self) -> None:
        raise OperationalError("", {}, ConnectionError("refused"))

    def back(self) -> None:
        self._monkeypatch.undo()


def test_what_sql_was_away_for_is_caught_up(database: Database, keeper: Keeper, monkeypatch: pytest.MonkeyPatch):
    away = Away(database, monkeypatch)

    with structlog.testing.capture_logs() as said:
        measure(keeper, 0, 1800, "a-1")
        keeper._try(keeper.write)
        measure(keeper, 1800, 2710, "a-1")
        keeper._try(keeper.write)
    away.back()
    keeper.write()
    keeper.write()

    assert [line["event"] for line in said] == ["samples.not_written"]
    assert {tier: kept(database, tier) for tier in (10, 60, 900)} == {10: 2700, 60: 2700, 900: 2700}
    assert kept(database, 10, "attempt", "a-1") == 2700


def test_while_sql_is_away_memory_is_bounded_and_the_oldest_of_the_finest_go_first(
    database: Database, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "_MOST_ROWS", 100)
    keeper = Keeper(database, pulse, "n1")
    away = Away(database, monkeypatch)
    measure(keeper, 0, 1810)
    away.back()

    keeper.write()

    assert {tier: kept(database, tier) for tier in (10, 60, 900)} == {10: 1000, 60: 1800, 900: 1800}


def test_a_write_that_failed_in_the_middle_is_repeated_without_doubles(database: Database, keeper: Keeper):
    measure(keeper, 0, 610)
    full = list(keeper._waiting[10])
    with database.writing() as connection:  # committed, and the worker did not hear of it
        samples.write(connection, full[:30])

    keeper.write()

    assert kept(database, 10) == 600


def test_a_new_worker_goes_on_where_the_last_one_stopped(
    database: Database, keeper: Keeper, pulse: Pulse, monkeypatch: pytest.MonkeyPatch
):
    measure(keeper, 0, 745)
    keeper.write()
    in_redis = [{"at": T0 + at, "cpu_percent": float(at)} for at in range(740, 745)]
    monkeypatch.setattr(pulse, "samples", lambda *_, since, **__: [e for e in in_redis if e["at"] > since.timestamp()])
    monkeypatch.setattr(module, "time", lambda: T0 + 746.0)

    successor = Keeper(database, pulse, "n1")
    measure(successor, 746, 901)
    successor.write()

    assert {tier: kept(database, tier) for tier in (10, 60, 900)} == {10: 899, 60: 899, 900: 899}


def test_who_is_gone_leaves_what_is_left_and_short_attempts_nothing(database: Database, keeper: Keeper):
    measure(keeper, 0, 5, "long-1", "short-1")
    measure(keeper, 5, 75, "long-1")
    measure(keeper, 75, 100)
    keeper.write()

    assert {tier: kept(database, tier, "attempt", "long-1") for tier in (10, 60, 900)} == {10: 75, 60: 75, 900: 75}
    assert kept(database, 10, "attempt", "short-1") == 0
    assert ("attempt", "long-1") not in keeper._owners


def test_a_minute_of_a_node_and_its_attempts_is_one_transaction(database: Database, keeper: Keeper):
    measure(keeper, 0, 61, *(f"a-{n}" for n in range(20)))
    commits = Mock()
    event.listen(database._writes, "commit", commits)

    keeper.write()

    assert kept(database, 60) == 60
    assert commits.call_count == 1


def test_the_thread_writes_by_itself_and_once_more_when_it_is_stopped(database: Database, pulse: Pulse):
    keeper = Keeper(database, pulse, "n1", write_every_seconds=3600)
    keeper.start()
    for at in range(61):
        keeper.note({"cpu_percent": 1.0}, {}, at=T0 + at)

    keeper.stop()

    since, until = datetime.fromtimestamp(T0, UTC), datetime.fromtimestamp(T0 + 3600, UTC)
    with database.reading() as connection:
        found: list[Bucket] = samples.history(connection, "node", "n1", since=since, until=until, step=60)
    assert [(each.at, each.samples) for each in found] == [(T0, 60)]
