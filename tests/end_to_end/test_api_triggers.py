"""Triggers and events at the door: what is taken, what is refused and by which name, and what is told of them."""

import json
from typing import Any

import httpx
import pytest

from tests.end_to_end.serving import Api, refused

JOB = {"command": ["python", "train.py"]}
ON_DATA = {"event": {"type": "data.*"}}
EVENT = {"specversion": "1.0", "id": "a1", "source": "/lake", "type": "data.ready"}
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"


def declare(api: Api, name: str = "t", **body: Any) -> httpx.Response:
    return api.client.put(f"/v1/triggers/{name}", json={"when": ON_DATA, "job": JOB, **body})


def send(api: Api, event: Any, media: str = STRUCTURED, **headers: str) -> httpx.Response:
    content = event if isinstance(event, bytes) else json.dumps(event).encode()
    return api.client.post("/v1/events", content=content, headers={"content-type": media, **headers})


def test_a_trigger_is_declared_read_paused_and_removed(api: Api):
    brakes = {"in_flight": 1, "batch": {"most": 2, "within_seconds": 60}}
    parameters = {"dataset": {"from": "data.dataset"}, "epochs": 5}

    made = declare(api, brakes=brakes, parameters=parameters)

    assert made.status_code == 200, made.text
    trigger = made.json()
    assert trigger["definition"] == {"when": ON_DATA, "job": JOB, "brakes": brakes, "parameters": parameters}
    assert (trigger["kind"], trigger["owner"], trigger["paused_at"]) == ("event", "admin", None)
    assert declare(api, brakes=brakes, parameters=parameters).json()["revision"] == trigger["revision"]
    paused = api.client.put("/v1/triggers/t/state", json={"state": "paused", "reason": "A bad source."}).json()
    assert (paused["paused_by"], paused["paused_reason"]) == ("admin", "A bad source.")
    assert api.get("/v1/triggers/t") == paused
    assert api.get("/v1/triggers", fields="name") == {"items": [{"name": "t"}], "next_cursor": None}
    assert api.client.put("/v1/triggers/t/state", json={"state": "active"}).json()["paused_at"] is None
    assert api.client.delete("/v1/triggers/t", params={"dry_run": True}).status_code == 200
    assert api.client.delete("/v1/triggers/t").json()["name"] == "t"
    refused(api.client.get("/v1/triggers/t"), 404, "not-found")
    refused(api.client.get("/v1/triggers/t/activations"), 404, "not-found")
    assert [api.count(table) for table in ("triggers", "revisions", "jobs")] == [0, 4, 0]


def test_a_dry_run_declares_nothing(api: Api):
    answer = api.client.put("/v1/triggers/t", json={"when": ON_DATA, "job": JOB}, params={"dry_run": True})

    assert answer.json()["name"] == "t"
    assert [api.count(table) for table in ("triggers", "revisions", "activations")] == [0, 0, 0]


RUNS = {"name": "churn"}
METRIC = {**RUNS, "metric": "accuracy"}


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"when": {}}, "contradiction", "when"),
        ({"when": {**ON_DATA, "ended": RUNS}}, "contradiction", "when"),
        ({"when": {"event": {"typ": "x"}}}, "invalid-request", "when.event.typ"),
        ({"when": {"ended": {}}}, "contradiction", "when.ended"),
        ({"when": {"metric": METRIC}}, "contradiction", "when.metric"),
        ({"when": {"metric": {**METRIC, "below": 1, "above": 0}}}, "contradiction", "when.metric"),
        ({"when": {"metric": {**METRIC, "below": 0.9, "rearm": 0.8}}}, "contradiction", "when.metric.rearm"),
        ({"when": {"metric": {**METRIC, "change": 0}}}, "contradiction", "when.metric.change"),
        ({"when": {"metric": {**METRIC, "zscore": 3, "window_seconds": 9}}}, "contradiction", "when.metric.zscore"),
        ({"when": {"resource": {"resource": "gpu"}}}, "contradiction", "when.resource"),
        ({"when": {"resource": {"resource": "gpu", "below": 101}}}, "invalid-request", "when.resource.below"),
        ({"when": {"absence": {"for_seconds": 9}}}, "contradiction", "when.absence"),
        ({"when": {"files": {"path": "data"}}}, "invalid-request", "when.files.path"),
        ({"when": {"files": {"path": "/a/../b"}}}, "contradiction", "when.files.path"),
        ({"job": None}, "contradiction", "job"),
        ({"pipeline": {"jobs": [{"step": "a", "command": ["true"]}]}}, "contradiction", "job"),
        ({"job": {"command": []}}, "invalid-request", "job.command"),
        ({"job": {"command": ["true"], "array": {"size": 2, "list": [{"a": 1}]}}}, "invalid-array", "array"),
        ({"job": {"command": ["true"], "needs": ["nobody"]}}, "unknown-needs", "needs"),
        ({"brakes": {"in_flight": 0}}, "invalid-request", "brakes.in_flight"),
        ({"brakes": {"batch": {"most": 5}}}, "invalid-request", "brakes.batch.within_seconds"),
        ({"parameters": {"a": 1, "A": 2}}, "contradiction", "parameters"),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused_by_the_name_of_what_is_wrong(
    refusing_api: Api, body: dict[str, Any], code: str, field: str
):
    problem = refused(declare(refusing_api, **body), 422, code)

    assert problem["errors"][0]["field"] == field
    assert refusing_api.count("triggers") == 0


def test_a_pipeline_with_a_circle_is_refused(refusing_api: Api):
    circle = [{"step": "a", "command": ["true"], "needs": ["b"]}, {"step": "b", "command": ["true"], "needs": ["a"]}]

    refused(declare(refusing_api, job=None, pipeline={"jobs": circle}), 422, "invalid-pipeline")


