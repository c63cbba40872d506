from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from levare.errors import CanNeverRun, Conflict, UnknownNeeds
from levare.model import Rules
from levare.store import jobs, tables, views
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = Actor("token-a", "anna", source="10.0.0.7")
BERT = Actor("token-b", "bert")

Submit = Callable[..., Mapping[str, Any]]


@pytest.fixture
def submit(database: Database) -> Submit:
    def submit(job_id: str = "j1", actor: Actor = ANNA, **wish: Any) -> Mapping[str, Any]:
        wish = {"command": ["true"]} | wish
        with database.writing() as connection:
            return jobs.submit(connection, Submission(**wish), job_id=job_id, actor=actor, now=NOON)

    return submit


def count(database: Database, table: str) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar_one()


def read(database: Database, job_id: str) -> Mapping[str, Any]:
    with database.reading() as connection:
        return views.job(connection, job_id)


def test_a_job_that_needs_nothing_waits(submit: Submit):
    assert submit()["state"] == "waiting"


def test_what_a_submit_returns_is_what_is_read_later(submit: Submit, database: Database, add_job: Callable[..., str]):
    add_job("first")

    job = submit(
        needs={"first": "success"}, env={"A": "ü"}, gpu_memory_mib=1024, start_after=NOON, timeout_seconds=7, cwd="/x"
    )

    assert job == read(database, "j1")


RARE = {
    "scratch_mib": 1,
    "gpu_model": "H100",
    "resources": {"licence": 2},
    "require": {"disk": "nvme"},
    "prefer": {"zone": "a"},
    "avoid": {"zone": "b"},
    "nodes": 2,
    "spread": True,
    "retry_on": ["lost"],
    "backoff_seconds": 1,
    "memory_growth": 1.5,
    "preemptible": False,
    "min_runtime_seconds": 7,
    "warning_signal": "USR1",
    "warning_seconds": 9,
    "deadline": NOON + timedelta(hours=1),
    "only_between": "22:00-06:00",
}


def test_what_few_jobs_ask_for_is_kept(submit: Submit, database: Database):
    job = submit(**RARE)

    assert job == read(database, "j1")
    assert RARE.items() <= job.items()


@pytest.mark.parametrize(("hours", "state"), [(1, "blocked"), (0, "waiting"), (-1, "waiting")])
def test_a_job_is_blocked_until_its_time(submit: Submit, hours: int, state: str):
    assert submit(start_after=NOON + timedelta(hours=hours))["state"] == state


@pytest.mark.parametrize(
    ("needed", "state"), [("waiting", "blocked"), ("running", "blocked"), ("succeeded", "waiting")]
)
def test_a_job_is_blocked_until_all_it_needs_has_succeeded(
    submit: Submit, add_job: Callable[..., str], needed: str, state: str
):
    add_job("done", state="succeeded")
    add_job("needed", state=needed)

    assert submit(needs={"done": "success", "needed": "success"})["state"] == state


def test_unknown_needs_are_named_and_nothing_is_kept(submit: Submit, database: Database, add_job: Callable[..., str]):
    add_job("known")

    with pytest.raises(UnknownNeeds, match="nope") as caught:
        submit(needs={"known": "success", "nope": "success"})

    assert [fault.value for fault in caught.value.faults] == ["nope"]
    assert (count(database, "jobs"), count(database, "audit")) == (1, 0)


@pytest.mark.parametrize("state", ["failed", "cancelled"])
def test_a_need_that_can_no_longer_succeed_is_refused_by_name(submit: Submit, add_job: Callable[..., str], state: str):
    add_job("gone", state=state)

    with pytest.raises(Conflict, match=f"gone has to succeed, but .*{state}"):
        submit(needs={"gone": "success"})


@pytest.mark.parametrize(("state", "outcome"), [("failed", "failure"), ("failed", "always"), ("cancelled", "always")])
def test_a_need_of_another_outcome_is_met_by_it(submit: Submit, add_job: Callable[..., str], state: str, outcome: str):
    add_job("over", state=state)

    job = submit(needs={"over": outcome})

    assert (job["state"], job["needs"]) == ("waiting", [{"job": "over", "on": outcome}])


def test_more_than_any_node_has_is_refused_with_the_numbers(submit: Submit, add_node: Callable[..., str]):
    add_node(gpus=2)

    with pytest.raises(CanNeverRun) as caught:
        submit(gpus=3)

    assert [(fault.field, fault.value, fault.limit) for fault in caught.value.faults] == [("gpus", 3, 2)]
    assert caught.value.next_step


