import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from levare.model import Placement, Request
from levare.store import attempts, shipping
from levare.store.shipping import Point, Points
from tests.end_to_end.serving import Api, refused

TRUE = {"command": ["true"]}
WRONG = [
    ({"command": ["true"], "gpu": 1}, "gpu", None, "did you mean gpus?"),
    ({"command": ["true"], "gpus": -1}, "gpus", -1, "at least 0"),
    ({"command": ["true"], "gpus": 65}, "gpus", 65, "at most 64"),
    ({"command": ["true"], "gpus": 1.5}, "gpus", 1.5, "whole number"),
    ({"command": ["true"], "gpus": "1"}, "gpus", "1", "whole number"),
    ({"command": ["true"], "gpus": True}, "gpus", True, "whole number"),
    ({"command": ["true"], "gpus": 10**30}, "gpus", str(10**30), "at most 64"),
    ({}, "command", None, "is required"),
    ({"command": []}, "command", "[]", "at least 1"),
    ({"command": [""]}, "command", '[""]', "begins with the name of a program"),
    ({"command": "true"}, "command", "true", "a list"),
    ({"command": ["a\0b"]}, "command.0", "a\0b", "text without NUL"),
    ({"command": ["x" * 131073]}, "command.0", "x" * 200 + "...", "at most 131072"),
    ({"command": ["x" * 70000, "y" * 70000]}, "command", None, "at most 131072 bytes in all"),
    ({"command": ["true"], "env": {"A": "x" * 65535, "B": ""}}, "env", None, "at most 65536 bytes in all"),
    ({"command": ["true"], "env": {"1A": "x"}}, "env.1A", "1A", "not beginning with a digit"),
    ({"command": ["true"], "env": {"A": "\0"}}, "env.A", "\0", "text without NUL"),
    ({"command": ["true"], "env": {"A": 1}}, "env.A", 1, "text"),
    ({"command": ["true"], "name": "a\nb"}, "name", "a\nb", "one line of text"),
    ({"command": ["true"], "name": "\ud800"}, "name", "\\ud800", "Unicode"),
    ({"command": ["true"], "team": "a b"}, "team", "a b", "letters, digits and . _ -"),
    ({"command": ["true"], "priority": 10}, "priority", 10, "at most 9"),
    ({"command": ["true"], "cwd": "here"}, "cwd", "here", "an absolute path"),
    ({"command": ["true"], "on_lost": "ignore"}, "on_lost", "ignore", "'keep' or 'requeue'"),
    ({"command": ["true"], "needs": ["a", "a"]}, "needs", None, "free of repetitions"),
    ({"command": ["true"], "start_after": "2030-01-01T00:00:00"}, "start_after", "2030-01-01T00:00:00", "with a zone"),
    ({"command": ["true"], "start_after": 1790000000}, "start_after", 1790000000, "a time such as"),
    ({"command": ["true"], "start_after": "9999-12-31T23:59:59-23:59"}, "start_after", None, "from 2000 to 2199"),
    ({"command": ["true"], "array": {"list": [{"a": [2]}]}}, "array.list.0.a", "[2]", "text, a number, true or false"),
    ({"command": ["true"], "array": {"grid": {"a": ["\0"]}}}, "array.grid.a.0", "\0", "text without NUL"),
    ({"command": ["true"], "start_after": "soon"}, "start_after", "soon", "a time such as"),
]


@pytest.mark.parametrize(("body", "field", "value", "limit"), WRONG, ids=[f"{w[1]}-{w[3]}"[:40] for w in WRONG])
def test_a_wrong_field_is_named_with_its_value_and_its_limit(
    refusing_api: Api, body: Any, field: str, value: Any, limit: str
):
    content = json.dumps(body)

    answer = refusing_api.client.post("/v1/jobs", content=content, headers={"Content-Type": "application/json"})

    [error] = refused(answer, 422, "invalid-request")["errors"]
    assert error["field"] == field
    assert value is None or error["value"] == value
    assert limit in error["message"]
    assert error["limit"]
    assert (refusing_api.count("jobs"), refusing_api.count("audit")) == (0, 1)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"command": [""]}, 'command is [""]: must be'),
        ({"command": ["a"], "name": 'ü"\n'}, 'name is "ü\\"\\n": must be'),
        ({"command": ["a"], "gpus": None}, "gpus must be"),
        ({"command": ["a"], "gpus": "1"}, 'gpus is "1": must be'),
    ],
)
def test_a_wrong_value_stands_in_the_sentence_as_json_writes_it(refusing_api: Api, wrong: Any, told: str):
    problem = refused(refusing_api.client.post("/v1/jobs", json=wrong), 422, "invalid-request")

    assert problem["detail"].startswith(told)


