"""Pools in SQL: what is declared, what beat writes, what machines say."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from beat.leader import Leader
from beat.pool_watch import PoolWatch
from levare.decide.effect import Shift
from levare.decide.plan import Plan, differences
from levare.errors import CanNeverRun, Conflict, Forbidden, StaleLeader, Unauthorized
from levare.model import Declared, Device, Rules, Waiting
from levare.model.access import MACHINE, Access
from levare.store import (
    audit,
    kinds,
    machines,
    nodes,
    planning,
    pool_workers,
    pools,
    revisions,
    snapshot,
    tables,
    tokens,
)
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Intake, Submission, insert_job
from levare.store.machines import Report
from levare.store.nodes import NodeFacts
from levare.store.tables_pools import pool_workers as workers_table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ADA = Actor("t1", "ada")
SIMULATED = {"cpus": 4, "gpus": 0, "simulated_gpus": "4x80GiB"}
SAID = Report("1", {"zone": "a"}, 16, 65536, 100000)


def declare(database: Database, workers: Any, name: str = "p", **more: Any) -> None:
    with database.writing() as connection:
        definition = {"workers": workers, "offers": SIMULATED, **more}
        pools.put(connection, name, definition, actor=ADA, now=NOON)


def enter(database: Database, name: str = "m1", *, code: str | None = None, at: datetime = NOON) -> str:
    """A machine joins and says what it has; its token."""
    code = code or f"code-{name}"
    with database.writing() as connection:
        machines.invite(connection, code, machine=None, expires_at=at + timedelta(hours=1), actor=ADA, now=at)
        machines.join(connection, code, name, token_id=f"token-{name}", secret=f"lv_{name}", source="here", now=at)
        machines.report(connection, name, SAID, actor=machine(name), now=at)
    return f"lv_{name}"


def machine(name: str) -> Actor:
    return Actor(f"token-{name}", f"machine-{name}", Access(MACHINE))


@pytest.fixture
def watch(database: Database) -> PoolWatch:
    leader = Leader(database)
    assert leader.leads()
    return PoolWatch(database, leader)


def workers(database: Database) -> dict[str, str]:
    """Name -> state, as SQL holds it."""
    with database.reading() as connection:
        return {row.name: row.state for row in connection.execute(select(workers_table.c.name, workers_table.c.state))}


def say(database: Database, *running: str, name: str = "m1", at: datetime = NOON) -> list[str]:
    """What a machine hears that runs these."""
    said = replace(SAID, workers={each: {"pid": 1, "starts": 1, "note": None} for each in running})
    with database.writing() as connection:
        rows = machines.report(connection, name, said, actor=machine(name), now=at)
    return [f"{row['name']} {row['state']}" for row in rows]


def join_node(database: Database, name: str) -> None:
    """What a worker writes when it starts."""
    cards = [Device(f"SIM-{name}-{index}", index, 81920) for index in range(4)]
    facts = NodeFacts(name, "boot", 4, 65536, cards, simulated=True, version="1", labels={"pool": "p"})
    with database.writing() as connection:
        nodes.join(connection, facts, incarnation="i1", now=NOON)


def state_of(database: Database, name: str) -> str | None:
    with database.reading() as connection:
        return connection.execute(select(tables.nodes.c.state).where(tables.nodes.c.name == name)).scalar()


def run_on(database: Database, node: str, state: str = "running") -> None:
    row = {"id": "job-1", "job_id": "job", "number": 1, "rank": 0, "state": state, "node": node, "queue": f"gpu.{node}"}
    more = {"devices": {}, "cpus": 1, "memory_mib": 0, "scratch_mib": 0, "resources": {}, "placed_at": NOON}
    zero = {"settled": False, "log_bytes": 0, "metrics_offset": 0, "points": 0, "points_dropped": 0}
    with database.writing() as connection:
        connection.execute(insert(tables.attempts).values(**row, **more, **zero))


def end(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(update(tables.attempts).values(state="succeeded", ended_at=NOON))


def test_a_pool_is_declared_by_a_revision_and_the_same_again_is_none(database: Database):
    declare(database, 2)
    declare(database, 2)
    declare(database, 3)

    with database.reading() as connection:
        made = revisions.of_object(connection, "pool", "p")
        row = pools.one(connection, "p")
    assert [each["after"]["workers"] for each in made] == [3, 2]
    assert (row["wanted"], row["why"]) == (0, "Beat has not looked at it yet.")


def test_a_pool_grows_and_shrinks_and_no_worker_with_an_attempt_is_stopped(
    database: Database, watch: PoolWatch, add_job: Callable[..., str]
):
    enter(database)
    declare(database, 2)
    watch.look((), now=NOON)
    assert workers(database) == {"m1-p-1": "wanted", "m1-p-2": "wanted"}
    for name in ("m1-p-1", "m1-p-2"):
        join_node(database, name)
    add_job()
    run_on(database, "m1-p-1")

    declare(database, 0)
    watch.look((), now=NOON)
    assert workers(database) == {"m1-p-1": "draining", "m1-p-2": "draining"}
    assert [state_of(database, name) for name in ("m1-p-1", "m1-p-2")] == ["draining", "draining"]
    watch.look((), now=NOON)
    watch.look((), now=NOON)
    assert workers(database) == {"m1-p-1": "draining", "m1-p-2": "stopping"}

    assert say(database, "m1-p-1", "m1-p-2") == ["m1-p-1 draining", "m1-p-2 stopping"]
    assert say(database, "m1-p-1") == ["m1-p-1 draining"]
    assert state_of(database, "m1-p-2") is None

    end(database)
    watch.look((), now=NOON)
    assert workers(database) == {"m1-p-1": "stopping"}
    assert say(database) == []
    assert state_of(database, "m1-p-1") is None


def test_the_audit_tells_what_was_started_and_drained_and_why(database: Database, watch: PoolWatch):
    enter(database)
    declare(database, 3)
    watch.look((), now=NOON)
    declare(database, 1)
    for _ in range(3):
        watch.look((), now=NOON)

    with database.reading() as connection:
        found = audit.find(connection, limit=9, action="pool.scaled")
    assert [row["detail"] for row in found] == [
        {"drained": 2, "reason": "1 worker is asked for."},
        {"started": 3, "reason": "3 workers are asked for."},
    ]


def test_a_worker_that_joins_late_takes_nothing_once_its_pool_lets_it_go(database: Database, watch: PoolWatch):
    enter(database)
    declare(database, 1)
    watch.look((), now=NOON)
    declare(database, 0)
    watch.look((), now=NOON)

    join_node(database, "m1-p-1")

    assert state_of(database, "m1-p-1") == "draining"


def test_a_draining_worker_that_was_lost_comes_back_draining(database: Database, watch: PoolWatch):
    enter(database)
    declare(database, 1)
    watch.look((), now=NOON)
    join_node(database, "m1-p-1")
    declare(database, 0)
    watch.look((), now=NOON)
    with database.writing() as connection:
        nodes.declare_lost(connection, {"m1-p-1": 1}, now=NOON)
        assert nodes.renew(connection, "m1-p-1", incarnation="i1", now=NOON)

    assert state_of(database, "m1-p-1") == "draining"


def test_a_worker_whose_node_takes_work_again_is_not_stopped_by_an_old_decision(database: Database, watch: PoolWatch):
    """Somebody has made it ready behind the back of beat: it is drained again first."""
    enter(database)
    declare(database, 1)
    watch.look((), now=NOON)
    join_node(database, "m1-p-1")
    declare(database, 0)
    watch.look((), now=NOON)
    with database.writing() as connection:
        nodes.set_state(connection, "m1-p-1", "ready")
        connection.execute(pool_workers._STOP, {"of_name": "m1-p-1", "at": NOON})

    assert workers(database) == {"m1-p-1": "draining"}
    with database.reading() as connection, pytest.raises(Conflict, match="draining because of its pool p"):
        pool_workers.refuse_resume(connection, "m1-p-1")


def test_another_beat_that_leads_now_refuses_what_this_one_decided(database: Database, watch: PoolWatch):
    enter(database)
    declare(database, 1)
    with database.writing() as connection:
        connection.execute(update(tables.leases).values(epoch=tables.leases.c.epoch + 1, owner="another"))

    with pytest.raises(StaleLeader):
        watch.look((), now=NOON)

    assert workers(database) == {}


def test_nothing_is_written_where_nothing_changes(database: Database, watch: PoolWatch):
    enter(database)
    declare(database, 1)
    watch.look((), now=NOON)
    with database.writing() as connection:
        connection.execute(update(tables.leases).values(epoch=tables.leases.c.epoch + 1, owner="another"))

    watch.look((), now=NOON)


def test_the_queue_of_a_pool_is_counted_by_lanes(database: Database, watch: PoolWatch, add_job: Callable[..., str]):
    enter(database)
    declare(database, {"min": 0, "max": 9, "queue_per_worker": 2, "cool_down_seconds": 0})
    for place in range(5):
        add_job(f"j{place}", gpus=1)
    add_job("a", gpus=2, array={"list": []}, array_size=3, array_cap=None, array_next=0)
    add_job("far", gpus=1, require={"zone": "nowhere"})

    watch.look(without_room(database), now=NOON)

    with database.reading() as connection:
        row = pools.one(connection, "p")
    assert row["why"].startswith("8 jobs that it could run wait for room")
    assert (row["wanted"], len(workers(database))) == (4, 4)


def without_room(database: Database) -> list[Waiting]:
    """With no node at all everything waits for room."""
    with database.reading() as connection:
        return list(snapshot.load(connection, now=NOON).waiting)


AFTER_THE_QUEUE = {"min": 1, "max": 9, "queue_per_worker": 1, "cool_down_seconds": 60}


@pytest.mark.parametrize(
    ("workers_of", "shifts"),
    [
        ((1, 3), {"j1": (1, 0), "j2": (2, 0)}),
        ((3, 1), {"j1": (0, 1), "j2": (0, 2)}),
        ((1, AFTER_THE_QUEUE), {"j1": (1, 0), "j2": (2, 0)}),
    ],
)
def test_a_plan_tells_which_jobs_start_earlier_or_later_with_the_workers_that_a_pool_then_has(
    database: Database, watch: PoolWatch, add_job: Callable[..., str], workers_of: Any, shifts: Any
):
    before, after = workers_of
    enter(database)
    declare(database, before)
    watch.look([], now=NOON)
    for name in sorted(workers(database)):
        join_node(database, name)
    for place in range(3):
        add_job(f"j{place}", name=f"n{place}", gpus=4, timeout_seconds=3600)

    told = planned(database, Declared("pool", "p", {"workers": after, "offers": SIMULATED}))

    assert {each.job: (hours_of(each.before), hours_of(each.after)) for each in told} == shifts


def hours_of(moment: datetime | None) -> float:
    assert moment is not None
    return (moment - NOON) / timedelta(hours=1)


@contextmanager
def undone(database: Database) -> Iterator[Connection]:
    with database.writing() as connection, connection.begin_nested() as trial:
        yield connection
        trial.rollback()


def planned(database: Database, wanted: Declared) -> Sequence[Shift]:
    with database.reading() as connection:
        changes = differences(kinds.every(connection), [wanted]).changes
        plan = Plan(revisions.read(connection).revision, changes)
        facts = planning.load(connection, changes, now=NOON, rules=Rules())
    after = planning.load_after(undone(database), plan, actor=ADA, now=NOON, rules=Rules())
    return planning.effect_of(plan, facts, after, now=NOON).shifts


def test_what_only_a_pool_could_run_is_taken_and_what_it_could_not_is_refused(database: Database):
    enter(database)
    declare(database, {"min": 0, "max": 2, "queue_per_worker": 1, "cool_down_seconds": 0})
    with database.writing() as connection:
        intake = Intake(connection, ADA, now=NOON, rules=Rules())

        insert_job(intake, Submission(command=["true"], gpus=4, require={"pool": "p"}), "j1")
        insert_job(intake, Submission(command=["true"], gpus=4, nodes=2), "j2")
        with pytest.raises(CanNeverRun):
            insert_job(intake, Submission(command=["true"], gpus=4, nodes=3), "j3")


def test_a_code_admits_one_machine_once(database: Database):
    enter(database, "m1", code="once")

    with database.writing() as connection, pytest.raises(Forbidden, match="was used, has expired"):
        machines.join(connection, "once", "m2", token_id="t2", secret="s2", source="", now=NOON)


def test_a_code_that_has_expired_admits_nobody(database: Database):
    with database.writing() as connection:
        machines.invite(connection, "c", machine=None, expires_at=NOON, actor=ADA, now=NOON - timedelta(minutes=1))
        with pytest.raises(Forbidden):
            machines.join(connection, "c", "m1", token_id="t", secret="s", source="", now=NOON)


def test_a_machine_that_is_known_comes_back_by_a_code_of_its_own_and_its_old_token_ends(database: Database):
    secret = enter(database)
    soon = NOON + timedelta(minutes=5)
    again = {"token_id": "t2", "secret": "lv_new", "source": "", "now": NOON}
    with database.writing() as connection:
        machines.invite(connection, "any", machine=None, expires_at=soon, actor=ADA, now=NOON)
        with pytest.raises(Conflict, match="levare nodes invite --machine m1"), connection.begin_nested():
            machines.join(connection, "any", "m1", **again)
        machines.invite(connection, "own", machine="m1", expires_at=soon, actor=ADA, now=NOON)
        with pytest.raises(Forbidden, match="is for the machine 'm1'"), connection.begin_nested():
            machines.join(connection, "own", "m2", **again)
        machines.join(connection, "own", "m1", **again)

        assert tokens.verify(connection, "lv_new", now=NOON)["role"] == "machine"
        with pytest.raises(Unauthorized):
            tokens.verify(connection, secret, now=NOON)


def test_a_machine_speaks_for_itself_only(database: Database):
    enter(database, "m1")
    enter(database, "m2")

    with database.writing() as connection, pytest.raises(Forbidden, match="not the one of the machine 'm2'"):
        machines.report(connection, "m2", SAID, actor=machine("m1"), now=NOON)


def test_a_report_without_news_is_not_written(database: Database):
    enter(database)
    with database.reading() as connection:

        def news(said: Report, seconds: int) -> bool:
            at = NOON + timedelta(seconds=seconds)
            return machines.reply_if_unchanged(connection, "m1", said, actor=machine("m1"), now=at) is None

        assert [news(SAID, 1), news(SAID, 6), news(replace(SAID, cpus=8), 1)] == [False, True, True]


def test_a_machine_that_is_away_may_be_forgotten_with_its_workers(database: Database, watch: PoolWatch):
    enter(database)
    declare(database, 1)
    watch.look((), now=NOON)
    join_node(database, "m1-p-1")

    with database.writing() as connection:
        with pytest.raises(Conflict, match="still has 1 workers"):
            machines.forget(connection, "m1", actor=ADA, now=NOON)
        machines.forget(connection, "m1", actor=ADA, now=NOON + timedelta(minutes=1))

    assert workers(database) == {}
    assert state_of(database, "m1-p-1") is None


def test_a_new_price_holds_for_the_workers_that_are_there(database: Database, watch: PoolWatch):
    enter(database)
    declare(database, 1)
    watch.look((), now=NOON)
    join_node(database, "m1-p-1")

    declare(database, 1, price=2.5)
    watch.look((), now=NOON)

    assert workers(database) == {"m1-p-1": "wanted"}
    with database.reading() as connection:
        [row] = pool_workers.of_machine(connection, "m1")
        assert row["share"]["price"] == 2.5
        assert connection.execute(select(tables.nodes.c.price)).scalar_one() == 2.5
