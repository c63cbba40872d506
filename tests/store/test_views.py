from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levare.errors import NotFound
from levare.model import Placement, Request
from levare.store import attempts, job_lists, shipping, tables, trends, views
from levare.store.engine import Database
from levare.store.job_lists import JobFilter
from levare.store.shipping import Point, Points

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
AddJob = Callable[..., str]
AddNode = Callable[..., str]


def place(database: Database, job_id: str, devices: Mapping[str, int] | None = None, cpus: int = 1) -> str:
    request = Request(len(devices or {}), None, cpus)
    with database.writing() as connection:
        return attempts.place(connection, [Placement(job_id, "n1", request, devices or {})], {}, now=NOON)[0].attempt_id


def listed(database: Database, wanted: JobFilter | None = None, **options: Any) -> list[str]:
    with database.reading() as connection:
        rows = job_lists.find(connection, wanted or JobFilter(), limit=100, **options)
    return [row["id"] for row in rows]


def tell(database: Database, attempt_id: str, *lines: tuple[str | None, dict[str, float | str]]) -> None:
    """Ship lines of metrics, ten bytes each."""
    with database.writing() as connection:
        begin, _ = shipping.metrics_position(connection, attempt_id)
        points = [Point(begin + 10 * i, NOON, stage, i, None, values) for i, (stage, values) in enumerate(lines)]
        assert shipping.append_points(connection, attempt_id, Points(begin, begin + 10 * len(lines), points))


def points(database: Database, attempt_id: str, **wanted: Any) -> list[Any]:
    wanted = {"stage": None, "name": None, "after": -1, "limit": 100} | wanted
    with database.reading() as connection:
        return [(row["offset"], row["values"]) for row in views.points(connection, attempt_id, **wanted)]


def test_a_job_that_does_not_exist_is_named(database: Database):
    with database.reading() as connection, pytest.raises(NotFound, match="nope"):
        views.job(connection, "nope")


@pytest.mark.parametrize(("state", "node"), [("placed", "n1"), ("running", "n1"), ("waiting", None)])
def test_a_job_names_its_node_while_it_is_there(
    database: Database, add_job: AddJob, add_node: AddNode, state: str, node: str | None
):
    add_node()
    add_job()
    place(database, "job")
    with database.writing() as connection:
        connection.execute(tables.jobs.update().values(state=state))

    with database.reading() as connection:
        assert views.job(connection, "job")["node"] == node


def test_pages_neither_lose_nor_repeat_a_job_while_jobs_come(database: Database, add_job: AddJob):
    for i in range(10):
        add_job(f"j{i}", created_at=NOON + timedelta(seconds=i // 3))  # several at one instant
    expected = listed(database)
    seen, after = [], None

    while True:
        with database.reading() as connection:
            page = job_lists.find(connection, JobFilter(), limit=3, after=after)
        if not page:
            break
        seen += [row["id"] for row in page]
        after = page[-1]["created_at"], page[-1]["id"]
        add_job(f"new{len(seen)}", created_at=NOON + timedelta(hours=len(seen)))

    assert seen == expected
    assert seen[0] == "j9"


def test_oldest_first_is_newest_first_backwards(database: Database, add_job: AddJob):
    for i in range(5):
        add_job(f"j{i}", created_at=NOON + timedelta(seconds=i // 2))

    assert listed(database, newest_first=False) == listed(database)[::-1] == [f"j{i}" for i in range(5)]
    assert listed(database, newest_first=False, after=(NOON, "j1")) == ["j2", "j3", "j4"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (JobFilter(states=["running"]), ["b"]),
        (JobFilter(states=["running", "failed"]), ["c", "b"]),
        (JobFilter(team="vision"), ["c", "a"]),
        (JobFilter(team="vision", states=["failed"]), ["c"]),
        (JobFilter(project="x"), ["b"]),
        (JobFilter(name="train"), ["a"]),
        (JobFilter(user="anna"), ["a"]),
        (JobFilter(team="%"), []),
        (JobFilter(seen=()), []),
        (JobFilter(seen=["vision"]), ["c", "a"]),
    ],
)
def test_filters_narrow_a_list(database: Database, add_job: AddJob, wanted: JobFilter, found: list[str]):
    add_job("a", team="vision", name="train", user="anna")
    add_job("b", state="running", project="x", created_at=NOON + timedelta(seconds=1))
    add_job("c", team="vision", state="failed", created_at=NOON + timedelta(seconds=2))

    assert listed(database, wanted) == found


def test_attempts_tell_their_gpus_even_after_a_gpu_has_left(database: Database, add_job: AddJob, add_node: AddNode):
    add_node(gpus=1)
    add_job()
    place(database, "job", {"n1-0": 1024, "gone": 2048})

    with database.reading() as connection:
        [attempt] = views.job_attempts(connection, "job")

    assert attempt["gpus"] == [
        {"uuid": "n1-0", "index": 0, "model": "H100", "memory_mib": 1024},
        {"uuid": "gone", "index": None, "model": "", "memory_mib": 2048},
    ]


def test_the_latest_attempt_is_the_default_and_others_are_named(database: Database, add_job: AddJob, add_node: AddNode):
    add_node()
    add_job()
    with database.reading() as connection:
        assert views.attempt(connection, "job", None) is None

    place(database, "job")

    with database.reading() as connection:
        latest = views.attempt(connection, "job", None)
        assert latest
        assert latest["number"] == 1
        with pytest.raises(NotFound, match="attempts 1 to 1; there is no attempt 2"):
            views.attempt(connection, "job", 2)


def test_a_node_shows_what_is_free_and_who_holds_the_rest(database: Database, add_job: AddJob, add_node: AddNode):
    add_node(gpus=2, cpus=8)
    add_node("n2")
    add_job("a")
    add_job("b")
    place(database, "a", {"n1-0": 1024}, cpus=3)
    place(database, "b", {"n1-0": 2048, "n1-1": 80 * 1024})

    with database.reading() as connection:
        node = views.node(connection, "n1")
        names = [row["name"] for row in views.find_nodes(connection)]

    assert names == ["n1", "n2"]
    assert (node["cpus_free"], node["attempts"]) == (4, ["a-1", "b-1"])
    assert [(card["free_mib"], card["attempts"]) for card in node["devices"]] == [
        (77 * 1024, ["a-1", "b-1"]),
        (0, ["b-1"]),
    ]


@pytest.fixture
def attempt(database: Database, add_job: AddJob, add_node: AddNode) -> str:
    add_node()
    add_job()
    return place(database, "job")


def test_points_come_by_stage_name_and_offset(database: Database, attempt: str):
    tell(database, attempt, ("t", {"a": 1}), ("v", {"a": 2, "b": 3}), (None, {"b": 4}))

    assert points(database, attempt) == [(0, {"a": 1}), (10, {"a": 2, "b": 3}), (20, {"b": 4})]
    assert points(database, attempt, name="b") == [(10, {"b": 3}), (20, {"b": 4})]
    assert points(database, attempt, stage="") == [(20, {"b": 4})]
    assert points(database, attempt, after=0, limit=1) == [(10, {"a": 2, "b": 3})]


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "a.b", "$", "'", "ü", "[0]", "%s"])
def test_a_metric_may_have_any_name(database: Database, attempt: str, name: str):
    tell(database, attempt, ("t", {name: 1.0}), ("t", {"other": 2.0}))

    assert points(database, attempt, name=name) == [(0, {name: 1.0})]
    with database.reading() as connection:
        assert trends.summary(connection, attempt, name=name)["t"][name]["count"] == 1