def test_all_wrong_fields_are_named_at_once(refusing_api: Api):
    problem = refused(refusing_api.client.post("/v1/jobs", json={"gpus": -1, "nmae": "x"}), 422, "invalid-request")

    assert {error["field"] for error in problem["errors"]} == {"command", "gpus", "nmae"}


@pytest.mark.parametrize("body", ["{", "", "[1,", '{"command": ["true"]', "\xff", "[" * 100_000, "1" * 10_000])
def test_what_is_no_json_is_refused(refusing_api: Api, body: str):
    answer = refusing_api.client.post(
        "/v1/jobs", content=body.encode("latin-1"), headers={"Content-Type": "application/json"}
    )

    refused(answer, 422 if body == "" else 400, "invalid-request" if body == "" else "bad-request")
    assert refusing_api.count("jobs") == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"command": ["\xff"]}', "The body is not UTF-8: byte 14 is 0xff."),
        (b"[" * 100_000, "The body is nested too deeply."),
        (b"1" * 10_000, "The body is not JSON: Exceeds the limit (4300 digits)"),
    ],
)
def test_what_cannot_be_read_is_told_with_what_is_wrong(refusing_api: Api, body: bytes, told: str):
    answer = refusing_api.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})

    assert refused(answer, 400, "bad-request")["detail"].startswith(told)


@pytest.mark.parametrize("body", ["[]", "null", '"x"', "1"])
def test_json_that_is_no_object_is_refused(refusing_api: Api, body: str):
    answer = refusing_api.client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})

    refused(answer, 422, "invalid-request")


def test_unknown_needs_are_refused_by_name(api: Api):
    problem = refused(api.client.post("/v1/jobs", json=TRUE | {"needs": ["nosuchjob1"]}), 422, "unknown-needs")

    assert problem["errors"][0]["value"] == "nosuchjob1"
    assert api.count("jobs") == 0


def test_more_gpus_than_any_node_has_are_refused_with_the_numbers(api: Api):
    api.join(gpus=2)

    problem = refused(api.client.post("/v1/jobs", json=TRUE | {"gpus": 3}), 422, "can-never-run")

    assert [(error["field"], error["value"], error["limit"]) for error in problem["errors"]] == [("gpus", 3, 2)]
    assert api.count("jobs") == 0


def test_a_job_is_made_as_it_was_asked_for_and_found_where_it_says(api: Api):
    wish = TRUE | {"name": "träne", "env": {"A": "1"}, "cwd": "/tmp", "gpu_memory_mib": 1024, "timeout_seconds": 60}

    answer = api.client.post("/v1/jobs", json=wish | {"start_after": "2026-01-01T01:00:00+01:00"})

    job = answer.json()
    assert answer.status_code == 201
    assert wish.items() <= job.items()
    assert (job["gpus"], job["user"], job["state"], job["attempt"]) == (1, "admin", "waiting", 0)
    assert job["start_after"] == "2026-01-01T00:00:00Z"
    assert api.get(answer.headers["Location"]) == job


def test_a_whole_number_may_be_written_with_a_point(local_api: Api):
    assert local_api.get(f"/v1/jobs/{local_api.submit(gpus=2.0)}")["gpus"] == 2


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "ü"])
def test_a_key_that_is_no_key_is_refused(local_api: Api, key: str):
    answer = local_api.client.post("/v1/jobs", json=TRUE, headers=[(b"Idempotency-Key", key.encode())])

    assert refused(answer, 422, "invalid-request")["errors"][0]["field"].lower() == "idempotency-key"
    assert local_api.count("jobs") == 0


