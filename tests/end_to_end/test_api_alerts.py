"""Alerts, rules, silences and channels at the door: what is taken, what is refused and by which name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.end_to_end.serving import Api, refused

WEBHOOK = {"webhook": {"url": "https://hooks.example.org/levare", "key": {"secret": "OPS_KEY"}}}


def test_a_rule_is_declared_read_switched_off_and_removed(api: Api):
    rule = {"when": {"hang": {"team": "vision", "for_seconds": 900}}, "severity": "critical", "channels": ["ops"]}
    assert api.client.put("/v1/channels/ops", json=WEBHOOK).status_code == 200

    made = api.client.put("/v1/alert-rules/vision-hangs", json=rule)

    assert made.status_code == 200, made.text
    assert (made.json()["definition"], made.json()["is_default"], made.json()["owner"]) == (rule, False, "admin")
    again = api.client.put("/v1/alert-rules/vision-hangs", json=rule).json()
    assert again["revision"] == made.json()["revision"]
    off = api.client.put("/v1/alert-rules/hang/state", json={"state": "paused", "reason": "Loud."}).json()
    assert (off["paused_by"], off["paused_reason"], off["is_default"]) == ("admin", "Loud.", False)
    assert api.client.put("/v1/alert-rules/hang/state", json={"state": "active"}).json()["paused_at"] is None
    assert api.client.delete("/v1/alert-rules/hang").status_code == 200
    assert api.get("/v1/alert-rules/hang")["is_default"]
    refused(api.client.delete("/v1/alert-rules/hang"), 404, "not-found")
    refused(api.client.get("/v1/alert-rules/none"), 404, "not-found")
    assert {"name": "vision-hangs"} in api.get("/v1/alert-rules", fields="name")["items"]
    assert api.client.delete("/v1/alert-rules/vision-hangs", params={"dry_run": True}).status_code == 200
    assert api.get("/v1/alert-rules/vision-hangs")["name"] == "vision-hangs"


def test_a_rule_names_only_channels_that_there_are_and_that_stay(api: Api):
    rule = {"when": {"failure": {}}, "channels": ["ops", "opps"]}
    assert api.client.put("/v1/channels/ops", json=WEBHOOK).status_code == 200

    [fault] = refused(api.client.put("/v1/alert-rules/r", json=rule), 422, "invalid-request")["errors"]
    assert (fault["field"], fault["value"], fault["limit"]) == ("channels.1", "opps", "one of ops")
    assert api.client.put("/v1/alert-rules/r", json=rule | {"channels": ["ops"]}).status_code == 200
    assert "rules r," in refused(api.client.delete("/v1/channels/ops"), 409, "conflict")["detail"]
    assert api.client.delete("/v1/alert-rules/r").status_code == 200
    assert api.client.delete("/v1/channels/ops").status_code == 200


@pytest.mark.parametrize(
    ("webhook", "fields"),
    [
        ({"url": "ftp://x"}, ["webhook.url"]),
        ({"url": 5}, ["webhook.url"]),
        ({"url": {"sekret": "X"}}, ["webhook.url.secret", "webhook.url.sekret"]),
        ({"url": {"secret": "x"}}, ["webhook.url.secret"]),
    ],
)
def test_a_value_of_several_types_is_refused_once_where_it_stands(refusing_api: Api, webhook: Any, fields: list[str]):
    problem = refused(refusing_api.client.put("/v1/channels/c", json={"webhook": webhook}), 422, "invalid-request")

    assert [each["field"] for each in problem["errors"]] == fields


def test_a_pattern_that_could_take_for_ever_is_refused_with_what_is_wrong(api: Api):
    problem = refused(
        api.client.put("/v1/alert-rules/r", json={"when": {"log": {"pattern": r"(a)\1"}}}), 422, "contradiction"
    )

    assert problem["errors"][0]["field"] == "when.log.pattern"
    assert "back-references" in problem["errors"][0]["limit"]
    assert api.count("alert_rules") == 0


def test_a_silence_says_what_it_is_about_until_when_and_why(api: Api):
    body = {"rule": "hang", "ends_at": "2100-01-01T00:00:00Z", "reason": "A driver."}
    refused(api.client.post("/v1/silences", json=body), 422, "contradiction")
    refused(api.client.post("/v1/silences", json={**body, "reason": ""}), 422, "invalid-request")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    refused(api.client.post("/v1/silences", json={"ends_at": soon, "reason": "x"}), 422, "contradiction")
    made = api.client.post("/v1/silences", json={**body, "ends_at": soon})
    assert made.status_code == 201, made.text
    number = made.json()["number"]
    assert [each["number"] for each in api.get("/v1/silences")["items"]] == [number]
    assert api.client.delete(f"/v1/silences/{number}").json()["rule"] == "hang"
    assert api.get("/v1/silences")["items"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "webhook"),
        ({**WEBHOOK, "apprise": {"url": {"secret": "X"}}}, "webhook"),
        ({"email": {"host": "h", "sender": "a@b", "to": ["c@d"], "user": "u"}}, "email.password"),
    ],
)
def test_a_channel_that_contradicts_itself_is_refused(refusing_api: Api, body: Any, field: str):
    problem = refused(refusing_api.client.put("/v1/channels/ops", json=body), 422, "contradiction")

    assert problem["errors"][0]["field"] == field


def test_a_secret_cannot_be_written_into_a_channel_only_its_name(refusing_api: Api):
    in_the_url = {"webhook": {"url": "https://user:password@example.org"}}
    refused(refusing_api.client.put("/v1/channels/ops", json=in_the_url), 422, "invalid-request")
    bare = {"webhook": {"url": "https://example.org", "key": "s3cret"}}
    refused(refusing_api.client.put("/v1/channels/ops", json=bare), 422, "invalid-request")
    whole = {"apprise": {"url": "slack://s3cret"}}
    problem = refused(refusing_api.client.put("/v1/channels/ops", json=whole), 422, "invalid-request")
    assert problem["detail"] == "apprise.url must be {secret: NAME}."
    assert problem["errors"][0]["value"] is None


def test_a_channel_is_declared_tried_and_removed(api: Api):
    assert api.client.put("/v1/channels/ops", json=WEBHOOK).json()["kind"] == "webhook"
    tried = api.client.post("/v1/channels/ops/test")
    assert (tried.status_code, tried.json()["state"], tried.json()["news"]) == (202, "pending", "test")
    assert [each["id"] for each in api.get("/v1/channels/ops/deliveries")["items"]] == [tried.json()["id"]]
    assert api.client.delete("/v1/channels/ops").json()["definition"] == WEBHOOK
    refused(api.client.get("/v1/channels/ops"), 404, "not-found")
    refused(api.client.post("/v1/channels/ops/test"), 404, "not-found")


def test_without_alerts_there_are_none_and_what_is_no_alert_is_not_found(api: Api):
    assert api.get("/v1/alerts", state="any") == {"items": [], "next_cursor": None}
    refused(api.client.get("/v1/alerts/7"), 404, "not-found")
    refused(api.client.put("/v1/alerts/7/acknowledgement", json={}), 404, "not-found")
    refused(api.client.get("/v1/alerts", params={"state": "all"}), 422, "invalid-request")
    tested = api.get("/v1/alert-rules/failure/test", since="30d")
    assert (tested["firings"], tested["precision"], tested["recall"]) == (0, None, None)
