from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from levare.errors import Contradiction
from levare.model import Placement, Request
from levare.store import attempts, past, tables
from levare.store.attempts import Outcome
from levare.store.engine import Database
from levare.store.past import Past
from tests.store.conftest import NOON

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
UNTIL = NOON + 24 * HOUR


def read(database: Database, *, begin: timedelta = timedelta(), until: timedelta = 24 * HOUR) -> Past:
    with database.reading() as connection:
        return past.load(connection, begin=NOON + begin, until=NOON + until)


def runs(database: Database, job_id: str, *, at: timedelta, until: timedelta | None, **ended: Any) -> None:
    """An attempt of it on n1, from then until then."""
    saved = ended.pop("saved", None)
    with database.writing() as connection:
        [message] = attempts.place(
            connection, [Placement(job_id, "n1", Request(gpus=1), {"n1-0": 81920})], {}, now=NOON + at
        )
        attempts.claim(connection, message.attempt_id, node="n1", incarnation="i1", at=NOON + at)
        attempts.started(connection, message.attempt_id, at=NOON + at)
        if saved is not None:
            row = tables.attempts.c.id == message.attempt_id
            connection.execute(update(tables.attempts).where(row).values(safe_at=NOON + saved))
        if until is not None:
            state = ended.pop("state", "succeeded")
            attempts.finish(connection, message.attempt_id, Outcome(state, "It ended.", 0, ended_at=NOON + until))
            settled = {"state": ended.pop("leaves", state), "finished_at": NOON + until}
            connection.execute(update(tables.jobs).where(tables.jobs.c.id == job_id).values(**settled))


@pytest.fixture
def add(add_job: Callable[..., str], add_node: Callable[..., str]) -> Callable[..., str]:
    add_node("n1")
    return add_job


def test_a_job_is_told_with_when_it_came_what_it_asked_for_and_how_long_it_took(database: Database, add: Any):
    add("job", gpus=1, priority=7, team="vision", user="ada", timeout_seconds=7200, family="vision/p/job")
    runs(database, "job", at=HOUR, until=3 * HOUR)

    found = read(database)

    [job] = found.jobs
    assert (job.came_at, job.work, job.limit) == (NOON, 2 * HOUR, 2 * HOUR)
    assert (job.team, job.user, job.family, job.priority) == ("vision", "ada", "vision/p/job", 7)
    assert (job.request.gpus, job.succeeded, job.saves) == (1, True, False)
    [stay] = found.course.stays
    assert (stay.began, stay.ended, stay.held) == (NOON + HOUR, NOON + 3 * HOUR, (("n1", {"n1-0": 81920}),))


def test_what_a_preemption_threw_away_is_no_part_of_the_work(database: Database, add: Any):
    add("job")
    runs(database, "job", at=HOUR, until=3 * HOUR, saved=2 * HOUR, state="preempted", leaves="waiting")
    runs(database, "job", at=4 * HOUR, until=5 * HOUR)

    [job] = read(database).jobs

    assert (job.work, job.saves) == (2 * HOUR, True)
    assert [stay.preempted for stay in read(database).course.stays] == [True, False]


def test_only_what_came_before_the_end_and_had_not_ended_at_the_beginning(database: Database, add: Any):
    for name, at, until in (("over", 0, 1), ("across", 0, 3), ("within", 3, 4)):
        add(name)
        runs(database, name, at=at * HOUR, until=until * HOUR)
    add("later", created_at=NOON + 30 * HOUR)

    assert {job.id for job in read(database, begin=2 * HOUR).jobs} == {"across", "within"}


def test_what_runs_takes_as_long_as_is_usual_and_what_nothing_is_known_of_is_left_out(database: Database, add: Any):
    add("running", family="f")
    runs(database, "running", at=HOUR, until=None)
    add("waiting", family="f")
    add("unknown", family="g")
    add("cancelled", state="cancelled", finished_at=NOON + HOUR)
    with database.writing() as connection:
        row = {"name": "f", "seconds": [36000.0] * 9, "fast_failures": 0, "updated_at": NOON}
        connection.execute(insert(tables.families), [row])

    found = read(database, until=2 * HOUR)

    assert {job.id: job.work for job in found.jobs} == {"running": 10 * HOUR, "waiting": 10 * HOUR}
    assert found.untold == 1


def test_a_job_is_ready_once_what_it_needs_has_ended(database: Database, add: Any):
    add("first")
    runs(database, "first", at=HOUR, until=3 * HOUR)
    add("second")
    with database.writing() as connection:
        connection.execute(insert(tables.needs), [{"job_id": "second", "needed_id": "first", "outcome": "success"}])
    runs(database, "second", at=4 * HOUR, until=5 * HOUR)

    found = read(database)

    assert {job.id: job.after for job in found.jobs} == {"first": (), "second": ("first",)}
    assert found.course.ready_at == {"first": NOON, "second": NOON + 3 * HOUR}


def test_an_element_of_an_array_with_a_cap_waits_for_the_one_so_many_before_it(database: Database, add: Any):
    add("sweep", array={}, array_size=5, array_cap=2, array_next=5)
    for index in range(5):
        add(f"sweep_{index}", array_id="sweep", array_index=index)
        runs(database, f"sweep_{index}", at=HOUR, until=2 * HOUR)

    found = read(database)

    assert {job.id: job.after for job in found.jobs} == {
        "sweep_0": (),
        "sweep_1": (),
        "sweep_2": ("sweep_0",),
        "sweep_3": ("sweep_1",),
        "sweep_4": ("sweep_2",),
    }


def test_the_parts_of_a_gang_are_one_stay(database: Database, add: Any, add_node: Any):
    add_node("n2")
    add("gang", nodes=2, gpus=1)
    parts = [Placement("gang", f"n{n + 1}", Request(gpus=1, nodes=2), {f"n{n + 1}-0": 81920}, n) for n in range(2)]
    with database.writing() as connection:
        for message in attempts.place(connection, parts, {}, now=NOON):
            row = tables.attempts.c.id == message.attempt_id
            changed = {"state": "succeeded", "ended_at": NOON + HOUR}
            connection.execute(update(tables.attempts).where(row).values(**changed))
        done = {"state": "succeeded", "started_at": NOON, "finished_at": NOON + HOUR}
        connection.execute(update(tables.jobs).where(tables.jobs.c.id == "gang").values(**done))

    [stay] = read(database).course.stays

    assert [name for name, _ in stay.held] == ["n1", "n2"]
    assert stay.job.work == HOUR


def test_a_past_with_too_many_jobs_is_refused_with_the_numbers(
    database: Database, add: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(past, "MOST_JOBS", 1)
    for name in ("one", "two"):
        add(name)

    with pytest.raises(Contradiction, match="too much") as refused:
        read(database)

    assert (refused.value.faults[0].value, refused.value.faults[0].limit) == (2, "at most 1")
