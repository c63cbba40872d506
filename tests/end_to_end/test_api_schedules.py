"""Schedules over the API, with what beat would have decided in between."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from beat.leader import Leader
from beat.timekeeper import Timekeeper
from levare.manifest.kinds import declared
from levare.model import Rules
from tests.end_to_end.serving import Api, refused

HOUR = timedelta(hours=1)
TRUE = {"command": ["true"]}
NIGHTLY = {"cron": "0 3 * * *", "zone": "Europe/Berlin", "job": TRUE}


def put(api: Api, name: str = "nightly", definition: dict[str, Any] = NIGHTLY, **more: Any) -> dict[str, Any]:
    answer = api.client.put(f"/v1/schedules/{name}", json={**definition, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def hourly_since(at: datetime, **more: Any) -> dict[str, Any]:
    return {"every_seconds": 3600, "starts": at.isoformat(), "job": TRUE, **more}


def keep_time(api: Api) -> Callable[[datetime], Any]:
    """Have beat decide at a time."""
    leader = Leader(api.database)
    assert leader.leads()
    return lambda now: Timekeeper(api.database, leader, Rules()).run(now=now)


def test_a_schedule_is_declared_as_it_was_written_and_the_same_again_changes_nothing(api: Api):
    steps = [{"step": "a", **TRUE}, {"step": "b", **TRUE, "needs": ["a"]}]
    steps += [{"step": "c", **TRUE, "needs": [{"job": "b", "on": "always"}]}]
    definition = {
        "cron": "0 3 * * *",
        "zone": "Europe/Berlin",
        "starts": "2030-01-01T00:00:00+01:00",
        "calendar": {"days": "MON-FRI", "windows": ["22:00-06:00"], "except": ["2030-05-17"]},
        "parameters": {"days": 7, "net": "big"},
        "pipeline": {"jobs": steps},
    }

    made = put(api, definition=definition)["schedule"]
    again = put(api, definition=definition)["schedule"]

    assert list(made["definition"].items()) == list(definition.items())
    assert again == made
    assert (made["state"], made["due_at"], made["owner"]) == ("active", "2030-01-01T02:00:00Z", "admin")
    assert (made["last"], made["success_percent"], made["open_runs"]) == (None, None, [])
    assert api.get("/v1/schedules/nightly") == made
    assert api.get("/v1/schedules")["items"] == [made]
    assert len(api.get("/v1/schedules/nightly/revisions")["items"]) == 1


def test_a_declaration_says_what_its_times_may_not_have_been_meant_to(local_api: Api):
    local_api.join()
    made = put(local_api, cron="30 2 * * *", job={**TRUE, "gpus": 8})

    assert {(each["code"], each["level"]) for each in made["findings"]} == {
        ("skipped-by-clocks", "warning"),
        ("doubled-by-clocks", "warning"),
        ("can-never-run", "error"),
    }
    assert local_api.get("/v1/schedules/lint")["items"] == local_api.get("/v1/schedules/nightly/lint")["items"]
    assert local_api.get("/v1/schedules/lint")["items"][0]["code"] == "can-never-run"


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"cron": "61 3 * * *"}, "invalid-schedule", "cron.minute"),
        ({"zone": "Europe/Berlim"}, "invalid-schedule", "zone"),
        ({"every_seconds": 60}, "invalid-schedule", "cron"),
        ({"cron": None}, "invalid-schedule", "cron"),
        ({"job": None}, "invalid-schedule", "job"),
        ({"pipeline": {"jobs": [{"step": "a", **TRUE}]}}, "invalid-schedule", "job"),
        ({"job": {**TRUE, "start_after": "2030-01-01T00:00:00Z"}}, "invalid-schedule", "job.start_after"),
        ({"job": {**TRUE, "needs": ["nothing"]}}, "unknown-needs", "job.needs"),
        ({"job": {**TRUE, "array": {}}}, "invalid-array", "job.array"),
        ({"job": {**TRUE, "warning_seconds": 5}}, "contradiction", "job.warning_seconds"),
        ({"job": {**TRUE, "gpu": 5}}, "invalid-request", "job.gpu"),
        ({"calendar": {"days": "MON-FRY"}}, "invalid-schedule", "cron.day of week"),
        ({"calendar": {"windows": ["6-22"]}}, "invalid-schedule", "calendar.windows"),
        ({"calendar": {"except": ["2030-02-30"]}}, "invalid-request", "calendar.except.0"),
        ({"misfire": "never"}, "invalid-request", "misfire"),
        ({"parameters": {"a": 1, "A": 2}}, "invalid-request", "parameters"),
        ({"starts": "2030-01-01T00:00:00"}, "invalid-request", "starts"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(refusing_api: Api, change: dict[str, Any], code: str, field: str):
    answer = refusing_api.client.put("/v1/schedules/nightly", json={**NIGHTLY, **change})

    assert [error["field"] for error in refused(answer, 422, code)["errors"]] == [field]
    refused(refusing_api.client.get("/v1/schedules/nightly"), 404, "not-found")


def test_a_word_of_the_api_is_no_name_of_a_schedule(refusing_api: Api):
    refused(refusing_api.client.put("/v1/schedules/lint", json=NIGHTLY), 405, "method-not-allowed")


def test_a_dry_run_declares_nothing(api: Api):
    answer = api.client.put("/v1/schedules/nightly?dry_run=true", json=NIGHTLY)

    assert answer.json()["schedule"]["state"] == "active"
    refused(api.client.get("/v1/schedules/nightly"), 404, "not-found")
    put(api)
    for method, path, body in (
        ("DELETE", "", None),
        ("PUT", "/state", {"state": "paused"}),
        ("POST", "/run", {}),
    ):
        assert api.client.request(method, f"/v1/schedules/nightly{path}?dry_run=true", json=body).status_code == 200
    assert api.get("/v1/schedules/nightly")["state"] == "active"
    assert api.get("/v1/jobs")["items"] == []


def test_fires_are_told_with_what_became_of_their_jobs(api: Api):
    api.join()
    now = datetime.now(UTC).replace(microsecond=0)
    put(api, definition=hourly_since(now + HOUR, misfire="latest"))
    keep_time(api)(now + 3 * HOUR)
    [job] = api.get("/v1/jobs")["items"]
    api.finish(api.start(job["id"]))

    fires = api.get("/v1/schedules/nightly/fires")["items"]
    schedule = api.get("/v1/schedules/nightly")

    assert [(fire["outcome"], fire["state"]) for fire in fires] == [
        ("run", "succeeded"),
        ("skipped", None),
        ("skipped", None),
    ]
    assert schedule["last"] == fires[0]
    assert (schedule["success_percent"], schedule["runs_counted"], schedule["open_count"]) == (100, 1, 0)
    first = api.get("/v1/schedules/nightly/fires", limit=2)
    second = api.get("/v1/schedules/nightly/fires", limit=2, cursor=first["next_cursor"])
    assert [*first["items"], *second["items"]] == fires
    assert second["next_cursor"] is None
    assert len(api.get("/v1/schedules/nightly/fires", outcome="skipped")["items"]) == 2


def test_a_paused_schedule_skips_with_the_reason_and_a_resumed_one_runs(api: Api):
    now = datetime.now(UTC).replace(microsecond=0)
    decide = keep_time(api)
    put(api, definition=hourly_since(now + HOUR))
    paused = api.client.put("/v1/schedules/nightly/state", json={"state": "paused", "reason": "No data."}).json()
    decide(now + HOUR)
    resumed = api.client.put("/v1/schedules/nightly/state", json={"state": "active"}).json()
    decide(now + 2 * HOUR)

    assert (paused["state"], paused["paused_by"], paused["paused_reason"]) == ("paused", "admin", "No data.")
    assert (resumed["state"], resumed["paused_at"]) == ("active", None)
    ran, skipped = api.get("/v1/schedules/nightly/fires")["items"]
    assert (ran["outcome"], skipped["outcome"]) == ("run", "skipped")
    assert skipped["reason"].endswith("No data.")
    assert api.get("/v1/schedules/nightly")["open_runs"] == [{"due_at": ran["due_at"], "jobs": [ran["job"]]}]


def test_a_run_that_is_asked_for_is_made_once_for_a_key_and_takes_parameters(api: Api):
    put(api, parameters={"days": 7, "net": "big"})
    asked = {"json": {"parameters": {"days": 30}}, "headers": {"Idempotency-Key": "k1"}}

    first = api.client.post("/v1/schedules/nightly/run", **asked)
    again = api.client.post("/v1/schedules/nightly/run", **asked)
    other = api.client.post("/v1/schedules/nightly/run", json={}, headers={"Idempotency-Key": "k1"})

    assert (first.status_code, first.json()) == (201, again.json())
    [job] = first.json()["jobs"]
    assert (job["schedule"], job["due_at"], job["user"]) == ("nightly", None, "admin")
    assert job["parameters"] == {"days": 30, "net": "big"}
    assert api.get(first.headers["Location"]) == job
    refused(other, 422, "idempotency-mismatch")
    assert api.get("/v1/schedules/nightly")["open_runs"] == [{"due_at": None, "jobs": [job["id"]]}]


def test_a_pipeline_that_is_asked_for_answers_all_its_jobs(local_api: Api):
    put(local_api, definition={"cron": "@daily", "pipeline": {"jobs": [{"step": "a", **TRUE}, {"step": "b", **TRUE}]}})
    key = {"headers": {"Idempotency-Key": "k1"}, "json": {}}

    run = local_api.client.post("/v1/schedules/nightly/run", **key).json()

    assert {job["step"] for job in run["jobs"]} == {"a", "b"}
    assert {job["pipeline"] for job in run["jobs"]} == {run["pipeline"]}
    again = local_api.client.post("/v1/schedules/nightly/run", **key).json()
    assert {job["id"] for job in again["jobs"]} == {job["id"] for job in run["jobs"]}


def test_the_next_times_are_told_by_the_clocks_of_the_zone(local_api: Api):
    put(local_api, starts="2030-03-29T00:00:00Z", cron="30 2 * * *", jitter_seconds=600)

    found = local_api.get("/v1/schedules/nightly/next", count=3)

    assert (found["zone"], found["state"]) == ("Europe/Berlin", "active")
    assert [each["local"] for each in found["items"]] == [
        "2030-03-29T02:30:00+01:00",
        "2030-03-30T02:30:00+01:00",
        "2030-03-31T03:00:00+02:00",
    ]
    for each in found["items"]:
        late = datetime.fromisoformat(each["fires_at"]) - datetime.fromisoformat(each["due_at"])
        assert timedelta() <= late < timedelta(minutes=10)


def why(api: Api, at: datetime | str) -> dict[str, Any]:
    return api.get("/v1/schedules/nightly/why", at=at if isinstance(at, str) else at.isoformat())


def test_why_tells_what_became_of_a_time_or_why_nothing_was_due(api: Api):
    now = datetime.now(UTC).replace(microsecond=0)
    first = now + HOUR
    put(api, definition=hourly_since(first, misfire="skip"))
    decide = keep_time(api)
    decide(first)
    decide(first + HOUR + HOUR / 2)
    [ran] = api.get("/v1/jobs")["items"]

    verdicts = {
        "before": why(api, now - HOUR),
        "ran": why(api, first),
        "skipped": why(api, first + HOUR),
        "between": why(api, first + HOUR / 2),
        "to come": why(api, first + 9 * HOUR),
    }

    assert {name: told["verdict"] for name, told in verdicts.items()} == {
        "before": "not-declared",
        "ran": "run",
        "skipped": "skipped",
        "between": "not-due",
        "to come": "future",
    }
    assert verdicts["ran"]["fire"]["job"] == ran["id"]
    assert "what is missed is skipped" in verdicts["skipped"]["message"]
    assert [each["part"] for each in verdicts["between"]["excluded"]] == ["every_seconds"]
    told = verdicts["between"]
    assert (told["before"], told["after"]) == (ran["due_at"], f"{first + HOUR:%Y-%m-%dT%H:%M:%SZ}")
    refused(api.client.get("/v1/schedules/other/why?at=2030-01-01T00:00:00Z"), 404, "not-found")


def test_why_names_the_part_of_the_definition_that_excludes_a_time(local_api: Api):
    calendar = {"days": "MON-FRI", "windows": ["02:00-04:00"], "except": ["2030-05-17"], "holidays": ["2030-12-25"]}
    put(local_api, cron="0 * * * *", calendar=calendar, starts="2030-01-01T00:00:00Z", ends="2031-01-01T00:00:00Z")

    def excluding(at: str) -> list[str]:
        return [each["part"] for each in why(local_api, at)["excluded"]]

    assert excluding("2030-05-16T03:00:00+02:00") == []
    assert excluding("2030-05-16T03:10:00+02:00") == ["cron"]
    assert excluding("2030-05-16T05:00:00+02:00") == ["calendar.windows"]
    assert excluding("2030-05-17T03:00:00+02:00") == ["calendar.except"]
    assert excluding("2030-05-18T03:00:00+02:00") == ["calendar.days"]
    assert excluding("2030-12-25T03:00:00+01:00") == ["calendar.holidays"]
    assert excluding("2029-05-16T03:00:00+02:00") == ["starts"]
    assert excluding("2031-05-16T03:00:00+02:00") == ["ends"]


def test_why_knows_of_edits_and_of_removals(api: Api):
    now = datetime.now(UTC).replace(microsecond=0)
    due = now + timedelta(seconds=30)
    put(api, definition=hourly_since(due))
    put(api, definition=hourly_since(due + HOUR))
    changed = why(api, due)

    api.client.delete("/v1/schedules/nightly")
    removed = why(api, due + HOUR)

    assert changed["verdict"] == "not-due"
    assert [each["part"] for each in changed["excluded"]] == ["every_seconds", "starts"]
    assert (removed["verdict"], removed["fire"]) == ("not-declared", None)
    assert "was removed" in removed["message"]
    before, after, gone = reversed(api.get("/v1/schedules/nightly/revisions")["items"])
    assert (before["before"], gone["after"]) == (None, None)
    assert after["before"] == before["after"]
    refused(api.client.get("/v1/schedules/nightly"), 404, "not-found")


def test_the_calendar_shows_the_load_to_come_and_finds_a_slot(local_api: Api):
    local_api.join(gpus=4)
    soon = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + 2 * HOUR
    job = {**TRUE, "gpus": 3, "timeout_seconds": 5400}
    put(local_api, "a", {"at": soon.isoformat(), "job": job})
    put(local_api, "b", {"at": (soon + HOUR).isoformat(), "job": job})

    found = local_api.get("/v1/schedules/calendar", days=1, gpus=2, seconds=7200)
    narrow = local_api.client.get("/v1/schedules/calendar?days=1&gpus=2")

    assert [(start["schedule"], start["gpus"], start["typical_seconds"]) for start in found["starts"]] == [
        ("a", 3, 5400),
        ("b", 3, 5400),
    ]
    assert [(hour["gpus"], hour["is_conflict"], hour["schedules"]) for hour in found["hours"]] == [
        (3, False, ["a"]),
        (6, True, ["a", "b"]),
        (3, False, ["b"]),
    ]
    assert found["fleet_gpus"] == 4
    assert found["slot"]["busy"] == 0
    assert [each["code"] for each in local_api.get("/v1/schedules/lint")["items"]] == []
    refused(narrow, 422, "contradiction")


def test_the_definitions_of_the_guide_are_taken(refusing_api: Api):
    guide = (Path(__file__).parents[2] / "docs" / "schedules.md").read_text()
    found = re.findall(r"^```yaml\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)

    assert found
    for text in found:
        definition = json.loads(json.dumps(YAML(typ="safe", pure=True).load(text), default=str))
        answer = refusing_api.client.put("/v1/schedules/guide?dry_run=true", json=definition)
        kept = declared("schedule", "guide", definition).document
        assert (answer.status_code, answer.json()["schedule"]["definition"]) == (200, kept)
