from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, select

from beat.leader import LEASE, Leader
from beat.tick import Tick
from levare.errors import StaleLeader
from levare.model import Rules
from levare.store import explain, leases
from levare.store.engine import Database
from levare.store.tables import jobs as jobs_table
from levare.store.tables import needs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def leader(database: Database, clock: Clock) -> Leader:
    return Leader(database, clock=clock)


def test_of_two_beats_one_leads(database: Database, clock: Clock):
    first, second = leader(database, clock), leader(database, clock)

    assert first.leads()
    assert not second.leads()


def test_a_standby_takes_over_once_it_has_watched_the_lease_stand_still(database: Database, clock: Clock):
    first, second = leader(database, clock), leader(database, clock)
    assert first.leads()
    assert not second.leads()

    clock.now += LEASE.total_seconds()

    assert second.leads()
    assert second.epoch == 2


def test_a_renewal_keeps_the_standby_waiting(database: Database, clock: Clock):
    first, second = leader(database, clock), leader(database, clock)
    first.leads()
    second.leads()
    clock.now += LEASE.total_seconds() / 2
    with database.writing() as connection:
        first.renew_in(connection)
    second.leads()
    clock.now += LEASE.total_seconds() / 2

    assert not second.leads()


def test_the_writes_of_a_stale_leader_are_refused(database: Database, clock: Clock, add_job, add_node):
    first, second = leader(database, clock), leader(database, clock)
    first.leads()
    second.leads()
    clock.now += LEASE.total_seconds()
    second.leads()
    add_node()
    add_job()

    with pytest.raises(StaleLeader):
        Tick(database, first, Rules()).run(now=NOON)
    with database.reading() as connection:
        assert connection.execute(select(jobs_table.c.state)).scalar_one() == "waiting"


def test_a_leader_that_was_slow_goes_on_if_nobody_took_over(database: Database, clock: Clock):
    first = leader(database, clock)
    first.leads()
    clock.now += LEASE.total_seconds() * 2

    assert first.leads()
    with database.writing() as connection:
        first.renew_in(connection)


def test_a_released_lease_is_free_at_once(database: Database, clock: Clock):
    first, second = leader(database, clock), leader(database, clock)
    first.leads()
    second.leads()
    first.release()

    assert second.leads()


@pytest.fixture
def tick(database: Database, clock: Clock) -> Tick:
    conductor = leader(database, clock)
    assert conductor.leads()
    return Tick(database, conductor, Rules())


def test_a_waiting_job_is_placed_and_sent_in_one_tick(tick: Tick, add_job, add_node):
    add_node()
    add_job(gpus=1)

    messages, _ = tick.run(now=NOON)

    assert [(message.attempt_id, message.queue) for message in messages] == [("job-1", "gpu.n1")]


def test_a_cancelled_waiting_job_is_over_at_the_next_tick(database: Database, tick: Tick, add_job):
    add_job(cancel_requested_at=NOON)

    tick.run(now=NOON)

    with database.reading() as connection:
        job = connection.execute(select(jobs_table)).one()
    assert (job.state, job.reason) == ("cancelled", "Cancelled before it started.")


@pytest.mark.parametrize(
    ("state", "outcome", "expected"),
    [("failed", "failure", "waiting"), ("succeeded", "failure", "cancelled"), ("cancelled", "always", "waiting")],
)
def test_a_blocked_job_moves_when_what_it_needs_has_ended(
    database: Database, tick: Tick, add_job, *, state: str, outcome: str, expected: str
):
    add_job("needed", state=state)
    add_job("blocked", state="blocked")
    with database.writing() as connection:
        connection.execute(insert(needs), [{"job_id": "blocked", "needed_id": "needed", "outcome": outcome}])

    tick.run(now=NOON)

    assert states(database)["blocked"] == expected


def test_a_blocked_job_says_how_what_it_needs_must_end(database: Database, add_job):
    add_job("needed", state="running")
    add_job("blocked", state="blocked")
    with database.writing() as connection:
        connection.execute(insert(needs), [{"job_id": "blocked", "needed_id": "needed", "outcome": "failure"}])
        [reason] = explain.load(connection, "blocked", now=NOON).tell()["reasons"]

    assert reason.message == "Needs needed to fail; it is running."


def test_where_no_beat_decides_a_job_does_not_say_that_it_starts(database: Database, add_job, add_node):
    add_node()
    add_job("ready")
    with database.writing() as connection:
        leases.take(connection, leases.BEAT, owner="gone", seen=None, now=NOON)
        well = explain.load(connection, "ready", now=NOON + SECOND).tell()
        ill = explain.load(connection, "ready", now=NOON + MINUTE).tell()

    assert (well["verdict"], well["reasons"]) == ("starts-now", [])
    assert ill["verdict"] == "will-wait"
    assert ill["estimate"].typical is None
    assert "No beat has decided anything since 2026-01-01 12:00:00 UTC" in ill["reasons"][0].message


def states(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        return {row.id: row.state for row in connection.execute(select(jobs_table.c.id, jobs_table.c.state))}


def test_a_tick_with_nothing_to_do_writes_nothing_until_its_lease_is_due(database: Database, tick: Tick, clock: Clock):
    def renewals() -> int:
        with database.reading() as connection:
            return connection.exec_driver_sql("SELECT renewals FROM leases").scalar_one()

    before = renewals()
    tick.run(now=NOON)
    assert renewals() == before
    clock.now += 1.1
    tick.run(now=NOON)
    assert renewals() == before + 1
