"""Plans on both databases: applied whole or not at all, once, in turn."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from threading import Barrier
from typing import Any

import pytest
from sqlalchemy import event, select

from levare.decide.plan import Plan, differences, digest_of, outright
from levare.errors import Locked, StalePlan
from levare.model import Declared, DeclaredKind, Placement, Request
from levare.store import applying, attempts, kinds, locks, revisions, schedules, teams, triggers
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.revisions import Cause
from levare.store.tables import attempts as attempts_table
from levare.store.tables import audit, jobs
from levare.store.tables_declared import APPLY, ROLLBACK
from levare.store.teams import Declared as Team

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ADA, BEN = Actor("t1", "ada"), Actor("t2", "ben")
JOB = {"command": ["true"]}
OBJECTS = [
    Declared("team", "vision", {"weight": 2.0, "quota": {"gpus": 4}}),
    Declared("window", "upgrade", {"nodes": ["n1"], "starts": "2030-02-01T00:00:00Z", "ends": "2030-02-02T00:00:00Z"}),
    Declared("job", "train", {"command": ["python", "train.py"]}),
    Declared("pipeline", "retrain", {"jobs": [{"step": "a", "command": ["true"]}]}),
    Declared("channel", "ops", {"webhook": {"url": "https://hooks.example.org/levare"}}),
    Declared("alert_rule", "slow", {"when": {"slow": {}}}),
    Declared("schedule", "nightly", {"cron": "0 3 * * *", "job": JOB}),
    Declared("schedule", "weekly", {"cron": "0 4 * * 1", "job": JOB, "paused": True}),
    Declared("trigger", "new-data", {"when": {"event": {"type": "data"}}, "job": JOB}),
]


def plan_for(database: Database, wanted: Sequence[Declared], **more: Any) -> Plan:
    with database.reading() as connection:
        found = differences(kinds.every(connection), wanted)
        return Plan(revisions.read(connection).revision, found.changes, **more)


def apply(database: Database, plan: Plan, *, actor: Actor = ADA, lock: str | None = None, now: datetime = NOON) -> Any:
    cause = Cause(APPLY if plan.rollback_to is None else ROLLBACK, "A reason.", commit="3f2a9c1", dirty=False)
    with database.writing() as connection:
        return applying.apply(connection, plan, cause, lock_id=lock, actor=actor, now=now)


def declared(database: Database) -> list[Declared]:
    with database.reading() as connection:
        return kinds.every(connection)


def digest(database: Database) -> str:
    with database.reading() as connection:
        head = revisions.read(connection)
        assert head.digest == digest_of(kinds.every(connection))
    return head.digest


def test_what_is_wanted_is_what_is_declared_then_and_a_plan_for_it_is_empty(database: Database):
    made = apply(database, plan_for(database, OBJECTS))

    assert sorted(declared(database), key=str) == sorted(OBJECTS, key=str)
    assert (made["number"], made["created"], made["origin"], made["commit"]) == (1, len(OBJECTS), "apply", "3f2a9c1")
    assert plan_for(database, OBJECTS).changes == []
    assert digest(database) == digest_of(OBJECTS)
    with database.reading() as connection:
        assert {row.action for row in connection.execute(select(audit))} >= {"schedule.set", "revision.applied"}
        assert schedules.one(connection, "nightly")["due_at"] == datetime(2030, 1, 2, 3, tzinfo=UTC)
        assert triggers.one(connection, "new-data")["begun_at"] == NOON


def test_what_is_gone_from_what_is_wanted_is_removed_unless_nothing_is_pruned(database: Database):
    apply(database, plan_for(database, OBJECTS))
    kept = [each for each in OBJECTS if each.kind != "trigger"]

    plan = plan_for(database, kept)

    assert [(each.kind, each.name, each.action) for each in plan.changes] == [("trigger", "new-data", "remove")]
    assert differences(declared(database), kept, prune=False).changes == []
    apply(database, plan)
    assert [each.name for each in declared(database) if each.kind == "trigger"] == []


def test_a_plan_is_refused_once_something_was_declared_and_says_what_and_by_whom(database: Database):
    apply(database, plan_for(database, OBJECTS))
    plan = plan_for(database, OBJECTS[:3])
    with database.writing() as connection:
        schedules.put(connection, "nightly", {"cron": "0 5 * * *", "job": JOB}, actor=BEN, now=NOON)
    before = digest(database)

    with pytest.raises(StalePlan, match=r"revision 2 by ben changed schedule nightly"):
        apply(database, plan)

    assert digest(database) == before


def test_the_same_plan_again_gives_the_same_revision_until_something_else_is_declared(database: Database):
    plan = plan_for(database, OBJECTS)
    first, again = apply(database, plan), apply(database, plan)
    assert first == again

    apply(database, plan_for(database, OBJECTS[1:]))
    with pytest.raises(StalePlan, match="was applied as revision 1"):
        apply(database, plan)


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_before(statement: int, database: Database) -> Iterator[list[str]]:
    """No further statement than so many is run, as if the process had been killed."""
    asked: list[str] = []

    def listen(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        if len(asked) >= statement:
            raise Killed
        asked.append(text)

    engine = database._writes
    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield asked
    finally:
        event.remove(engine, "before_cursor_execute", listen)


def test_an_apply_that_is_killed_at_any_statement_and_repeated_ends_in_the_same_place(database: Database, add_job):
    apply(database, plan_for(database, OBJECTS))
    add_job("a", schedule="nightly")
    add_job("b", trigger="new-data")
    wanted = [
        Declared("team", "vision", {"weight": 3.0}),
        Declared("schedule", "nightly", {"cron": "0 5 * * *", "job": JOB}),
    ]
    plan = plan_for(database, wanted, in_flight="finish")
    before, number, is_done = digest(database), 0, False
    while not is_done:
        with killed_before(number, database):
            try:
                apply(database, plan)
                is_done = True
            except Killed:
                number += 1
        if not is_done:
            assert digest(database) == before
            with database.reading() as connection:
                assert connection.execute(select(jobs.c.cancel_requested_at).where(jobs.c.id == "b")).scalar() is None

    assert number >= 15
    assert sorted(declared(database), key=str) == sorted(wanted, key=str)
    assert apply(database, plan)["number"] == 2
    with database.reading() as connection:
        wished = dict(connection.execute(select(jobs.c.id, jobs.c.cancelled_by)).all())
    assert wished == {"a": None, "b": "ada"}


def test_of_two_who_apply_at_once_one_wins_and_the_other_is_told_to_plan_again(database: Database):
    apply(database, plan_for(database, OBJECTS))
    plans = {"ada": plan_for(database, OBJECTS[:4]), "ben": plan_for(database, OBJECTS[4:])}
    together = Barrier(2)

    def race(actor: Actor) -> str:
        own = Database(database.url)
        try:
            together.wait(30)
            apply(own, plans[actor.name], actor=actor)
        except StalePlan as error:
            return "stale" if "Plan again" in error.next_step else "lost"
        finally:
            own.dispose()
        return actor.name

    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(race, (ADA, BEN)))

    [winner] = [name for name in ended if name != "stale"]
    assert sorted(ended) == sorted([winner, "stale"])
    wanted = OBJECTS[:4] if winner == "ada" else OBJECTS[4:]
    assert sorted(declared(database), key=str) == sorted(wanted, key=str)


def test_a_rollback_declares_what_was_and_resumes_what_was_not_paused(database: Database):
    apply(database, plan_for(database, OBJECTS))
    then = digest(database)
    with database.writing() as connection:
        schedules.pause(connection, "nightly", reason="No data.", actor=BEN, now=NOON)
        triggers.remove(connection, "new-data", actor=BEN, now=NOON)
        wanted = outright(revisions.state_at(connection, 1))

    plan = plan_for(database, wanted, rollback_to=1)
    made = apply(database, plan)

    assert [(each.kind, each.action) for each in plan.changes] == [("schedule", "update"), ("trigger", "create")]
    assert (made["number"], made["origin"], digest(database)) == (4, "rollback", then)


def test_what_a_person_has_paused_stays_so_unless_it_is_wanted_otherwise(database: Database):
    apply(database, plan_for(database, OBJECTS))
    with database.writing() as connection:
        schedules.pause(connection, "nightly", reason="No data.", actor=BEN, now=NOON)

    found = differences(declared(database), OBJECTS)
    resumed = [
        Declared(each.kind, each.name, {**each.document, "paused": False})
        for each in OBJECTS
        if each.kind == "schedule"
    ]

    assert (found.changes, found.left_paused) == ([], [("schedule", "nightly")])
    apply(database, plan_for(database, [*OBJECTS[:6], *resumed]))
    with database.reading() as connection:
        assert schedules.one(connection, "nightly")["paused_at"] is None


def test_the_lock_keeps_others_from_applying_until_it_ends_or_is_given_back(database: Database):
    plan = plan_for(database, OBJECTS)
    with database.writing() as connection:
        locks.take(connection, "lock-ada", 60 * SECOND, reason="A release.", actor=ADA, now=NOON)

    with pytest.raises(Locked, match=r"ada has held the lock since 2030-01-01 12:00:00 UTC \(A release\)"):
        apply(database, plan, actor=BEN)
    with database.writing() as connection, pytest.raises(Locked):
        locks.take(connection, "lock-ben", SECOND, reason="", actor=BEN, now=NOON)
    apply(database, plan, lock="lock-ada")
    apply(database, plan_for(database, OBJECTS[:2]), actor=BEN)

    with database.writing() as connection:
        locks.take(connection, "lock-ada", 60 * SECOND, reason="", actor=ADA, now=NOON)
    apply(database, plan_for(database, OBJECTS[:1]), actor=BEN, now=NOON + 60 * SECOND)


def test_a_team_and_a_window_change_by_revisions_like_everything_else(database: Database):
    with database.writing() as connection:
        teams.put(connection, "vision", Team(weight=2), actor=ADA, now=NOON)
        teams.put(connection, "vision", Team(weight=2), actor=ADA, now=NOON)
        teams.remove(connection, "vision", actor=ADA, now=NOON)
        found = revisions.find(connection, limit=10)

    assert [(row["number"], row["created"], row["removed"], row["origin"]) for row in found] == [
        (2, 0, 1, "edit"),
        (1, 1, 0, "edit"),
    ]


def a_manifest(dice: Random) -> list[Declared]:
    """Any of a few names of each kind, each with one of a few documents."""

    def a_pause() -> dict[str, Any]:
        return dice.choice([{}, {"paused": True}])

    choices: list[tuple[DeclaredKind, Callable[[], dict[str, Any]]]] = [
        ("team", lambda: {"weight": float(dice.randint(2, 5))}),
        ("window", lambda: {**OBJECTS[1].document, "nodes": [f"n{dice.randint(1, 3)}"]}),
        ("job", lambda: {"command": [dice.choice("abc")]}),
        ("channel", lambda: {"webhook": {"url": f"https://{dice.choice('abc')}.example.org"}}),
        ("alert_rule", lambda: {"when": {"hang": {"for_seconds": dice.randint(60, 63)}}}),
        ("schedule", lambda: {"cron": f"{dice.randint(0, 3)} 3 * * *", "job": JOB, **a_pause()}),
        ("trigger", lambda: {"when": {"event": {"type": dice.choice("abc")}}, "job": JOB, **a_pause()}),
    ]
    return [
        Declared(kind, name, document())
        for kind, document in choices
        for name in dice.sample(["x", "y", "z"], dice.randint(0, 3))
    ]


def test_100_pairs_of_manifests_applied_and_rolled_back_end_in_an_empty_diff(database: Database):
    dice = Random(7)
    for _ in range(100 if database.is_sqlite else 10):
        first, second = a_manifest(dice), a_manifest(dice)
        apply(database, plan_for(database, outright(first)))
        then, number = digest(database), plan_for(database, first).base
        apply(database, plan_for(database, outright(second)))
        with database.reading() as connection:
            wanted = outright(revisions.state_at(connection, number))

        apply(database, plan_for(database, wanted, rollback_to=number))

        assert digest(database) == then
        assert plan_for(database, outright(first)).changes == []
        assert sorted(declared(database), key=str) == sorted(first, key=str)


def test_thousands_of_objects_take_few_statements(database: Database):
    def wanted(hour: int) -> list[Declared]:
        schedules = [Declared("schedule", f"s{n}", {"cron": f"{n % 60} {hour} * * *", "job": JOB}) for n in range(2000)]
        return [*schedules, *(Declared("team", f"t{n}", {"weight": float(hour)}) for n in range(1000))]

    for hour in (3, 4):
        plan = plan_for(database, wanted(hour))
        assert len(plan.changes) == 3000
        with killed_before(10_000, database) as asked:
            apply(database, plan)
        assert len(asked) < 100
    assert plan_for(database, wanted(4)).changes == []


def test_what_runs_is_requeued_if_the_plan_says_so_and_kept_if_not(database: Database, add_job, add_node):
    add_node("n1")
    apply(database, plan_for(database, [each for each in OBJECTS if each.kind != "window"]))
    for name in ("a", "b"):
        add_job(name)
        with database.writing() as connection:
            [message] = attempts.place(connection, [Placement(name, "n1", Request())], {}, now=NOON)
            assert attempts.claim(connection, message.attempt_id, node="n1", incarnation="i1", at=NOON)
            assert attempts.started(connection, message.attempt_id, at=NOON)

    def told() -> list[Any]:
        with database.reading() as connection:
            return list(connection.execute(select(attempts_table.c.preempted_at, attempts_table.c.preempted_for)))

    apply(database, plan_for(database, OBJECTS))
    assert told() == [(None, None), (None, None)]
    moved = [Declared("window", "upgrade", {**OBJECTS[1].document, "ends": "2030-02-03T00:00:00Z"})]
    apply(
        database,
        plan_for(database, [*moved, *(each for each in OBJECTS if each.kind != "window")], in_flight="requeue"),
    )
    assert told() == [(NOON, None), (NOON, None)]
