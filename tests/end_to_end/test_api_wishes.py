"""What a job may ask for beside a command and some room: what is taken comes back, what is wrong is named."""

from typing import Any

import pytest
from sqlalchemy import update

from levare.model import Placement, Request
from levare.store import attempts, tables
from tests.end_to_end.serving import NOON, Api, refused

TRUE = {"command": ["true"]}
WRONG = [
    ({"scratch_mib": -1}, "scratch_mib", -1, "at least 0"),
    ({"gpu_model": ""}, "gpu_model", "", "a part of a model's name"),
    ({"gpu_model": " H100"}, "gpu_model", " H100", "a part of a model's name"),
    ({"resources": {"licence": 0}}, "resources.licence", 0, "at least 1"),
    ({"resources": {"licence": 10**7}}, "resources.licence", 10**7, "at most 1000000"),
    ({"resources": {"a b": 1}}, "resources.a b", "a b", "letters, digits and . _ -"),
    ({"resources": ["licence"]}, "resources", None, "an object"),
    ({"require": {"zone": ""}}, "require.zone", "", "letters, digits and . _ -"),
    ({"require": {"zone": 1}}, "require.zone", 1, "text"),
    ({"prefer": {"-": "a"}}, "prefer.-", "-", "letters, digits and . _ -"),
    ({"avoid": {"zone": "*"}}, "avoid.zone", "*", "letters, digits and . _ -"),
    ({"avoid": {f"l{i}": "a" for i in range(65)}}, "avoid", None, "at most 64"),
    ({"nodes": 0}, "nodes", 0, "at least 1"),
    ({"nodes": 65}, "nodes", 65, "at most 64"),
    ({"spread": 1}, "spread", 1, "true or false"),
    ({"retry_on": ["oom"]}, "retry_on.0", "oom", "out_of_memory"),
    ({"retry_on": ["exit:0"]}, "retry_on.0", "exit:0", "exit:64-78"),
    ({"retry_on": ["exit:256"]}, "retry_on.0", "exit:256", "exit:64-78"),
    ({"retry_on": ["lost", "lost"]}, "retry_on", None, "free of repetitions"),
    ({"backoff_seconds": 86401}, "backoff_seconds", 86401, "at most 86400"),
    ({"memory_growth": 0.5}, "memory_growth", 0.5, "at least 1"),
    ({"memory_growth": 4.1}, "memory_growth", 4.1, "at most 4"),
    ({"preemptible": "no"}, "preemptible", "no", "true or false"),
    ({"min_runtime_seconds": -1}, "min_runtime_seconds", -1, "at least 0"),
    ({"warning_signal": "KILL"}, "warning_signal", "KILL", "'USR1'"),
    ({"warning_seconds": -1}, "warning_seconds", -1, "at least 0"),
    ({"deadline": "2190-01-01T00:00:00"}, "deadline", "2190-01-01T00:00:00", "with a zone"),
    ({"only_between": "22-6"}, "only_between", "22-6", "such as 22:00-06:00"),
    ({"only_between": "22:00-24:00"}, "only_between", "22:00-24:00", "such as 22:00-06:00"),
]
CONTRADICTIONS = [
    ({"deadline": "2020-01-01T00:00:00Z"}, "deadline", "2020-01-01T00:00:00Z", "later than 20"),
    (
        {"deadline": "2190-01-01T00:00:00Z", "start_after": "2190-01-01T02:00:00+02:00"},
        "deadline",
        "2190-01-01T00:00:00Z",
        "later than 2190-01-01T00:00:00Z",
    ),
    ({"only_between": "06:00-06:00"}, "only_between", "06:00-06:00", "such as 22:00-06:00"),
    ({"require": {"disk": "ssd"}, "avoid": {"disk": "ssd"}}, "avoid.disk", "ssd", "require.disk"),
    ({"warning_seconds": 60}, "warning_seconds", 60, "warning_signal"),
    ({"warning_signal": "USR1"}, "warning_signal", "USR1", "warning_seconds"),
    ({"retry_on": ["lost", "exit:9-3"]}, "retry_on.1", "exit:9-3", "exit:3-9"),
]
RIGHT = [
    {"scratch_mib": 51200, "gpu_model": "a100-SXM4 80GB", "resources": {"licence": 2}},
    {"require": {"disk": "nvme", "zone": "a"}, "prefer": {"zone": "b"}, "avoid": {"disk": "hdd", "node": "n9"}},
    {"nodes": 4, "spread": True, "gpu_memory_mib": 1024},
    {"retry_on": ["failed", "timed_out", "out_of_memory", "lost", "preempted", "exit:75", "exit:64-78"]},
    {"backoff_seconds": 30, "memory_growth": 1.5, "preemptible": False, "min_runtime_seconds": 0},
    {"warning_signal": "HUP", "warning_seconds": 60, "only_between": "22:00-06:00"},
    {"deadline": "2190-01-01T00:00:00Z", "start_after": "2189-01-01T00:00:00Z"},
]


@pytest.mark.parametrize(("wish", "field", "value", "limit"), WRONG, ids=lambda each: str(each)[:40])
def test_a_wrong_field_is_named_with_its_value_and_its_limit(
    refusing_api: Api, wish: Any, field: str, value: Any, limit: str
):
    [error] = refused(refusing_api.client.post("/v1/jobs", json=TRUE | wish), 422, "invalid-request")["errors"]

    assert error["field"] == field
    assert value is None or error["value"] == value
    assert limit in error["message"]
    assert error["limit"]
    assert refusing_api.count("jobs") == 0


