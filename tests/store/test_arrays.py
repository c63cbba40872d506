from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update

from beat.leader import Leader
from beat.tick import Tick
from levare.decide.arrays import size_of
from levare.errors import InvalidArray, NotFound
from levare.model import Elements, Placement, Request, Rules
from levare.store import attempts, explain, job_lists, jobs, tables, views, wishes
from levare.store.arrays import open_elements
from levare.store.attempts import Outcome
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.job_lists import JobFilter
from levare.store.jobs import Submission

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ANNA = Actor("token-a", "anna")
GRID = {"lr": [0.1, 0.01], "seed": [1, 2]}


@pytest.fixture
def submit(database: Database) -> Callable[..., Mapping[str, Any]]:
    def submit(array: Elements, job_id: str = "a", **wish: Any) -> Mapping[str, Any]:
        submission = Submission(**{"command": ["train", "--i={index}"], "array": array, **wish})
        with database.writing() as connection:
            return jobs.submit(connection, submission, job_id=job_id, actor=ANNA, now=NOON)

    return submit


@pytest.fixture
def tick(database: Database, add_node: Callable[..., str]) -> Tick:
    add_node(cpus=8)
    leader = Leader(database)
    assert leader.leads()
    return Tick(database, leader, rules=Rules(lost_after=timedelta(seconds=60)))


def read(database: Database, job_id: str) -> Mapping[str, Any]:
    with database.reading() as connection:
        return views.job(connection, job_id)


def placed(database: Database) -> list[str]:
    with database.reading() as connection:
        return list(connection.execute(select(tables.attempts.c.job_id).order_by(tables.attempts.c.job_id)).scalars())


def end(database: Database, job_id: str, state: str = "succeeded") -> None:
    with database.writing() as connection:
        assert attempts.claim(connection, f"{job_id}-1", node="n1", incarnation="i1", at=NOON)
        assert attempts.started(connection, f"{job_id}-1", at=NOON)
        assert attempts.finish(connection, f"{job_id}-1", Outcome(state, "It ended.", int(state != "succeeded")))


def test_an_array_is_one_row_until_an_element_starts(database: Database, submit):
    array = submit(Elements(1_000_000))

    assert array == read(database, "a")
    assert (array["state"], array["array"]["size"], array["array"]["waiting"]) == ("waiting", 1_000_000, 1_000_000)
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(tables.jobs)).scalar_one() == 1


def test_as_many_elements_start_as_there_is_room_for(database: Database, submit, tick: Tick):
    submit(Elements(100), cpus=2)

    messages, _ = tick.run(now=NOON)

    assert [message.attempt_id for message in messages] == ["a_0-1", "a_1-1", "a_2-1", "a_3-1"]
    assert read(database, "a")["array"] == {
        "size": 100,
        "cap": None,
        "opened": 4,
        "waiting": 96,
        "running": 4,
        "succeeded": 0,
        "failed": 0,
        "cancelled": 0,
    }


def test_an_element_is_a_job_with_its_parameters_in_place(database: Database, submit, tick: Tick):
    grid = Elements(size_of(GRID), grid=tuple(GRID.items()))
    submit(grid, command=["train", "--lr={lr}", "{{}}"], env={"A": "1"}, cpus=2)
    tick.run(now=NOON)

    element = read(database, "a_1")

    assert element["command"] == ["train", "--lr=0.1", "{}"]
    assert (element["parameters"], element["array_id"], element["array_index"]) == ({"lr": 0.1, "seed": 2}, "a", 1)
    assert element["env"] == {
        "A": "1",
        "LEVARE_ARRAY_INDEX": "1",
        "LEVARE_ARRAY_SIZE": "4",
        "LEVARE_PARAM_LR": "0.1",
        "LEVARE_PARAM_SEED": "2",
    }
    assert (element["array"], element["state"], element["created_at"]) == (None, "placed", NOON)


def test_no_more_elements_are_alive_than_the_cap_says(database: Database, submit, tick: Tick):
    submit(Elements(10, cap=2))
    tick.run(now=NOON)
    tick.run(now=NOON)
    assert placed(database) == ["a_0", "a_1"]
    with database.reading() as connection:
        [reason] = explain.load(connection, "a", now=NOON).tell()["reasons"]
    assert reason.message == "2 of its elements have begun and not ended, which is its cap."

    end(database, "a_0")
    _, again = tick.run(now=NOON)
    tick.run(now=NOON)

    assert again
    assert placed(database) == ["a_0", "a_1", "a_2"]


def test_a_capped_array_does_not_hold_up_what_comes_behind_it(database: Database, submit, add_job, tick: Tick):
    submit(Elements(10, cap=1))
    tick.run(now=NOON)
    add_job("later", user="anna")

    tick.run(now=NOON)

    assert placed(database) == ["a_0", "later"]


def test_an_array_ends_when_its_elements_have(database: Database, submit, tick: Tick):
    submit(Elements(2), retries=0)
    tick.run(now=NOON)
    tick.run(now=NOON)
    assert read(database, "a")["state"] == "running"
    end(database, "a_0", "failed")
    end(database, "a_1")
    tick.run(now=NOON)
    tick.run(now=NOON)

    array = read(database, "a")

    assert (array["state"], array["reason"]) == ("failed", "1 of 2 elements failed: 0.")
    assert array["finished_at"] == NOON


