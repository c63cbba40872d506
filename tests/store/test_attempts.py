from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from levare.model import Move, Placement, Request
from levare.store import attempts, fleet, messages, nodes, snapshot
from levare.store.attempts import Outcome
from levare.store.engine import Database
from levare.store.tables import attempts as attempts_table
from levare.store.tables import jobs as jobs_table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def placed(database: Database, add_job, add_node) -> str:
    """An attempt that was placed on node n1, incarnation i1."""
    add_node()
    add_job(gpus=1)
    with database.writing() as connection:
        made = place(connection, Placement("job", "n1", Request(gpus=1), {"n1-0": 81920}))
    return made[0]


def place(connection: Connection, placement: Placement) -> list[str]:
    return [message.attempt_id for message in attempts.place(connection, [placement], {"n1": "i1"}, now=NOON)]


def due(database: Database, at: datetime = NOON) -> list[str]:
    """What beat would send again; marked as sent."""
    with database.writing() as connection:
        seen = snapshot.load(connection, now=at)
        messages.mark_sent(connection, seen.unsent, {node.name: node.incarnation for node in seen.nodes}, now=at)
    return [message.queue for message in seen.unsent]


def state_of(database: Database) -> tuple[Any, Any]:
    with database.reading() as connection:
        job = connection.execute(select(jobs_table)).one()
        attempt = connection.execute(select(attempts_table)).one_or_none()
    return job, attempt


def claim(database: Database, attempt_id: str, *, node: str = "n1", incarnation: str = "i1"):
    with database.writing() as connection:
        return attempts.claim(connection, attempt_id, node=node, incarnation=incarnation, at=NOON)


def test_a_placed_job_has_an_attempt_named_after_it(database: Database, placed: str):
    job, attempt = state_of(database)

    assert placed == "job-1"
    assert (job.state, job.attempt, attempt.state, attempt.queue) == ("placed", 1, "placed", "gpu.n1")


def test_a_job_that_no_longer_waits_is_not_placed_again(database: Database, placed: str):
    with database.writing() as connection:
        assert place(connection, Placement("job", "n1", Request(), {})) == []

    assert state_of(database)[1].id == placed


def test_a_job_somebody_wants_cancelled_is_not_placed(database: Database, add_job):
    add_job(cancel_requested_at=NOON)

    with database.writing() as connection:
        assert place(connection, Placement("job", "n1", Request(), {})) == []


def test_a_claim_brings_all_that_the_supervisor_needs(database: Database, placed: str):
    claimed = claim(database, placed)

    assert claimed is not None
    assert (claimed.job_id, claimed.command, dict(claimed.devices)) == ("job", ["true"], {"n1-0": 81920})
    assert [row.state for row in state_of(database)] == ["starting", "starting"]


def test_another_node_claims_nothing(database: Database, placed: str):
    assert claim(database, placed, node="n2") is None
    assert state_of(database)[1].state == "placed"


def test_a_starting_attempt_is_claimed_again_by_the_next_worker_of_its_node(database: Database, placed: str):
    claim(database, placed)

    assert claim(database, placed, incarnation="i2") is not None


def test_what_runs_or_is_over_is_not_claimed(database: Database, placed: str):
    claim(database, placed)
    with database.writing() as connection:
        assert attempts.started(connection, placed, at=NOON)
    assert claim(database, placed) is None

    with database.writing() as connection:
        assert attempts.finish(connection, placed, Outcome("succeeded", "Done.", 0))
    assert claim(database, placed) is None


def test_of_many_threads_that_place_the_same_job_one_does(database: Database, add_job, add_node):
    add_node()
    add_job()

    def try_to(_: int) -> list[str]:
        with database.writing() as connection:
            return place(connection, Placement("job", "n1", Request(), {}))

    with ThreadPoolExecutor(8) as pool:
        made = [attempt for result in pool.map(try_to, range(8)) for attempt in result]

    assert made == ["job-1"]


def test_an_ending_is_written_once(database: Database, placed: str):
    claim(database, placed)
    with database.writing() as connection:
        assert attempts.finish(connection, placed, Outcome("failed", "Exited with code 3.", 3))
        assert not attempts.finish(connection, placed, Outcome("succeeded", "Exited with code 0.", 0))

    assert state_of(database)[1].exit_code == 3


def test_an_attempt_that_is_over_holds_nothing_and_waits_to_be_settled(database: Database, placed: str):
    claim(database, placed)
    with database.writing() as connection:
        attempts.finish(connection, placed, Outcome("failed", "Exited with code 3.", 3))
    with database.reading() as connection:
        seen = snapshot.load(connection, now=NOON)

    assert not seen.nodes[0].held
    assert [(ended.job_id, ended.outcome, ended.exit_code) for ended in seen.ended] == [("job", "failed", 3)]