def test_a_dry_run_says_what_would_happen_and_keeps_nothing(api: Api):
    api.join(gpus=1)
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    soon = api.client.post("/v1/jobs?dry_run=true", json=TRUE, headers={"Idempotency-Key": "k"})
    later = api.client.post("/v1/jobs?dry_run=true", json=TRUE | {"start_after": tomorrow})
    never = api.client.post("/v1/jobs?dry_run=true", json=TRUE | {"gpus": 2})

    assert (soon.status_code, soon.json()["accepted"], soon.json()["state"]) == (200, True, "waiting")
    assert (later.json()["state"], later.json()["reasons"][0]["code"]) == ("blocked", "start-after")
    refused(never, 422, "can-never-run")
    assert [api.count(table) for table in ("jobs", "answers", "audit")] == [0, 0, 1]


def test_why_names_each_reason_with_numbers(api: Api):
    api.join(gpus=2)
    first, second = api.submit("true", gpus=2), api.submit("true", gpus=2)
    with api.database.writing() as connection:
        held = {"n1-0": 81920, "n1-1": 81920}
        attempts.place(connection, [Placement(first, "n1", Request(2), held)], {}, now=datetime.now(UTC))

    why = api.get(f"/v1/jobs/{second}/why")

    assert (why["job"], why["state"]) == (second, "waiting")
    [reason] = [reason for reason in why["reasons"] if reason["code"] == "gpus-busy"]
    assert (reason["kind"], reason["asked"], reason["available"]) == ("will-wait", 2, 0)
    assert api.get(f"/v1/jobs/{first}/why")["reasons"] == []


def test_pages_neither_lose_nor_repeat_a_job_while_jobs_come(api: Api):
    ids = [api.submit() for _ in range(7)]
    seen, cursor = [], None
    while True:
        page = api.get("/v1/jobs", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [job["id"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
        api.submit()

    assert seen == ids[::-1]


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "=", "x" * 201, "MjAyNi0wMS0wMQ"])
def test_a_cursor_that_no_list_gave_is_refused(local_api: Api, cursor: str):
    answer = local_api.client.get("/v1/jobs", params={"cursor": cursor})

    assert refused(answer, 422, "invalid-request")["errors"][0]["field"] == "cursor"


def test_filters_and_fields_narrow_a_list(api: Api):
    one, _ = api.submit(name="one", team="vision"), api.submit(name="two")

    found = api.get("/v1/jobs", team="vision", state=["waiting", "running"], fields="id,team")

    assert found == {"items": [{"id": one, "team": "vision"}], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "field", "hint"),
    [
        ("stat=running", "stat", "did you mean state?"),
        ("state=runing", "state.0", "'running'"),
        ("fields=id,stat", "stat", "did you mean state?"),
        ("limit=0", "limit", "at least 1"),
        ("limit=501", "limit", "at most 500"),
        ("limit=x", "limit", "whole number"),
        ("fields=", "", "is no field"),
        ("order=best", "order", "'newest' or 'oldest'"),
        ("team=%00", "team", "without NUL"),
        ("team=a&team=b", "team", "given once"),
    ],
)
def test_a_wrong_parameter_lists_nothing(local_api: Api, query: str, field: str, hint: str):
    [error] = refused(local_api.client.get(f"/v1/jobs?{query}"), 422, "invalid-request")["errors"]

    assert error["field"] == field
    assert hint in error["message"]


def test_a_cancel_is_recorded_once_and_changes_no_state(api: Api):
    job_id = api.submit()

    tried = api.client.delete(f"/v1/jobs/{job_id}?dry_run=true")
    assert (tried.status_code, api.get(f"/v1/jobs/{job_id}")["cancel_requested_at"]) == (200, None)

    first, second = api.client.delete(f"/v1/jobs/{job_id}"), api.client.delete(f"/v1/jobs/{job_id}")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json() == api.get(f"/v1/jobs/{job_id}")
    assert (first.json()["state"], tried.json()["cancel_requested_at"] is None) == ("waiting", False)


def test_a_final_job_is_answered_as_it_is(api: Api):
    api.join()
    job_id = api.submit()
    api.finish(api.start(job_id))

    answer = api.client.delete(f"/v1/jobs/{job_id}")

    assert (answer.status_code, answer.json()["state"], answer.json()["cancel_requested_at"]) == (
        200,
        "succeeded",
        None,
    )


