from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import event, func, insert, select, update

from levare.decide.sharing import Books
from levare.errors import NotFound, QuotaQueued
from levare.model import Account, Placement, Quota, Request, Rules, Waiting
from levare.store import attempts, jobs, sharing, teams
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission
from levare.store.tables import attempts as attempts_table
from levare.store.tables import audit, use, use_days
from levare.store.tables import jobs as jobs_table
from levare.store.teams import Declared

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADA = Actor("t1", "ada")


def declare(database: Database, name: str = "vision", **declared: Any) -> None:
    with database.writing() as connection:
        teams.put(connection, name, Declared(**declared), actor=ADA, now=NOON)


def used(database: Database, team: str, user: str, seconds: float, *, as_of: datetime = NOON) -> None:
    row = {"team": team, "project": "p", "user": user, "use": seconds, "as_of": as_of}
    with database.writing() as connection:
        connection.execute(insert(use), [row])


def used_on(database: Database, day: str, hours: float, *, team: str = "vision", project: str = "p") -> None:
    row = {"team": team, "project": project, "user": "ada", "day": day, "cpu_seconds": 0.0, "attempts": 1}
    with database.writing() as connection:
        connection.execute(insert(use_days), [row | {"gpu_seconds": hours * 3600}])


def load(database: Database, now: datetime = NOON) -> dict[str, Account]:
    with database.reading() as connection:
        return dict(sharing.load(connection, now=now, rules=Rules(half_life=7 * DAY)).accounts)


def stand(database: Database, now: datetime = NOON) -> dict[str, Any]:
    with database.reading() as connection:
        shared = sharing.load(connection, now=now, rules=Rules())
        return {row["name"]: row for row in teams.find(connection, shared, now=now)}


def submit(database: Database, job_id: str, team: str = "vision", actor: Actor = ADA) -> None:
    with database.writing() as connection:
        jobs.submit(connection, Submission(command=["true"], team=team), job_id=job_id, actor=actor, now=NOON)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What the database is asked meanwhile."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    with database.reading() as connection:
        event.listen(connection.engine, "before_cursor_execute", note)
        yield asked
        event.remove(connection.engine, "before_cursor_execute", note)


def test_use_is_faded_to_now_and_summed_for_teams_and_their_users(database: Database):
    used(database, "vision", "ada", 800, as_of=NOON - 7 * DAY)
    used(database, "vision", "bob", 100)
    used(database, "speech", "ada", 5)

    found = load(database)

    assert {name: round(each.use, 6) for name, each in found.items()} == {
        "vision": 500,
        "vision:ada": 400,
        "vision:bob": 100,
        "speech": 5,
        "speech:ada": 5,
    }


def test_what_is_declared_comes_back_as_accounts(database: Database):
    quota = Quota(gpus=8, running=20, queued=500, gpu_hours=2000, period=7 * DAY, borrow=False)
    declare(database, weight=2, quota=quota, projects={"p": Quota(gpus=4)}, users={"ada": Quota(running=1)})

    assert load(database) == {
        "vision": Account("vision", 2, quota),
        "vision/p": Account("vision/p", quota=Quota(gpus=4)),
        "vision:ada": Account("vision:ada", quota=Quota(running=1)),
    }


def test_gpu_hours_are_those_of_the_period_whose_first_day_counts_in_part(database: Database):
    month, day = Quota(gpu_hours=100), Quota(gpu_hours=10, period=DAY)
    declare(database, quota=month, projects={"p": day}, users={"ada": month})
    used_on(database, "2025-12-01", 1000)
    used_on(database, "2025-12-02", 20)
    used_on(database, "2025-12-31", 4)
    used_on(database, "2026-01-01", 3)
    used_on(database, "2026-01-01", 9, team="speech")

    found = load(database, NOON)

    assert found["vision"].gpu_hours == found["vision:ada"].gpu_hours == pytest.approx(10 + 4 + 3)
    assert found["vision/p"].gpu_hours == pytest.approx(2 + 3)


def test_queued_jobs_are_counted_for_whom_they_are_limited_with_the_elements_of_arrays(database: Database, add_job):
    declare(database, quota=Quota(queued=9), users={"ada": Quota(queued=3)})
    add_job("one", team="vision", user="ada")
    add_job("blocked", team="vision", user="bob", state="blocked")
    add_job("array", team="vision", user="bob", array={}, array_size=10, array_next=4)
    add_job("unwanted", team="vision", cancel_requested_at=NOON)
    add_job("running", team="vision", state="running")
    add_job("other", team="speech")

    found = load(database)

    assert (found["vision"].queued, found["vision:ada"].queued) == (8, 1)


