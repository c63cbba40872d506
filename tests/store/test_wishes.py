"""What makes room, and how it ends."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from beat.leader import Leader
from beat.tick import Tick
from levare.model import Decision, Placement, Preemption, Request, Rules
from levare.store import attempts, fleet, shipping, wishes
from levare.store.attempts import Outcome
from levare.store.engine import Database
from levare.store.tables import attempts as attempts_table
from levare.store.tables import jobs as jobs_table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)
PREEMPTION = Preemption("job-1", "job", "urgent", "Makes room for urgent.")


@pytest.fixture
def placed(database: Database, add_job, add_node) -> str:
    add_node()
    add_job(warning_signal="USR1", warning_seconds=30)
    with database.writing() as connection:
        (message,) = attempts.place(connection, [Placement("job", "n1", Request())], {"n1": "i1"}, now=NOON)
    return message.attempt_id


@pytest.fixture
def running(database: Database, placed: str) -> str:
    with database.writing() as connection:
        attempts.claim(connection, placed, node="n1", incarnation="i1", at=NOON)
        attempts.started(connection, placed, at=NOON)
    return placed


@pytest.fixture
def woken() -> list[str]:
    return []


@pytest.fixture
def tick(database: Database, woken: list[str]) -> Tick:
    leader = Leader(database)
    assert leader.leads()
    return Tick(database, leader, Rules(), wake=woken.extend)


def preempt(database: Database, preemption: Preemption = PREEMPTION, *, now: datetime = NOON) -> list[str]:
    with database.writing() as connection:
        return wishes.preempt(connection, [preemption], now=now)


def finish(database: Database, state: str, exit_code: int | None) -> str | None:
    with database.writing() as connection:
        return attempts.finish(connection, "job-1", Outcome(state, f"It {state}.", exit_code, ended_at=LATER))


def want_cancelled(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(update(jobs_table).values(cancel_requested_at=NOON))


def attempt(database: Database) -> Any:
    with database.reading() as connection:
        return connection.execute(select(attempts_table)).one()


def wished(database: Database, node: str = "n1") -> list[tuple[str, str]]:
    with database.reading() as connection:
        return [(wish.attempt_id, wish.kind) for wish in wishes.end_wishes(connection, node)]


@pytest.mark.usefixtures("running")
def test_a_running_attempt_is_told_once_to_make_room_and_goes_on(database: Database):
    assert preempt(database) == ["n1"]
    assert preempt(database, now=LATER) == []

    row = attempt(database)
    assert (row.state, row.preempted_at, row.preempted_for) == ("running", NOON, "urgent")
    assert (wished(database), wished(database, "n2")) == ([("job-1", "preempted")], [])


@pytest.mark.usefixtures("running")
def test_what_makes_room_ends_after_its_warning_and_its_grace_and_a_cancel_waits_for_the_grace_alone(
    database: Database,
):
    def ends_by() -> datetime | None:
        with database.reading() as connection:
            [node] = fleet.load_nodes(connection, now=NOON)
        return node.held[0].ends_by

    with database.writing() as connection:
        connection.execute(update(jobs_table).values(warning_seconds=120, grace_seconds=20))
    assert ends_by() is None

    preempt(database)
    assert ends_by() == NOON + timedelta(seconds=140)

    want_cancelled(database)
    assert ends_by() == NOON + timedelta(seconds=20)


@pytest.mark.usefixtures("placed")
def test_an_attempt_that_nobody_has_claimed_makes_room_at_once(database: Database):
    preempt(database)

    row = attempt(database)
    assert (row.state, row.ended_at, row.reason) == ("preempted", NOON, "Makes room for urgent.")
    with database.writing() as connection:
        assert attempts.claim(connection, "job-1", node="n1", incarnation="i1", at=NOON) is None


@pytest.mark.usefixtures("running")
def test_what_is_over_does_not_make_room(database: Database):
    finish(database, "succeeded", 0)

    assert preempt(database) == []
    assert attempt(database).state == "succeeded"


@pytest.mark.usefixtures("running")
@pytest.mark.usefixtures("running")
def test_an_attempt_of_before_makes_no_room_in_the_place_of_the_present_one(database: Database):
    finish(database, "failed", 1)
    with database.writing() as connection:
        connection.execute(update(attempts_table).values(settled=True))
        connection.execute(update(jobs_table).values(state="waiting"))
        attempts.place(connection, [Placement("job", "n1", Request())], {}, now=LATER)

    assert preempt(database, now=LATER) == []


@pytest.mark.parametrize(
    ("state", "exit_code", "becomes"),
    [
        ("cancelled", 143, "preempted"),
        ("cancelled", None, "preempted"),
        ("failed", 1, "preempted"),
        ("succeeded", 0, "succeeded"),
        ("timed_out", 143, "timed_out"),
        ("out_of_memory", 137, "out_of_memory"),
        ("lost", None, "lost"),
    ],
)
@pytest.mark.usefixtures("running")
def test_what_was_told_to_make_room_ends_as_it_did_and_not_as_a_failure(
    database: Database, state: str, exit_code: int | None, becomes: str
):
    preempt(database)

    assert finish(database, state, exit_code) == becomes
    row = attempt(database)
    assert (row.state, row.exit_code) == (becomes, exit_code)
    assert row.reason == ("Makes room for urgent." if becomes == "preempted" else f"It {state}.")


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize("state", ["cancelled", "failed"])
def test_a_cancel_wins_over_making_room(database: Database, state: str):
    preempt(database)
    want_cancelled(database)

    assert wished(database) == [("job-1", "cancelled")]
    assert finish(database, state, 143) == state


@pytest.mark.usefixtures("running")
def test_what_was_not_told_anything_fails(database: Database):
    assert finish(database, "failed", 1) == "failed"
    assert finish(database, "failed", 1) is None


def test_a_worker_that_claims_what_is_already_unwanted_knows_it(database: Database, placed: str):
    def claim() -> Any:
        with database.writing() as connection:
            return attempts.claim(connection, placed, node="n1", incarnation="i1", at=NOON)

    first = claim()
    assert (first.is_unwanted, first.warning_signal, first.warning_seconds, first.gang) == (False, "USR1", 30, None)
    preempt(database)

    assert claim().is_unwanted


@pytest.mark.usefixtures("running")
def test_a_decision_to_preempt_is_written_and_wakes_the_node(
    database: Database, tick: Tick, woken: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("beat.tick.place", lambda *_, **__: Decision(preemptions=[PREEMPTION]))

    _, again = tick.run(now=NOON)

    assert (woken, again) == (["n1"], True)
    assert (tick.run(now=NOON), woken) == (([], False), ["n1"])  # what has been told calls for nothing more
    assert wished(database) == [("job-1", "preempted")]


@pytest.mark.usefixtures("running")
def test_a_preempted_job_waits_again_as_the_next_attempt(
    database: Database, tick: Tick, monkeypatch: pytest.MonkeyPatch
):
    preempt(database)
    finish(database, "cancelled", 143)
    monkeypatch.setattr("beat.tick.place", lambda *_, **__: Decision())

    tick.run(now=LATER)

    with database.reading() as connection:
        job = connection.execute(select(jobs_table)).one()
    assert (job.state, job.attempt, job.losses, job.created_at) == ("waiting", 1, 1, NOON)


def test_only_a_live_attempt_saves_checkpoints(database: Database, running: str):
    def save(at: datetime) -> datetime | None:
        with database.writing() as connection:
            shipping.saved(connection, running, at=at)
        return attempt(database).safe_at

    assert save(NOON) == NOON
    finish(database, "failed", 1)
    assert save(LATER) == NOON
