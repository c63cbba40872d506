from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import func, select

from beat.leader import Leader
from beat.tick import Tick
from levare.errors import InvalidPipeline, UnknownNeeds
from levare.model import Rules
from levare.store import attempts, pipelines, tables, views
from levare.store.attempts import Claimed, Outcome
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission
from levare.store.pipelines import PipelineWish

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = Actor("token-a", "anna")

Submit = Callable[..., Mapping[str, Any]]


@pytest.fixture
def submit(database: Database) -> Submit:
    """Steps by name, each with its needs."""

    def submit(**steps: dict[str, str]) -> Mapping[str, Any]:
        wishes = [(step, Submission(command=["true"], needs=needs)) for step, needs in steps.items()]
        ids = ["p", *(f"j-{step}" for step in steps)]
        with database.writing() as connection:
            wish = PipelineWish(name="nightly", steps=wishes)
            return pipelines.submit(connection, wish, ids=ids, actor=ANNA, now=NOON)

    return submit


@pytest.fixture
def tick(database: Database, add_node: Callable[..., str]) -> Tick:
    add_node()
    leader = Leader(database)
    assert leader.leads()
    return Tick(database, leader, Rules())


def run(database: Database, job_id: str, state: str = "succeeded", *, node: str = "n1") -> Claimed:
    with database.writing() as connection:
        claimed = attempts.claim(connection, f"{job_id}-1", node=node, incarnation="i1", at=NOON)
        assert claimed
        assert attempts.finish(connection, f"{job_id}-1", Outcome(state, "It ended."))
    return claimed


def settle(tick: Tick) -> None:
    rounds = 0
    while tick.run(now=NOON)[1]:
        rounds += 1
        assert rounds < 10


def states(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        found = pipelines.pipeline(connection, "p")
    return {"": found["state"], **{step["step"]: step["state"] for step in found["steps"]}}


def count(database: Database, table: str) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar_one()


def test_steps_need_each_other_by_name_in_whatever_order_they_come(submit: Submit):
    made = submit(b={"a": "success"}, a={})

    assert (made["name"], made["state"]) == ("nightly", "waiting")
    assert {step["step"]: (step["job"], step["state"], step["needs"]) for step in made["steps"]} == {
        "a": ("j-a", "waiting", []),
        "b": ("j-b", "blocked", ["a"]),
    }


def test_a_pipeline_fans_out_and_in_and_hands_on_its_outputs(database: Database, submit: Submit, tick: Tick):
    submit(a={}, b={"a": "success"}, c={"a": "success"}, d={"b": "success", "c": "success"})
    settle(tick)
    run(database, "j-a")
    settle(tick)
    assert states(database) == {"": "running", "a": "succeeded", "b": "placed", "c": "placed", "d": "blocked"}
    assert run(database, "j-b").inputs == [("a", "j-a")]
    settle(tick)
    assert states(database)["d"] == "blocked"
    run(database, "j-c")
    settle(tick)

    assert run(database, "j-d").inputs == [("b", "j-b"), ("c", "j-c")]
    settle(tick)
    assert states(database)[""] == "succeeded"


def test_a_failure_skips_what_follows_and_starts_what_waits_for_it(database: Database, submit: Submit, tick: Tick):
    submit(a={}, b={"a": "success"}, c={"b": "success"}, tell={"a": "failure"}, clean={"c": "always"})
    settle(tick)
    run(database, "j-a", "failed")
    settle(tick)

    assert states(database) == {
        "": "running",
        "a": "failed",
        "b": "cancelled",
        "c": "cancelled",
        "clean": "placed",
        "tell": "placed",
    }


def test_a_step_prefers_the_node_where_what_it_needs_has_run(database: Database, submit: Submit, tick: Tick):
    submit(a={}, b={"a": "success"})
    settle(tick)
    run(database, "j-a")
    settle(tick)

    with database.reading() as connection:
        assert views.job(connection, "j-b")["prefer"] == {"node": "n1"}


def test_a_cycle_is_refused_by_its_names_and_nothing_is_kept(database: Database, submit: Submit):
    with pytest.raises(InvalidPipeline, match="b -> c -> d -> b"):
        submit(a={}, b={"a": "success", "c": "success"}, c={"d": "success"}, d={"b": "always"})

    assert (count(database, "jobs"), count(database, "pipelines")) == (0, 0)


def test_a_need_that_is_neither_a_step_nor_a_job_is_refused(database: Database, submit: Submit):
    with pytest.raises(UnknownNeeds, match="Step b: No such step or job: nope") as refusal:
        submit(a={}, b={"a": "success", "nope": "success"})

    assert [fault.field for fault in refusal.value.faults] == ["jobs.1.needs"]

    assert (count(database, "jobs"), count(database, "pipelines")) == (0, 0)


def test_steps_are_listed_after_those_that_they_need(submit: Submit):
    made = submit(alpha={"zeta": "always"}, beta={"alpha": "success"}, zeta={})

    assert [step["step"] for step in made["steps"]] == ["zeta", "alpha", "beta"]


def test_a_step_may_need_a_job_of_before(submit: Submit, add_job: Callable[..., str]):
    add_job("before")

    [step] = submit(a={"before": "always"})["steps"]

    assert (step["state"], step["needs"]) == ("blocked", [{"job": "before", "on": "always"}])


def test_names_that_make_one_variable_are_refused(database: Database):
    wish = PipelineWish(name="", steps=[(step, Submission(command=["true"])) for step in ("a-b", "A_b")])

    with database.writing() as connection, pytest.raises(InvalidPipeline, match="'A_b' and 'a-b'"):
        pipelines.submit(connection, wish, ids=["p", "x", "y"], actor=ANNA, now=NOON)


def test_a_cancel_ends_every_step(database: Database, submit: Submit, tick: Tick):
    submit(a={}, b={"a": "always"})
    with database.writing() as connection:
        pipelines.wish_cancel(connection, "p", actor=ANNA, now=NOON)
    settle(tick)

    assert states(database) == {"": "cancelled", "a": "cancelled", "b": "cancelled"}