def test_what_needs_an_array_starts_after_its_last_element(database: Database, submit, tick: Tick):
    submit(Elements(1))
    with database.writing() as connection:
        wish = Submission(command=["true"], needs={"a": "success"})
        jobs.submit(connection, wish, job_id="then", actor=ANNA, now=NOON)
    tick.run(now=NOON)
    tick.run(now=NOON)
    assert read(database, "then")["state"] == "blocked"
    end(database, "a_0")
    rounds = 0
    while tick.run(now=NOON)[1]:
        rounds += 1
        assert rounds < 10

    assert "then" in placed(database)


def test_a_retried_element_waits_again_and_counts_against_the_cap(database: Database, submit, tick: Tick):
    submit(Elements(5, cap=1), retries=1)
    tick.run(now=NOON)
    end(database, "a_0", "failed")
    tick.run(now=NOON)
    tick.run(now=NOON)

    assert placed(database) == ["a_0", "a_0"]


def test_a_cancel_ends_the_open_elements_and_opens_no_more(database: Database, submit, tick: Tick):
    submit(Elements(10, cap=2))
    tick.run(now=NOON)
    with database.writing() as connection:
        jobs.wish_cancel(connection, "a", actor=ANNA, now=NOON)
    for _ in range(4):
        tick.run(now=NOON)

    array = read(database, "a")

    assert (array["state"], array["array"]["cancelled"], placed(database)) == ("cancelled", 10, ["a_0", "a_1"])
    assert {read(database, f"a_{index}")["state"] for index in (0, 1)} == {"cancelled"}


def test_a_cancelled_array_is_not_over_before_its_elements(database: Database, submit, tick: Tick):
    submit(Elements(10, cap=1))
    tick.run(now=NOON)
    with database.writing() as connection:
        assert attempts.claim(connection, "a_0-1", node="n1", incarnation="i1", at=NOON)
        jobs.wish_cancel(connection, "a", actor=ANNA, now=NOON)
    tick.run(now=NOON)
    tick.run(now=NOON)

    assert (read(database, "a")["state"], read(database, "a_0")["state"]) == ("running", "starting")
    with database.reading() as connection:
        assert [wish.attempt_id for wish in wishes.end_wishes(connection, "n1")] == ["a_0-1"]


def test_an_array_of_which_nothing_has_begun_is_cancelled_at_once(database: Database, submit, tick: Tick):
    submit(Elements(10), gpus=2)
    with database.writing() as connection:
        jobs.wish_cancel(connection, "a", actor=ANNA, now=NOON)
    tick.run(now=NOON)

    assert (read(database, "a")["state"], placed(database)) == ("cancelled", [])


@pytest.mark.parametrize("change", [{"cancel_requested_at": NOON}, {"array_next": 9}, {"state": "blocked"}])
def test_elements_open_only_while_the_array_still_has_them(database: Database, submit, change: dict[str, Any]):
    submit(Elements(10))
    with database.writing() as connection:
        connection.execute(update(tables.jobs).values(**change))
        two = [Placement("a", "n1", Request()), Placement("a", "n1", Request())]

        assert open_elements(connection, two, now=NOON) == []


def test_the_ranks_of_a_gang_belong_to_one_element(database: Database, submit):
    submit(Elements(10))
    ranks = [Placement("a", f"n{number}", Request(nodes=2), rank=number % 2) for number in range(4)]

    with database.writing() as connection:
        found = open_elements(connection, ranks, now=NOON)

    assert [(placement.job_id, placement.rank) for placement in found] == [
        ("a_0", 0),
        ("a_0", 1),
        ("a_1", 0),
        ("a_1", 1),
    ]


def test_elements_are_listed_only_when_asked_for(database: Database, submit, tick: Tick):
    submit(Elements(12))
    tick.run(now=NOON)

    def ids(after: tuple[datetime, str] | None = None, **wanted: Any) -> list[str]:
        with database.reading() as connection:
            rows = job_lists.find(connection, JobFilter(**wanted), limit=3, after=after, newest_first=False)
        return [row["id"] for row in rows]

    assert ids() == ["a"]
    assert ids(states=["placed"]) == ["a_0", "a_1", "a_2"]
    assert ids(array="a", after=(NOON, "a_4")) == ["a_5", "a_6", "a_7"]


@pytest.mark.parametrize(
    ("job_id", "told"),
    [("a_3", "has not begun. `levare why a` says why."), ("a_10", "has 10 elements"), ("b_1", "no job")],
)
def test_an_element_that_is_no_job_says_why(database: Database, submit, job_id: str, told: str):
    submit(Elements(10))

    with pytest.raises(NotFound, match=told):
        read(database, job_id)


def test_braces_that_name_no_parameter_are_refused(submit):
    with pytest.raises(InvalidArray, match=r"\{lr\} in the command is no parameter") as caught:
        submit(Elements(10), command=["train", "{lr}"])

    assert [fault.field for fault in caught.value.faults] == ["command.1"]
