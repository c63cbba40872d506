"""Schedules from declaration to fire, on both databases: nothing is lost, nothing doubled, everything has a reason."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, select

from beat.leader import Leader
from beat.timekeeper import Timekeeper
from levare.errors import NotFound, StaleLeader
from levare.model import Rules
from levare.store import revisions, schedules, tables_time, work
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.tables import jobs
from levare.store.tables_time import fires

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR, MINUTE, SECOND = timedelta(hours=1), timedelta(minutes=1), timedelta(seconds=1)
ADA = Actor("t1", "ada")
TRUE = {"job": {"command": ["true"]}}
HOURLY = {"cron": "0 * * * *", **TRUE}
Declare = Callable[..., None]


@pytest.fixture
def timekeeper(database: Database, add_node: Callable[..., str]) -> Timekeeper:
    add_node()
    leader = Leader(database)
    assert leader.leads()
    return Timekeeper(database, leader, Rules())


@pytest.fixture
def declare(database: Database) -> Declare:
    def declare(name: str = "nightly", definition: dict[str, Any] = HOURLY, now: datetime = NOON, **more: Any) -> None:
        with database.writing() as connection:
            schedules.put(connection, name, {**definition, **more}, actor=ADA, now=now)

    return declare


def rows(database: Database) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(select(fires).order_by(fires.c.schedule, fires.c.due_at)))


def submitted(database: Database) -> list[Any]:
    with database.reading() as connection:
        return list(connection.execute(select(jobs).order_by(jobs.c.due_at, jobs.c.id)))


def test_a_fire_is_a_row_and_its_job_knows_when_it_was_due(
    database: Database, timekeeper: Timekeeper, declare: Declare
):
    declare(zone="Europe/Berlin", parameters={"days": 7})

    assert timekeeper.run(now=NOON) == HOUR
    assert timekeeper.run(now=NOON + HOUR + SECOND) == HOUR - SECOND

    [fire], [job] = rows(database), submitted(database)
    assert (fire.due_at, fire.outcome, fire.reason, fire.job_id) == (NOON + HOUR, "run", None, job.id)
    assert (job.schedule, job.due_at, job.user, job.state) == ("nightly", NOON + HOUR, "ada", "waiting")
    assert job.parameters == {"days": 7}
    assert job.env == {
        "LEVARE_SCHEDULE": "nightly",
        "LEVARE_DUE_AT": "2026-01-01T13:00:00Z",
        "LEVARE_DUE_LOCAL": "2026-01-01T14:00:00+01:00",
        "LEVARE_PARAM_DAYS": "7",
    }


def test_a_pipeline_fires_whole(database: Database, timekeeper: Timekeeper, declare: Declare):
    steps = [{"step": "a", "command": ["true"]}, {"step": "b", "command": ["true"], "needs": ["a"]}]
    declare(definition={"cron": "0 * * * *", "pipeline": {"name": "retrain", "jobs": steps}})

    timekeeper.run(now=NOON + HOUR)

    [fire], found = rows(database), submitted(database)
    assert {(job.step, job.state, job.schedule) for job in found} == {
        ("a", "waiting", "nightly"),
        ("b", "blocked", "nightly"),
    }
    assert {job.pipeline for job in found} == {fire.pipeline}


@pytest.mark.parametrize(("misfire", "runs"), [("skip", 0), ("latest", 1), ("all", 3)])
def test_each_due_time_of_a_downtime_is_one_row(
    database: Database, timekeeper: Timekeeper, declare: Declare, misfire: str, runs: int
):
    declare(misfire=misfire)

    timekeeper.run(now=NOON + 3.5 * HOUR)
    timekeeper.run(now=NOON + 3.6 * HOUR)

    found = rows(database)
    assert [fire.due_at for fire in found] == [NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR]
    assert sum(fire.outcome == "run" for fire in found) == len(submitted(database)) == runs
    assert all(fire.reason for fire in found)


def test_a_job_that_cannot_be_submitted_is_a_fire_that_was_skipped_and_says_why(
    database: Database, timekeeper: Timekeeper, declare: Declare
):
    declare(definition={"cron": "0 * * * *", "job": {"command": ["true"], "gpus": 5}})
    declare("other")

    timekeeper.run(now=NOON + HOUR)

    other, refused = sorted(rows(database), key=lambda fire: fire.outcome)
    assert other.schedule == "other"
    assert refused.outcome == "skipped"
    assert refused.reason.startswith("It could not be submitted: ")
    assert "GPU" in refused.reason
    assert len(submitted(database)) == 1


def test_a_pipeline_whose_last_step_is_refused_leaves_nothing(
    database: Database, timekeeper: Timekeeper, declare: Declare
):
    steps = [{"step": "a", "command": ["true"]}, {"step": "b", "command": ["true"], "gpus": 5, "needs": ["a"]}]
    declare(definition={"cron": "0 * * * *", "pipeline": {"jobs": steps}})

    timekeeper.run(now=NOON + HOUR)

    assert [fire.outcome for fire in rows(database)] == ["skipped"]
    assert submitted(database) == []


def test_a_run_that_replaces_another_cancels_it_and_waits_for_it(
    database: Database, timekeeper: Timekeeper, declare: Declare
):
    declare(overlap="replace")
    timekeeper.run(now=NOON + HOUR)

    timekeeper.run(now=NOON + 2 * HOUR)

    first, second = submitted(database)
    assert first.cancel_requested_at == NOON + 2 * HOUR
    assert second.state == "blocked"


def test_a_queued_run_waits_for_the_one_before_it(database: Database, timekeeper: Timekeeper, declare: Declare):
    declare(overlap="queue", misfire="all")

    timekeeper.run(now=NOON + 3 * HOUR + MINUTE)

    assert [job.state for job in submitted(database)] == ["waiting", "blocked", "blocked"]


def test_forbidden_overlap_looks_at_what_is_open(database: Database, timekeeper: Timekeeper, declare: Declare):
    declare(overlap="forbid")
    timekeeper.run(now=NOON + HOUR)
    timekeeper.run(now=NOON + 2 * HOUR)
    assert [fire.outcome for fire in rows(database)] == ["run", "skipped"]
    with database.writing() as connection:
        connection.execute(jobs.update().values(state="succeeded"))

    timekeeper.run(now=NOON + 3 * HOUR)

    assert [fire.outcome for fire in rows(database)] == ["run", "skipped", "run"]


def test_an_edit_that_leaves_the_times_loses_nothing_that_is_owed(
    database: Database, timekeeper: Timekeeper, declare: Declare
):
    declare()
    declare(now=NOON + 90 * MINUTE, job={"command": ["false"]})

    timekeeper.run(now=NOON + 91 * MINUTE)

    assert [fire.due_at for fire in rows(database)] == [NOON + HOUR]
    assert [job.command for job in submitted(database)] == [["false"]]


def test_new_times_hold_from_the_edit_on(database: Database, timekeeper: Timekeeper, declare: Declare):
    declare()
    declare(now=NOON + 90 * MINUTE, cron="45 * * * *")

    assert timekeeper.run(now=NOON + 90 * MINUTE) == 15 * MINUTE
    assert rows(database) == []


def test_a_schedule_that_was_changed_after_it_was_read_is_left_for_the_next_look(
    database: Database, timekeeper: Timekeeper, declare: Declare, monkeypatch: pytest.MonkeyPatch
):
    declare()
    decide = Timekeeper.run.__globals__["settle"]

    def edited_meanwhile(schedule: Any, *, now: datetime) -> Any:
        declare(now=now, job={"command": ["false"]})
        return decide(schedule, now=now)

    with monkeypatch.context() as patch:
        patch.setitem(Timekeeper.run.__globals__, "settle", edited_meanwhile)
        assert timekeeper.run(now=NOON + HOUR) == timedelta()
    assert rows(database) == []

    timekeeper.run(now=NOON + HOUR)

    assert [job.command for job in submitted(database)] == [["false"]]


def test_what_is_due_while_paused_is_skipped_by_name(database: Database, timekeeper: Timekeeper, declare: Declare):
    declare()
    with database.writing() as connection:
        schedules.pause(connection, "nightly", reason="The data are late.", actor=ADA, now=NOON)
    timekeeper.run(now=NOON + HOUR)
    with database.writing() as connection:
        schedules.resume(connection, "nightly", actor=ADA, now=NOON + HOUR + MINUTE)

    timekeeper.run(now=NOON + 2 * HOUR)

    first, second = rows(database)
    assert first.reason == "Paused by ada since 2026-01-01 12:00:00 UTC: The data are late."
    assert (first.outcome, second.outcome) == ("skipped", "run")


def test_the_same_definition_again_is_no_revision(database: Database, declare: Declare):
    declare()
    declare(now=NOON + HOUR)

    with database.reading() as connection:
        [revision] = revisions.of_object(connection, "schedule", "nightly")
    assert (revision["before"], revision["after"], revision["by"]) == (None, HOURLY, "ada")


def test_a_removed_schedule_fires_no_more_and_keeps_its_history(
    database: Database, timekeeper: Timekeeper, declare: Declare
):
    declare()
    timekeeper.run(now=NOON + HOUR)
    with database.writing() as connection:
        schedules.remove(connection, "nightly", actor=ADA, now=NOON + HOUR)

    assert timekeeper.run(now=NOON + 2 * HOUR) is None
    assert len(rows(database)) == 1
    with database.reading() as connection, pytest.raises(NotFound, match="'nightly'"):
        schedules.one(connection, "nightly")


def test_a_schedule_that_is_declared_again_by_a_slower_clock_fires_nothing_twice(
    database: Database, timekeeper: Timekeeper, declare: Declare
):
    declare()
    timekeeper.run(now=NOON + HOUR)
    with database.writing() as connection:
        schedules.remove(connection, "nightly", actor=ADA, now=NOON + HOUR)
    declare(now=NOON + HOUR - SECOND)

    timekeeper.run(now=NOON + 2 * HOUR)

    assert [fire.due_at for fire in rows(database)] == [NOON + HOUR, NOON + 2 * HOUR]


def test_a_leader_that_was_overtaken_writes_no_fire(database: Database, timekeeper: Timekeeper, declare: Declare):
    declare()
    timekeeper._leader.epoch = 0

    with pytest.raises(StaleLeader):
        timekeeper.run(now=NOON + HOUR)

    assert rows(database) == submitted(database) == []


def test_a_clock_that_goes_back_doubles_nothing(database: Database, timekeeper: Timekeeper, declare: Declare):
    declare()
    timekeeper.run(now=NOON + HOUR)
    timekeeper.run(now=NOON)
    declare(now=NOON, cron="0,30 * * * *")

    timekeeper.run(now=NOON + 90 * MINUTE)

    assert [fire.due_at for fire in rows(database)] == [NOON + HOUR, NOON + 90 * MINUTE]


def test_one_schedule_that_fails_in_an_unforeseen_way_stops_no_other_and_is_tried_again(
    database: Database, timekeeper: Timekeeper, declare: Declare, monkeypatch: pytest.MonkeyPatch
):
    for name in ("first", "second", "third"):
        declare(name)
    start = work.start

    def fails(intake: Any, definition: Any, cause: Any, **kwargs: Any) -> Any:
        if cause.schedule == "second":
            raise ZeroDivisionError
        return start(intake, definition, cause, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(work, "start", fails)
        assert timekeeper.run(now=NOON + HOUR) == MINUTE
    assert [fire.schedule for fire in rows(database)] == ["first", "third"]

    timekeeper.run(now=NOON + HOUR + MINUTE)

    assert [fire.schedule for fire in rows(database)] == ["first", "second", "third"]


def test_a_schedule_in_a_zone_that_is_gone_stops_no_other(database: Database, timekeeper: Timekeeper, declare: Declare):
    declare("first")
    declare("second")
    gone = {**HOURLY, "zone": "Atlantis/Poseidonis"}
    with database.writing() as connection:
        connection.execute(
            tables_time.schedules.update().where(tables_time.schedules.c.name == "first").values(definition=gone)
        )

    timekeeper.run(now=NOON + HOUR)

    assert [fire.schedule for fire in rows(database)] == ["second"]


class Killed(BaseException):
    """As far as anything can be killed that goes on to be looked at."""


@pytest.mark.parametrize("overlap", ["allow", "replace"])
def test_a_death_between_any_two_statements_loses_and_doubles_nothing(
    database: Database, add_node: Callable[..., str], declare: Declare, overlap: str
):
    add_node()
    declare(misfire="all", overlap=overlap)
    declare("second", {"every_seconds": 1200, **TRUE}, misfire="all")
    leader = Leader(database)
    assert leader.leads()
    deaths = 0
    while _dies(database, Timekeeper(database, leader, Rules()), NOON + (deaths + 1) * HOUR, deaths + 1):
        deaths += 1
        Timekeeper(database, leader, Rules()).run(now=NOON + deaths * HOUR)
        with database.writing() as connection:
            connection.execute(jobs.update().values(state="succeeded"))

    found, hours = rows(database), deaths + 1
    assert deaths > 20
    due = [fire.due_at for fire in found if fire.schedule == "nightly"]
    assert due == [NOON + number * HOUR for number in range(1, hours + 1)]
    assert len(found) == 4 * hours
    assert len(submitted(database)) == len({fire.job_id for fire in found if fire.outcome == "run"})


def _dies(database: Database, timekeeper: Timekeeper, now: datetime, die_at: int) -> bool:
    """Whether it came as far as statement number `die_at`, where it died; a commit is one too."""
    count = 0

    def reached(*_: Any) -> None:
        nonlocal count
        count += 1
        if count == die_at:
            raise Killed

    engines = {id(engine): engine for engine in (database._reads, database._writes)}.values()
    watched = [(engine, name) for engine in engines for name in ("before_cursor_execute", "commit")]
    for engine, name in watched:
        event.listen(engine, name, reached)
    try:
        timekeeper.run(now=now)
    except Killed:
        return True
    finally:
        for engine, name in watched:
            event.remove(engine, name, reached)
    return False