def test_a_settled_job_is_final_and_not_seen_again(database: Database, placed: str):
    with database.writing() as connection:
        attempts.finish(connection, placed, Outcome("failed", "Exited with code 3.", 3))
        attempts.move(connection, [Move("job", ("placed", "starting", "running"), "failed", "Why.", 3)], now=NOON)
    with database.reading() as connection:
        assert not snapshot.load(connection, now=NOON).ended

    job, attempt = state_of(database)
    assert (job.state, job.exit_code, job.finished_at, attempt.settled) == ("failed", 3, NOON, True)


def test_a_final_job_never_moves(database: Database, add_job):
    add_job(state="succeeded")

    with database.writing() as connection:
        attempts.move(connection, [Move("job", ("waiting",), "cancelled")], now=NOON)

    assert state_of(database)[0].state == "succeeded"


def test_what_is_placed_is_sent_again_only_when_nobody_claims_it(database: Database, placed: str):
    late = NOON + messages.RESEND_AFTER

    assert due(database) == []
    assert due(database, late) == ["gpu.n1"]
    assert due(database, late) == []
    claim(database, placed)
    assert due(database, NOON + timedelta(hours=1)) == []


def test_what_runs_is_sent_again_when_its_worker_has_begun_anew(database: Database, placed: str, add_node):
    claim(database, placed)
    with database.writing() as connection:
        attempts.started(connection, placed, at=NOON)
    add_node(incarnation="i2")

    assert due(database) == ["gpu.n1"]
    assert due(database) == []


def test_a_cancelled_placement_ends_unless_a_worker_was_faster(database: Database, placed: str):
    claim(database, placed)
    with database.writing() as connection:
        attempts.cancel_unclaimed(connection, [placed], now=NOON)

    assert state_of(database)[1].state == "starting"


def test_only_the_present_incarnation_renews(database: Database, add_node):
    add_node(incarnation="i1")
    add_node(incarnation="i2")

    with database.writing() as connection:
        assert not nodes.renew(connection, "n1", incarnation="i1", now=NOON)
        assert nodes.renew(connection, "n1", incarnation="i2", now=NOON)


def test_a_node_that_renewed_meanwhile_is_not_declared_lost(database: Database, add_node):
    add_node()
    with database.writing() as connection:
        seen = snapshot.load(connection, now=NOON).renewals
        nodes.renew(connection, "n1", incarnation="i1", now=NOON)
        nodes.declare_lost(connection, seen, now=NOON)
        assert fleet.load_nodes(connection, now=NOON)[0].state == "ready"
        nodes.declare_lost(connection, snapshot.load(connection, now=NOON).renewals, now=NOON)
        assert fleet.load_nodes(connection, now=NOON)[0].state == "lost"
        nodes.renew(connection, "n1", incarnation="i1", now=NOON)
        assert fleet.load_nodes(connection, now=NOON)[0].state == "ready"


def test_a_drain_outlasts_a_restart_of_the_worker(database: Database, add_node):
    add_node()
    with database.writing() as connection:
        assert nodes.set_state(connection, "n1", "draining")
    add_node(incarnation="i2", gpus=1)

    with database.reading() as connection:
        (node,) = fleet.load_nodes(connection, now=NOON)
    assert (node.state, len(node.devices)) == ("draining", 1)


def test_only_blocked_jobs_that_can_move_are_looked_at(database: Database, add_job):
    add_job("later", state="blocked", start_after=NOON + timedelta(hours=1))
    add_job("now", state="blocked", start_after=NOON)

    with database.reading() as connection:
        assert [job.job_id for job in snapshot.load(connection, now=NOON).blocked] == ["now"]


def test_of_each_shape_only_as_many_are_looked_at_as_could_start(database: Database, add_job, add_node):
    add_node(cpus=3)
    for number in range(5):
        add_job(f"j{number:03}", created_at=NOON + timedelta(seconds=number))
    add_job("big", gpus=2)

    with database.reading() as connection:
        waiting = [job.job_id for job in snapshot.load(connection, now=NOON).waiting]

    assert sorted(waiting) == ["big", "j000", "j001", "j002"]


def test_while_no_node_has_room_only_the_first_of_each_lane_is_read(database: Database, add_job, add_node):
    add_node(cpus=1)
    add_job("running", cpus=1)
    add_job("next")
    add_job("then")
    with database.writing() as connection:
        place(connection, Placement("running", "n1", Request(), {}))

    with database.reading() as connection:
        assert [job.job_id for job in snapshot.load(connection, now=NOON).waiting] == ["next"]