def test_a_reading_is_two_statements_without_quotas_and_at_most_two_more_for_thirty_teams(database: Database):
    used(database, "vision", "ada", 1)
    with statements(database) as asked:
        load(database)
    assert len(asked) - asked.count("BEGIN") == 2

    for i in range(30):
        declare(database, f"t{i}", quota=Quota(gpus=8, gpu_hours=100))
        used(database, f"t{i}", "ada", 1)
    with statements(database) as asked:
        load(database)
    assert len(asked) - asked.count("BEGIN") == 3


def test_declaring_a_team_is_audited_once_and_replaces_what_was(database: Database):
    declare(database, weight=2, quota=Quota(gpus=8))
    declare(database, weight=2, quota=Quota(gpus=8))
    declare(database, quota=Quota(running=3))

    with database.reading() as connection:
        told = connection.execute(select(audit).order_by(audit.c.id)).all()
    assert [(row.action, row.object, row.actor) for row in told] == [("team.set", "vision", "ada")] * 2
    assert (told[0].detail["before"], told[1].detail["before"]["quota"]["gpus"]) == (None, 8)
    assert load(database) == {"vision": Account("vision", 1, Quota(running=3))}


def test_a_team_that_is_removed_keeps_its_use_and_can_be_removed_once(database: Database):
    declare(database, weight=2)
    used(database, "vision", "ada", 7)

    with database.writing() as connection:
        teams.remove(connection, "vision", actor=ADA, now=NOON)
    assert load(database)["vision"] == Account("vision", 1, use=7)
    with database.writing() as connection, pytest.raises(NotFound):
        teams.remove(connection, "vision", actor=ADA, now=NOON)


def test_a_team_stands_with_what_it_holds_and_what_it_is_owed(database: Database, add_job, add_node):
    add_node(gpus=4)
    declare(database, weight=2, quota=Quota(gpus=1))
    add_job("j", team="vision", gpus=2)
    add_job("waiting", team="speech")
    request = Request(gpus=2)
    with database.writing() as connection:
        attempts.place(connection, [Placement("j", "n1", request, {"n1-0": 81920, "n1-1": 81920})], {}, now=NOON)
        connection.execute(update(jobs_table).where(jobs_table.c.id == "j").values(state="running"))

    found = stand(database, NOON + 2 * HOUR)

    vision, speech = found["vision"], found["speech"]
    assert (vision["gpus"], vision["borrowed_gpus"], vision["running"], vision["rank"]) == (2, 1, 1, 2)
    assert (vision["entitled_percent"], vision["used_percent"]) == (66.67, 100)
    assert vision["used_gpu_hours"] == pytest.approx(4.1, rel=0.01)
    assert vision["why"] == (
        "Is owed 2 of 3 parts of the fleet and has had 100% of what was used lately, so it comes after 1 other team."
    )
    assert (speech["declared"], speech["queued"], speech["rank"], speech["quota"]["gpus"]) == (False, 1, 1, None)


def test_the_books_of_what_was_loaded_refuse_what_is_beyond_a_quota(database: Database):
    declare(database, quota=Quota(gpu_hours=10))
    used_on(database, "2026-01-01", 9.5)

    with database.reading() as connection:
        books = Books(sharing.load(connection, now=NOON, rules=Rules()), [], now=NOON)

    refusal = books.refusal(Waiting("j", Request(gpus=1), 5, NOON, team="vision"))
    assert refusal is not None
    assert (refusal.code, refusal.asked, refusal.available) == ("quota-gpu-hours", 1, 0.5)


def test_one_job_too_many_is_refused_with_the_numbers(database: Database):
    declare(database, quota=Quota(queued=2))
    submit(database, "a")
    submit(database, "b")

    with pytest.raises(QuotaQueued, match="Team vision has 2 jobs that have not begun; one more") as refused:
        submit(database, "c")
    submit(database, "d", team="speech")

    assert [(fault.value, fault.limit) for fault in refused.value.faults] == [(3, 2)]


def test_a_user_and_a_project_have_queues_of_their_own(database: Database):
    declare(database, projects={"default": Quota(queued=2)}, users={"ada": Quota(queued=1)})
    submit(database, "a")

    with pytest.raises(QuotaQueued, match="User ada of team vision"):
        submit(database, "b")
    submit(database, "c", actor=Actor("t2", "bob"))
    with pytest.raises(QuotaQueued, match="Project default of team vision"):
        submit(database, "d", actor=Actor("t2", "bob"))


def test_many_who_submit_at_once_never_fill_a_queue_beyond_its_quota(database: Database):
    declare(database, quota=Quota(queued=3))

    def try_to(job_id: str) -> bool:
        try:
            submit(database, job_id)
        except QuotaQueued:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(try_to, [f"j{i}" for i in range(8)]))

    assert sum(taken) == 3
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(jobs_table)).scalar_one() == 3
        assert connection.execute(select(func.count()).select_from(attempts_table)).scalar_one() == 0