@pytest.mark.parametrize(("wish", "field", "value", "limit"), CONTRADICTIONS, ids=lambda each: str(each)[:40])
def test_what_contradicts_itself_is_refused_with_both_sides(
    refusing_api: Api, wish: Any, field: str, value: Any, limit: str
):
    for query in ("", "?dry_run=true"):
        problem = refused(refusing_api.client.post(f"/v1/jobs{query}", json=TRUE | wish), 422, "contradiction")

        [error] = problem["errors"]
        assert (error["field"], error["value"]) == (field, value)
        assert limit in error["limit"]
        assert str(value) in problem["detail"]
    assert refusing_api.count("jobs") == 0


def test_all_contradictions_are_told_at_once(refusing_api: Api):
    wish = TRUE | {"warning_seconds": 1, "only_between": "06:00-06:00"}

    problem = refused(refusing_api.client.post("/v1/jobs", json=wish), 422, "contradiction")

    assert [error["field"] for error in problem["errors"]] == ["only_between", "warning_seconds"]
    assert "1 more" in problem["detail"]


@pytest.mark.parametrize("wish", RIGHT, ids=lambda wish: next(iter(wish)))
def test_what_was_asked_for_comes_back(api: Api, wish: Any):
    job = api.get(f"/v1/jobs/{api.submit(**wish)}")

    assert wish.items() <= job.items()
    assert job in api.get("/v1/jobs")["items"]


def test_what_was_not_asked_for_has_its_default(api: Api):
    job = api.get(f"/v1/jobs/{api.submit()}")

    none = dict.fromkeys(("gpu_model", "warning_signal", "deadline", "only_between", "pipeline", "step", "array"))
    zero = dict.fromkeys(("scratch_mib", "backoff_seconds", "warning_seconds"), 0)
    empty = {"resources": {}, "require": {}, "prefer": {}, "avoid": {}, "retry_on": [], "parameters": {}}
    others = {"nodes": 1, "spread": False, "memory_growth": 1.0, "preemptible": True, "min_runtime_seconds": 300}
    assert (none | zero | empty | others | {"array_id": None, "array_index": None}).items() <= job.items()


def test_a_model_of_a_gpu_means_one_gpu(refusing_api: Api):
    assert refusing_api.get(f"/v1/jobs/{refusing_api.submit(gpu_model='H100')}")["gpus"] == 1


def test_a_signal_may_be_written_with_its_prefix(refusing_api: Api):
    job_id = refusing_api.submit(warning_signal="SIGUSR2", warning_seconds=5)

    assert refusing_api.get(f"/v1/jobs/{job_id}")["warning_signal"] == "USR2"


def test_a_node_tells_what_it_offers_and_what_of_it_is_free(api: Api):
    api.join(labels={"zone": "a", "node": "n1"}, scratch_mib=4096, resources={"licence": 3}, address="10.0.0.7")
    job_id = api.submit(scratch_mib=1024, resources={"licence": 1})
    with api.database.writing() as connection:
        request = Request(scratch_mib=1024, resources=(("licence", 1),))
        attempts.place(connection, [Placement(job_id, "n1", request)], {}, now=NOON)

    node = api.get("/v1/nodes/n1")

    assert node["labels"] == {"zone": "a", "node": "n1"}
    assert (node["scratch_mib"], node["scratch_free_mib"], node["address"]) == (4096, 3072, "10.0.0.7")
    assert (node["resources"], node["resources_free"]) == ({"licence": 3}, {"licence": 2})
    assert (node["excluded_until"], node["excluded_reason"]) == (None, None)
    assert api.get("/v1/nodes")["items"] == [node]


def test_a_node_and_a_gpu_tell_until_when_and_why_they_are_excluded(api: Api):
    api.join(gpus=1)
    why = {"excluded_until": NOON, "excluded_reason": "It failed 3 times."}
    with api.database.writing() as connection:
        for table in (tables.nodes, tables.devices):
            connection.execute(update(table).values(**why))

    node = api.get("/v1/nodes/n1")

    told = {"excluded_until": "2026-01-01T12:00:00Z", "excluded_reason": "It failed 3 times."}
    assert told.items() <= node.items()
    assert told.items() <= node["devices"][0].items()


@pytest.mark.parametrize(
    ("wish", "field", "value", "limit"),
    [
        ({"scratch_mib": 4097}, "scratch_mib", 4097, 4096),
        ({"resources": {"licence": 4}}, "resources.licence", 4, 3),
        ({"resources": {"other": 1}}, "resources.other", 1, 0),
        ({"nodes": 2}, "nodes", 2, 1),
        ({"require": {"zone": "b"}}, "require", 1, 0),
        ({"avoid": {"zone": "a"}}, "avoid", 1, 0),
        ({"gpu_model": "A100"}, "gpu_model", 1, 0),
    ],
)
def test_what_no_node_offers_is_refused_with_the_numbers(api: Api, wish: Any, field: str, value: int, limit: int):
    api.join(labels={"zone": "a"}, scratch_mib=4096, resources={"licence": 3})

    [error] = refused(api.client.post("/v1/jobs", json=TRUE | wish), 422, "can-never-run")["errors"]

    assert (error["field"], error["value"], error["limit"]) == (field, value, limit)
