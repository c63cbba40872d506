"""`levare alerts`, `levare channels`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pure.scripted import Api, levare_run

AT = "2030-01-01T12:00:00Z"


def an_alert(**other: Any) -> dict[str, Any]:
    none = ("ended_at", "ended_reason", "acknowledged_at", "acknowledged_by", "acknowledged_note", "node", "family")
    alert = {
        "number": 17,
        "rule": "hang",
        "kind": "hang",
        "subject": "job:k3v9",
        "severity": "critical",
        "state": "open",
        "message": "It does nothing.",
        "detail": {"still_seconds": 1800.0},
        "job": "k3v9",
        "team": "vision",
        "begun_at": AT,
        "seen_at": AT,
        "is_silenced": False,
        "told": ["ops"],
        **dict.fromkeys(none),
    }
    return alert | other


def a_rule(**other: Any) -> dict[str, Any]:
    rule = {
        "name": "hang",
        "kind": "hang",
        "severity": "critical",
        "is_default": True,
        "definition": {"when": {"hang": {"for_seconds": 9}}, "description": "It stands still."},
        **dict.fromkeys(("revision", "owner", "changed_at", "paused_at", "paused_by", "paused_reason")),
    }
    return rule | other


def a_channel(**other: Any) -> dict[str, Any]:
    definition = {"webhook": {"url": {"secret": "URL"}}, "routes": {"at_least": "warning", "teams": ["vision"]}}
    channel = {"name": "ops", "kind": "webhook", "definition": definition, "revision": 3, "owner": "ada"}
    return {**channel, "changed_at": AT, **other}


def a_delivery(**other: Any) -> dict[str, Any]:
    delivery = {"id": "d1", "channel": "ops", "rule": "hang", "news": "begin", "alerts": [17], "state": "sent"}
    return {**delivery, "attempts": 1, "next_at": AT, "created_at": AT, "sent_at": AT, "last_error": None, **other}


def test_open_alerts_are_listed_and_one_is_shown():
    ended = an_alert(number=16, state="ended", ended_at=AT, ended_reason="It goes on.")
    taken = an_alert(number=18, acknowledged_at=AT, acknowledged_by="ada", acknowledged_note="On it.")
    api = Api().on("GET /v1/alerts", {"items": [taken, an_alert(), ended], "next_cursor": None})
    api.on("GET /v1/alerts/18", taken)

    listed = levare_run(api, "alerts", "--rule", "hang").stdout.splitlines()
    one = levare_run(api, "alerts", "18").stdout

    assert [line.split()[0] for line in listed[1:]] == ["18", "17", "16"]
    assert "open, with ada" in listed[1]
    assert "It does nothing." in listed[2]
    assert api.asked[0].url.params["rule"] == "hang"
    assert "ada since" in one
    assert "still_seconds 1,800" in one
    assert "ops" in one


def test_the_history_asks_for_all_and_no_alert_is_said_to_be_none():
    api = Api().on("GET /v1/alerts", {"items": [], "next_cursor": None})

    assert "No alert is open" in levare_run(api, "alerts").stderr
    assert "no such alert" in levare_run(api, "alerts", "history", "--job", "k3v9").stderr
    assert [request.url.params.get("state") for request in api.asked] == [None, "any"]


def test_alerts_are_acknowledged_and_silenced():
    silence = {"number": 3, "rule": "hang", "job": None, "team": None, "node": "atlas", "reason": "A driver."}
    silence |= {"created_by": "ada", "created_at": AT, "ends_at": AT}
    api = Api().on("PUT /v1/alerts/17/acknowledgement", an_alert(acknowledged_by="ada"))
    api.on("POST /v1/silences", silence).on("GET /v1/silences", {"items": [silence]}).on(
        "DELETE /v1/silences/3", silence
    )

    assert levare_run(api, "alerts", "ack", "17", "--note", "On it.").stdout == "17 is looked after by ada\n"
    assert api.body() == {"note": "On it."}
    made = levare_run(
        api, "alerts", "silence", "--rule", "hang", "--until", "2030-01-01T12:00Z", "--reason", "A driver."
    )
    assert made.stdout.startswith("3 silences rule hang, node atlas until")
    assert api.body() == {"rule": "hang", "ends_at": "2030-01-01T12:00:00+00:00", "reason": "A driver."}
    assert "A driver." in levare_run(api, "alerts", "silences").stdout
    assert levare_run(api, "alerts", "silences", "--end", "3").stdout == "3 has ended\n"


def test_rules_are_listed_shown_set_switched_off_and_removed(tmp_path: Path):
    file = tmp_path / "rule.yaml"
    file.write_text("when: {hang: {for_seconds: 9}}\nseverity: critical\n")
    off = a_rule(paused_at=AT, paused_by="ada", paused_reason="Loud.")
    api = Api().on("GET /v1/alert-rules", {"items": [a_rule(), off]}).on("GET /v1/alert-rules/hang", a_rule())
    api.on("PUT /v1/alert-rules/hang", a_rule(is_default=False)).on("PUT /v1/alert-rules/hang/state", off, a_rule())
    api.on("DELETE /v1/alert-rules/hang", a_rule())

    listed = levare_run(api, "alerts", "rules").stdout
    assert "hang for_seconds=9" in listed
    assert "off by ada: Loud." in listed
    assert "all whose routes take it" in levare_run(api, "alerts", "rules", "hang").stdout
    assert levare_run(api, "alerts", "set", "hang", str(file)).stdout == "hang is set: hang for_seconds=9\n"
    assert api.body() == {"when": {"hang": {"for_seconds": 9}}, "severity": "critical"}
    assert levare_run(api, "alerts", "pause", "hang", "--reason", "Loud.").stdout == "hang is off by ada: Loud.\n"
    assert levare_run(api, "alerts", "resume", "hang").stdout == "hang is in force\n"
    assert levare_run(api, "alerts", "remove", "hang", "--dry-run").stdout == "hang would be removed\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("severity: info\n", "does not say `when`"),
        ("when: {hang: {}}\nwehn: 1\n", "has wehn;"),
        ("when:\n  degraded: {bound: .nan}\n", "line 2, column 21: .nan is no number that can be sent."),
    ],
)
def test_a_file_that_is_no_rule_is_refused_with_what_is_wrong(tmp_path: Path, text: str, error: str):
    file = tmp_path / "rule.yaml"
    file.write_text(text)

    result = levare_run(Api(), "alerts", "set", "hang", str(file))

    assert result.exit_code == 1
    assert error in result.stderr


def test_a_back_test_is_a_list_and_what_it_is_worth():
    firing = {"at": AT, "ended_at": AT, "subject": "job:k3v9", "job": "k3v9", "message": "It does nothing."}
    found = {"rule": "hang", "since": AT, "until": AT, "source": "metrics", "jobs": 12, "failures": 3, "firings": 2}
    found |= {"true_firings": 1, "precision": 0.5, "recall": 0.3333, "note": "Nobody records it."}
    items = [{**firing, "preceded_failure": True}, {**firing, "preceded_failure": False}]
    api = Api().on("GET /v1/alert-rules/hang/test", {**found, "items": items})

    result = levare_run(api, "alerts", "test", "hang", "--since", "7d")

    assert "2 alerts for 12 jobs, of which 3 failed" in result.stdout
    assert "precision 50%, recall 33%" in result.stdout
    assert "Nobody records it." in result.stderr
    assert api.asked[0].url.params["since"] == "7d"
    assert json.loads(levare_run(api, "alerts", "test", "hang", "--json").stdout)["firings"] == 2


def test_channels_are_listed_shown_set_tried_and_removed(tmp_path: Path):
    file = tmp_path / "channel.yaml"
    file.write_text("webhook: {url: {secret: URL}}\n")
    api = Api().on("GET /v1/channels", {"items": [a_channel()]}).on("GET /v1/channels/ops", a_channel())
    said = {"items": [a_delivery(id="t1", state="failed", last_error="It answered 503.")], "next_cursor": None}
    api.on("GET /v1/channels/ops/deliveries", said).on("PUT /v1/channels/ops", a_channel())
    api.on("POST /v1/channels/ops/test", a_delivery(id="t1", state="pending")).on(
        "DELETE /v1/channels/ops", a_channel()
    )

    assert "warning and worse about vision" in levare_run(api, "channels").stdout
    assert "It answered 503." in levare_run(api, "channels", "ops").stdout
    assert levare_run(api, "channels", "set", "ops", str(file)).stdout == "ops is set: webhook to secret URL\n"
    tried = levare_run(api, "channels", "test", "ops")
    assert (tried.exit_code, tried.stderr) == (1, "ops could not say it: It answered 503.\n")
    assert "begin" in levare_run(api, "channels", "deliveries", "ops").stdout
    assert levare_run(api, "channels", "remove", "ops").stdout == "ops is removed\n"
