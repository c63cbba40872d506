"""`levare triggers`, `levare events`."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pure.scripted import Api, levare_run

AT = "2030-01-01T12:00:00Z"
EVENT = {"specversion": "1.0", "id": "a1", "source": "/lake", "type": "data.ready", "data": {"n": 1}}


def a_trigger(**other: Any) -> dict[str, Any]:
    trigger = {
        "name": "new-data",
        "kind": "event",
        "definition": {"when": {"event": {"type": "data.*"}}, "job": {"command": ["python", "train.py"]}},
        "revision": 12,
        "owner": "ada",
        "begun_at": AT,
        "changed_at": AT,
        "paused_at": None,
        "paused_by": None,
        "paused_reason": None,
        "wakes_at": None,
        "state": {},
        "problem": None,
        "problem_at": None,
        "in_flight": 1,
        "runs_today": 2,
        "pending": 3,
        "last_run_at": AT,
    }
    return trigger | other


def an_activation(**other: Any) -> dict[str, Any]:
    activation = {
        "number": 1,
        "trigger": "new-data",
        "key": "event:a1 of /lake",
        "at": AT,
        "outcome": "run",
        "reason": "Started.",
        "job": "k3v9x2m1qa",
        "pipeline": None,
        "event": EVENT,
        "decided_at": AT,
    }
    return activation | other


def test_what_a_trigger_looks_for_is_told_as_it_was_sent():
    when = {"absence": {"event": {"type": "sensor.*"}, "for_seconds": 3}}
    absent = a_trigger(kind="absence", definition={"when": when, "job": {"command": ["a"]}})

    told = levare_run(Api().on("GET /v1/triggers/absent", absent), "triggers", "absent").stdout

    assert 'absence event={"type": "sensor.*"} for_seconds=3' in told


def test_triggers_are_listed_and_shown():
    broken = a_trigger(name="broken", problem="/data is no folder.", paused_at=AT, paused_by="ada", paused_reason="x")
    api = Api().on("GET /v1/triggers", {"items": [a_trigger(), broken], "next_cursor": None})
    api.on("GET /v1/triggers/new-data", a_trigger())

    listed = levare_run(api, "triggers").stdout.splitlines()
    one = levare_run(api, "triggers", "new-data").stdout

    assert "event type=data.*" in listed[1]
    assert "paused by ada: x" in listed[2]
    assert "/data is no folder." in listed[2]
    assert "1 in flight, 2 today, 3 waiting" in one
    assert json.loads(levare_run(api, "triggers", "new-data", "--json").stdout) == a_trigger()
    assert (
        "no trigger yet"
        in levare_run(Api().on("GET /v1/triggers", {"items": [], "next_cursor": None}), "triggers").stderr
    )


def test_a_trigger_is_set_by_a_file(tmp_path: Path):
    file = tmp_path / "t.yaml"
    file.write_text("when: {event: {type: 'data.*'}}\njob: {command: [python, train.py]}\nbrakes: {in_flight: 1}\n")
    api = Api().on("PUT /v1/triggers/new-data", a_trigger())

    result = levare_run(api, "triggers", "set", "new-data", str(file))

    assert result.stdout == "new-data is set: event type=data.*\n", result.stderr
    body = api.body()
    assert (body["when"], body["brakes"]) == ({"event": {"type": "data.*"}}, {"in_flight": 1})
    assert body["job"]["command"] == ["python", "train.py"]
    assert body["job"]["cwd"] == str(Path.cwd())


def test_a_trigger_is_set_by_options_and_a_command():
    api = Api().on("PUT /v1/triggers/t", a_trigger())
    options = ("--file", "/data/*.csv", "--node", "n1", "--in-flight", "1", "--cooldown", "1h", "--dry-run")

    result = levare_run(api, "triggers", "set", "t", *options, "--", "python", "train.py", "--fast")

    assert "would be taken" in result.stdout, result.stderr
    assert api.asked[-1].url.query == b"dry_run=true"
    body = api.body()
    assert body["when"] == {"files": {"path": "/data/*.csv", "node": "n1"}}
    assert body["brakes"] == {"in_flight": 1, "cooldown_seconds": 3600}
    assert body["job"]["command"] == ["python", "train.py", "--fast"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--event", "a", "--ended", "b", "--", "x"], "one of --event, --file and --ended"),
        (["--event", "a"], "-- COMMAND"),
        ([], "Name one FILE"),
        (["nowhere.yaml"], "no file"),
    ],
)
def test_what_declares_no_trigger_is_misuse(arguments: list[str], told: str):
    result = levare_run(Api(), "triggers", "set", "t", *arguments)

    assert (result.exit_code, told in result.stderr) == (2, True), result.stderr


@pytest.mark.parametrize(("text", "told"), [("jobs: []", "does not say `when`"), ("when: {}\nif: 1", "has if")])
def test_a_file_that_declares_no_trigger_is_refused(tmp_path: Path, text: str, told: str):
    file = tmp_path / "t.yaml"
    file.write_text(text)

    result = levare_run(Api(), "triggers", "set", "t", str(file))

    assert (result.exit_code, told in result.stderr) == (1, True), result.stderr


def test_a_trigger_is_paused_resumed_and_removed():
    paused = a_trigger(paused_at=AT, paused_by="ada", paused_reason="Moving.")
    api = (
        Api().on("PUT /v1/triggers/new-data/state", paused, a_trigger()).on("DELETE /v1/triggers/new-data", a_trigger())
    )

    assert levare_run(api, "triggers", "pause", "new-data", "--reason", "Moving.").stdout == (
        "new-data is paused by ada: Moving.\n"
    )
    assert api.body() == {"state": "paused", "reason": "Moving."}
    assert levare_run(api, "triggers", "resume", "new-data").stdout == "new-data goes on\n"
    assert api.body() == {"state": "active"}
    assert levare_run(api, "triggers", "remove", "new-data").stdout == "new-data is removed\n"


def test_what_happened_is_listed_and_explained():
    held = an_activation(outcome="held", job=None, reason="1 of at most 1 runs are in flight.")
    api = Api().on("GET /v1/triggers/t/activations", {"items": [held, an_activation()], "next_cursor": None})
    stranger = {"id": "a2", "source": "/lake", "type": "x", "received_at": AT, "reason": "Its type is x."}
    why = {"trigger": "t", "at": AT, "message": "Nothing.", "before": None, "after": held, "not_for_it": [stranger]}
    api.on("GET /v1/triggers/t/why", why)

    listed = levare_run(api, "triggers", "activations", "t").stdout.splitlines()
    explained = levare_run(api, "triggers", "why", "t", "--at", AT).stdout

    assert "1 of at most 1 runs are in flight." in listed[1]
    assert "k3v9x2m1qa" in listed[2]
    assert explained.splitlines()[0] == "Nothing."
    assert "After that" in explained
    assert "x a2 of /lake: Its type is x." in explained
    assert json.loads(levare_run(api, "triggers", "why", "t", "--json").stdout) == why
    nothing = Api().on("GET /v1/triggers/t/activations", {"items": [], "next_cursor": None})
    assert "Nothing has happened" in levare_run(nothing, "triggers", "activations", "t").stderr


def test_a_simulation_is_summed_up():
    item = {"key": "event:a1 of /lake", "at": AT, "outcome": "run", "reason": "Started.", "decided_at": AT, "run": 1}
    found = {
        "trigger": "t",
        "since": AT,
        "until": AT,
        "source": "events",
        "run_seconds": 90.0,
        "runs": 1,
        "occurrences": 2,
        "totals": {"run": 1, "held": 1, "pending": 0},
        "items": [item],
    }
    api = Api().on("GET /v1/triggers/t/simulate", found)

    said = levare_run(api, "triggers", "simulate", "t", "--since", "7d").stdout

    assert api.asked[-1].url.query == b"since=7d"
    assert "1 run for 2 occurrences (1 in runs, 1 held, 0 still waiting)" in said
    assert "a run taken to last 1m30s" in said


def test_events_are_sent_and_listed(tmp_path: Path):
    row = {"number": 1, "subject": "s", "event": EVENT, "received_at": AT, "sender": "ada"}
    row |= {name: EVENT[name] for name in ("id", "source", "type")}
    api = Api().on("POST /v1/events", row).on("GET /v1/events", {"items": [row], "next_cursor": None})
    file = tmp_path / "data.json"
    file.write_text('{"n": 1}')

    sent = levare_run(
        api, "events", "send", "data.ready", "--id", "a1", "--subject", "s", "--data", f"@{file}", "--set", "region=eu"
    )
    assert sent.stdout == "a1\n", sent.stderr
    body = api.body()
    assert (body["type"], body["source"], body["id"], body["data"]) == ("data.ready", "levare-cli", "a1", {"n": 1})
    assert (body["specversion"], body["subject"], body["region"]) == ("1.0", "s", "eu")
    assert api.asked[-1].headers["content-type"] == "application/cloudevents+json"
    levare_run(api, "events", "send", "t", "--data", "plain text")
    assert api.body()["data"] == "plain text"

    listed = levare_run(api, "events", "--type", "data.ready").stdout.splitlines()
    assert '{"n": 1}' in listed[1]
    assert levare_run(api, "events", "send", "t", "--set", "x").exit_code == 2
    nothing = Api().on("GET /v1/events", {"items": [], "next_cursor": None})
    assert "No such event" in levare_run(nothing, "events").stderr


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["trigger.yaml", "--in-flight", "1"], "write into it what --in-flight said"),
        (["--ended", "etl", "--source", "/lake", "--", "a"], "--source says more of --event, and there is none"),
        (["--event", "x", "--node", "atlas", "--", "a"], "--node says more of --file, and there is none"),
        (["--outcome", "any", "--", "a"], "--outcome says more of --ended, and there is none"),
        (["--", "a"], "There is no file 'a'; before a command say --event, --file or --ended"),
    ],
)
def test_an_option_that_would_be_ignored_is_misuse(
    options: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("trigger.yaml").write_text("when: {event: {type: a}}\njob: {command: [a]}\n")

    result = levare_run(Api(), "triggers", "set", "new-data", *options)

    assert result.exit_code == 2
    assert told in result.stderr


def test_an_event_under_a_name_that_another_has_is_told(tmp_path: Path):
    row = {"number": 1, "id": "a1", "source": "/lake", "type": "data.ready", "subject": None, "event": EVENT}
    api = Api().on("POST /v1/events", row | {"received_at": AT, "sender": "ada"})
    send = ["events", "send", "data.ready", "--source", "/lake", "--id", "a1", "--data"]
    (tmp_path / "bytes").write_bytes(b"\n\xff")

    again, other = levare_run(api, *send, '{"n": 1}'), levare_run(api, *send, '{"n": 2}')
    refused = [levare_run(api, *send, f"@{tmp_path / name}") for name in ("bytes", "nothing", ".")]

    assert (again.stdout, again.stderr) == ("a1\n", "")
    assert other.stdout == "a1\n"
    assert "was received before, at 2030-01-01 12:00:00, with other content" in other.stderr
    assert [each.exit_code for each in refused] == [1, 1, 1]
    assert "line 2 is not UTF-8" in refused[0].stderr
    assert "There is no file" in refused[1].stderr
    assert "Is a directory" in refused[2].stderr