@pytest.mark.parametrize("path", ["", "/attempts", "/logs", "/metrics", "/samples", "/why"])
@pytest.mark.parametrize("job_id", ["nosuchjob1", "%00", "%F0%9F%98%80", "..%2f.."])
def test_what_does_not_exist_is_named(api: Api, path: str, job_id: str):
    refused(api.client.get(f"/v1/jobs/{job_id}{path}"), 404, "not-found")


def test_a_training_shows_its_attempts_metrics_and_samples(api: Api):
    api.join()
    job_id = api.submit()
    told = api.get(f"/v1/jobs/{job_id}/metrics")
    nothing = {"curves": None, "summary": {}, "params": {}, "thinned": None}
    assert told == {"items": [], "next_cursor": None, **nothing}
    attempt = api.start(job_id)

    [shown] = api.get(f"/v1/jobs/{job_id}/attempts")["items"]
    assert (shown["id"], shown["job"], shown["state"], shown["node"]) == (attempt, job_id, "running", "n1")
    assert api.get(f"/v1/jobs/{job_id}/samples")["items"] == []
    assert api.get(f"/v1/jobs/{job_id}")["node"] == "n1"
    refused(api.client.get(f"/v1/jobs/{job_id}/metrics?attempt=2"), 404, "not-found")


def test_metrics_come_in_pages(api: Api):
    api.join()
    job_id = api.submit()
    attempt, at = api.start(job_id), datetime(2026, 1, 1, tzinfo=UTC)
    points = [Point(10 * i, at, "train", i, None, {"loss": 1.0 / (i + 1)}) for i in range(5)]
    with api.database.writing() as connection:
        shipping.append_points(connection, attempt, Points(0, 50, points))

    first = api.get(f"/v1/jobs/{job_id}/metrics", limit=3)
    rest = api.get(f"/v1/jobs/{job_id}/metrics", cursor=first["next_cursor"])

    assert [point["step"] for point in first["items"] + rest["items"]] == [0, 1, 2, 3, 4]
    assert (first["next_cursor"], rest["next_cursor"]) == ("20", None)
    loss = first["summary"]["train"]["loss"]
    assert [loss[name] for name in ("last", "best", "best_step", "best_max", "count")] == [0.2, 0.2, 4, 1.0, 5]
    [curve] = api.get(f"/v1/jobs/{job_id}/metrics", points=3, best="loss:max")["curves"]
    assert [point["step"] for point in curve["points"]] == [0, 1, 4]


def test_runs_are_compared_and_what_cannot_be_is_refused_with_the_next_step(api: Api):
    api.join()
    job_id = api.submit()
    attempt = api.start(job_id)

    found = api.get("/v1/compare", job=[job_id, attempt])
    assert [run["attempt"] for run in found["runs"]] == [attempt, attempt]
    assert refused(api.client.get("/v1/compare"), 422, "contradiction")["next_step"].startswith("Ask for job=A")
    refused(api.client.get("/v1/compare?job=a&family=b/c/d"), 422, "contradiction")
    refused(api.client.get("/v1/compare?job=nosuchjob1"), 404, "not-found")
    refused(api.client.get(f"/v1/compare?job={job_id}&best=loss:min&best=loss:max"), 422, "contradiction")
    assert (
        "loss:min" in refused(api.client.get(f"/v1/compare?job={job_id}&best=loss"), 422, "invalid-request")["detail"]
    )


def test_a_job_that_has_not_begun_is_given_another_priority_and_no_other(api: Api):
    api.join()
    job = api.submit()
    path = f"/v1/jobs/{job}/priority"

    assert api.client.put(f"{path}?dry_run=true", json={"priority": 8}).json()["priority"] == 8
    assert api.get(f"/v1/jobs/{job}")["priority"] == 5
    assert api.client.put(path, json={"priority": 8}).json()["priority"] == 8
    assert api.get(f"/v1/jobs/{job}")["priority"] == 8
    assert "9" in refused(api.client.put(path, json={"priority": 10}), 422, "invalid-request")["detail"]
    api.start(job)
    refused(api.client.put(path, json={"priority": 7}), 409, "conflict")
    refused(api.client.put("/v1/jobs/nosuchjob1/priority", json={"priority": 7}), 404, "not-found")