@pytest.mark.parametrize(
    ("wish", "field", "next_step"),
    [
        ({"require": {"disk": "nvme"}}, "require", "Name one that there is"),
        ({"gpu_model": "B200"}, "gpu_model", "Name one that there is"),
        ({"resources": {"fpga": 1}}, "resources.fpga", "Name one that there is"),
        ({"cpus": 1000}, "cpus", "Ask for less"),
    ],
)
def test_a_name_that_no_node_has_is_not_advised_to_ask_for_less(
    submit: Submit, add_node: Callable[..., str], wish: dict[str, Any], field: str, next_step: str
):
    add_node(gpus=2)

    with pytest.raises(CanNeverRun) as caught:
        submit(**wish)

    assert ([fault.field for fault in caught.value.faults], caught.value.next_step.startswith(next_step)) == (
        [field],
        True,
    )


def test_a_node_that_joins_counts_at_once_whatever_was_read_of_the_fleet_just_before(
    submit: Submit, add_node: Callable[..., str]
):
    submit(job_id="before", gpus=4)  # nobody has joined
    add_node(gpus=2)
    with pytest.raises(CanNeverRun):
        submit(job_id="too-large", gpus=4)

    add_node("n2", gpus=4)

    assert submit(job_id="fits", gpus=4)["state"] == "waiting"


def test_before_any_node_has_joined_every_job_is_taken(submit: Submit):
    assert submit(gpus=64)["state"] == "waiting"


def test_gpu_memory_without_gpus_means_one_gpu(submit: Submit):
    assert submit(gpu_memory_mib=1024)["gpus"] == 1


def test_a_cancel_is_a_wish_that_changes_no_state(submit: Submit, database: Database):
    submit()

    with database.writing() as connection:
        job = jobs.wish_cancel(connection, "j1", actor=BERT, now=NOON + timedelta(minutes=1))

    assert (job["state"], job["cancel_requested_at"]) == ("waiting", NOON + timedelta(minutes=1))


def test_the_first_cancel_counts(submit: Submit, database: Database):
    submit()

    for minute, actor in ((1, BERT), (2, ANNA)):
        with database.writing() as connection:
            jobs.wish_cancel(connection, "j1", actor=actor, now=NOON + timedelta(minutes=minute))

    assert read(database, "j1")["cancel_requested_at"] == NOON + timedelta(minutes=1)
    assert count(database, "audit") == 2


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_a_final_job_is_not_touched_by_a_cancel(database: Database, add_job: Callable[..., str], state: str):
    add_job(state=state)

    with database.writing() as connection:
        job = jobs.wish_cancel(connection, "job", actor=ANNA, now=NOON)

    assert (job["state"], job["cancel_requested_at"]) == (state, None)
    assert count(database, "audit") == 0


def test_each_write_leaves_who_what_and_from_where(submit: Submit, database: Database):
    submit(env={"PASSWORD": "hidden"})
    with database.writing() as connection:
        jobs.wish_cancel(connection, "j1", actor=ANNA, now=NOON)

    with database.reading() as connection:
        rows = connection.execute(select(tables.audit).order_by(tables.audit.c.id)).all()
    assert [(row.actor, row.action, row.object, row.source) for row in rows] == [
        ("anna", "job.submitted", "j1", "10.0.0.7"),
        ("anna", "job.cancel_requested", "j1", "10.0.0.7"),
    ]
    assert "hidden" not in str(rows)


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["python", "-u", "examples/digits/train.py", "--lr", "1"], "train.py"),
        (["/opt/bin/convert", "data"], "convert"),
        (["sh", "-c", "exit 0"], "sh"),
    ],
)
def test_a_job_without_a_name_is_called_after_its_script_or_program(command: list[str], name: str):
    assert jobs.name_of(command) == name


def test_a_licence_of_the_fleet_is_no_thing_that_a_node_must_have(database: Database, add_node: Callable[..., str]):
    add_node()
    rules = Rules(licences={"matlab": 5})
    for amount, job_id in ((5, "j1"), (6, "j2")):
        wish = Submission(command=["true"], resources={"matlab": amount})
        with database.writing() as connection, suppress(CanNeverRun):
            jobs.submit(connection, wish, job_id=job_id, actor=ANNA, now=NOON, rules=rules)

    assert (read(database, "j1")["state"], count(database, "jobs")) == ("waiting", 1)