def test_an_event_is_taken_once_in_each_mode(api: Api):
    first, again = send(api, EVENT), send(api, {**EVENT, "data": "other"})
    batch = send(api, [EVENT, {**EVENT, "id": "a2"}], BATCH)
    attributes = {"ce-specversion": "1.0", "ce-id": "a3", "ce-source": "/lake", "ce-type": "caf%C3%A9", "ce-n": "1"}
    binary = send(api, {"x": 1}, "application/json", **attributes)
    text = send(api, b"hello", "text/plain; charset=utf-8", **{**attributes, "ce-id": "a4"})
    raw = send(api, b"\xff\x00", "application/octet-stream", **{**attributes, "ce-id": "a5"})

    assert [answer.status_code for answer in (first, again, batch, binary, text, raw)] == [201, 200, 201, 201, 201, 201]
    assert first.json() == again.json()
    assert [item["id"] for item in batch.json()["items"]] == ["a1", "a2"]
    plain = {"specversion": "1.0", "id": "a3", "source": "/lake", "type": "café", "n": "1"}
    assert binary.json()["event"] == {**plain, "datacontenttype": "application/json", "data": {"x": 1}}
    assert text.json()["event"]["data"] == "hello"
    assert raw.json()["event"]["data_base64"] == "/wA="
    assert [item["id"] for item in api.get("/v1/events")["items"]] == ["a5", "a4", "a3", "a2", "a1"]
    assert [item["id"] for item in api.get("/v1/events", type="data.ready", source="/lake")["items"]] == ["a2", "a1"]
    page = api.get("/v1/events", limit=2)
    assert [item["id"] for item in api.get("/v1/events", limit=2, cursor=page["next_cursor"])["items"]] == ["a3", "a2"]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({name: value for name, value in EVENT.items() if name != "id"}, "id"),
        ({**EVENT, "source": ""}, "source"),
        ({**EVENT, "source": "two words"}, "source"),
        ({**EVENT, "specversion": "0.3"}, "specversion"),
        ({**EVENT, "type": 5}, "type"),
        ({**EVENT, "id": "a\0b"}, "id"),
        ({**EVENT, "time": "yesterday"}, "time"),
        ({**EVENT, "Upper": "x"}, "Upper"),
        ({**EVENT, "nested": {}}, "nested"),
        ({**EVENT, "n": 1 << 40}, "n"),
        ({**EVENT, "data": 1, "data_base64": "AA=="}, "data_base64"),
        ({**EVENT, "data_base64": "%%%"}, "data_base64"),
        ([EVENT], "body"),
    ],
)
def test_an_event_that_is_none_is_refused_by_the_name_of_its_attribute(refusing_api: Api, event: Any, field: str):
    problem = refused(send(refusing_api, event), 422, "invalid-request")

    assert problem["errors"][0]["field"] == field
    assert refusing_api.count("events") == 0


def test_what_cannot_be_an_event_is_refused(refusing_api: Api):
    refused(send(refusing_api, {**EVENT, "data": {"deep": ["a\0b"]}}), 422, "unfit-event")
    refused(send(refusing_api, {**EVENT, "data": "\ud800"}), 422, "unfit-event")
    refused(
        send(refusing_api, b'{"specversion":"1.0","id":"a","source":"/","type":"t","data":1e999}'), 422, "unfit-event"
    )
    refused(send(refusing_api, b"{"), 400, "bad-request")
    refused(send(refusing_api, b"[" * 100_000), 400, "bad-request")
    refused(send(refusing_api, {**EVENT, "data": float("nan")}), 400, "bad-request")
    refused(send(refusing_api, EVENT, "application/json"), 415, "unsupported-media-type")
    problem = refused(send(refusing_api, {**EVENT, "data": "x" * 70_000}), 413, "too-large")
    assert problem["errors"][0]["limit"] == 65536
    refused(send(refusing_api, [], BATCH), 422, "invalid-request")
    assert refused(send(refusing_api, [EVENT, {}], BATCH), 422, "invalid-request")["errors"][0]["field"] == "1.id"
    assert refusing_api.count("events") == 0


def test_a_dry_run_of_an_event_is_none(api: Api):
    answer = api.client.post(
        "/v1/events", content=json.dumps(EVENT), headers={"content-type": STRUCTURED}, params={"dry_run": True}
    )

    assert (answer.status_code, api.count("events")) == (200, 0)


def test_why_tells_of_events_that_a_trigger_is_not_about(api: Api):
    declare(api, when={"event": {"type": "data.*", "where": {"data.n": 1}}})
    send(api, {**EVENT, "data": {"n": 2}})

    found = api.get("/v1/triggers/t/why")

    assert "Nothing that it is about had happened by then." in found["message"]
    assert [(each["id"], each["reason"]) for each in found["not_for_it"]] == [("a1", "Its data.n is 2, not 1.")]
    assert api.get("/v1/triggers/t/simulate", since="1h")["occurrences"] == 0


def test_a_simulation_tells_what_would_have_happened(api: Api):
    for number in range(4):
        send(api, {**EVENT, "id": f"a{number}"})
    declare(api, brakes={"per_day": 3})

    found = api.get("/v1/triggers/t/simulate", since="30d")

    assert (found["runs"], found["occurrences"], found["totals"]) == (3, 4, {"run": 3, "held": 1, "pending": 0})
    assert "3 of at most 3 runs a day" in found["items"][-1]["reason"]
    assert found["source"] == "events"
    refused(api.client.get("/v1/triggers/t/simulate", params={"since": "soon"}), 422, "invalid-request")
