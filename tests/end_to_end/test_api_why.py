from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from levare.model import Placement, Request
from levare.store import attempts
from tests.end_to_end.serving import Api, refused, serving

HOUR = timedelta(hours=1)
NOTHING = {"verdict": None, "reasons": [], "change": None, "ahead": [], "jobs_ahead": 0, "priority": None}


def why(api: Api, job: str) -> Any:
    return api.get(f"/v1/jobs/{job}/why")


def hold(api: Api, *gpus: int, **wish: Any) -> str:
    """A job that is placed on these GPUs of n1."""
    job = api.submit(gpus=len(gpus), **wish)
    held = {f"n1-{number}": 81920 for number in gpus}
    with api.database.writing() as connection:
        attempts.place(connection, [Placement(job, "n1", Request(len(gpus)), held)], {}, now=datetime.now(UTC))
    return job


def in_hours(text: str | None) -> float:
    assert text
    return round((datetime.fromisoformat(text) - datetime.now(UTC)) / HOUR, 1)


def test_a_wait_is_answered_with_times_a_change_who_comes_first_and_its_place(api: Api):
    api.join(gpus=2)
    hold(api, 0, timeout_seconds=7200)
    first, second = api.submit(gpus=2, timeout_seconds=3600), api.submit(gpus=2, timeout_seconds=3600)

    found = why(api, second)

    assert (found["job"], found["state"], found["verdict"]) == (second, "waiting", "will-wait")
    assert [(each["code"], each["asked"], each["available"]) for each in found["reasons"]] == [
        ("gpus-busy", 2, 1),
        ("behind-others", 0, 1),
    ]
    assert (in_hours(found["estimate"]["typical"]), in_hours(found["estimate"]["latest"])) == (3, 3)
    assert found["change"] == {
        "field": "gpus",
        "value": 1,
        "message": "With 1 GPU instead of 2 it would start now.",
    }
    assert [each["job"] for each in found["ahead"]] == [first]
    assert (found["jobs_ahead"], found["jobs_ahead_is_least"]) == (1, False)
    team = found["priority"].pop("team")
    assert found["priority"] == {"declared": 5, "from_age": 0, "from_deadline": 0}
    assert (team["name"], team["entitled_percent"], team["rank"], team["teams"]) == ("default", 100, 1, 1)


def test_the_change_that_is_proposed_is_what_a_submit_takes(api: Api):
    api.join(gpus=2)
    hold(api, 0)
    body = {"command": ["true"], "gpus": 2, "timeout_seconds": 3600}

    before = api.client.post("/v1/jobs?dry_run=true", json=body).json()
    change = before["change"]
    after = api.client.post("/v1/jobs?dry_run=true", json=body | {change["field"]: change["value"]}).json()

    assert (before["job"], before["accepted"], before["verdict"]) == (None, True, "will-wait")
    assert (after["verdict"], after["reasons"], after["change"]) == ("starts-now", [], None)
    assert api.count("jobs") == 1


def test_a_job_that_does_not_wait_is_answered_with_how_it_stands(api: Api):
    api.join()
    job = api.submit()
    attempt = api.start(job)

    assert NOTHING.items() <= why(api, job).items()
    assert "It has run on n1 since" in why(api, job)["message"]
    api.finish(attempt)
    assert why(api, job)["message"] == "It succeeded at 2026-01-01 12:00:00 UTC: It ended."


def test_a_job_that_may_not_start_yet_or_is_to_be_cancelled_stands_in_no_queue(api: Api):
    needed = api.submit()
    blocked = api.submit(needs=[needed], start_after=(datetime.now(UTC) + HOUR).isoformat())

    found = why(api, blocked)
    assert (found["verdict"], found["priority"]) == ("will-wait", None)
    assert [each["code"] for each in found["reasons"]] == ["needs", "start-after"]
    api.client.delete(f"/v1/jobs/{needed}")
    assert why(api, needed)["message"].startswith("It is being cancelled, as was asked for at")
    assert why(api, needed)["verdict"] is None


def test_a_full_quota_is_named(api: Api):
    api.join()
    api.client.put("/v1/teams/vision", json={"quota": {"gpus": 1, "borrow": False}}).raise_for_status()
    hold(api, 0, team="vision")

    (reason,) = why(api, api.submit(gpus=1, team="vision"))["reasons"]

    assert (reason["code"], reason["asked"], reason["available"]) == ("quota-gpus", 1, 0)


def test_a_team_that_holds_less_of_its_share_is_named(api: Api):
    api.join(gpus=1)
    hold(api, 0, team="vision")
    theirs, ours = api.submit(gpus=1, team="speech"), api.submit(gpus=1, team="vision")

    found = why(api, ours)

    (ahead,) = found["ahead"]
    assert ahead["job"] == theirs
    assert ahead["reason"] == "Team speech holds 0% of its present share, less than half; team vision holds 100%."
    assert found["priority"]["team"]["rank"] == 2


def test_a_window_and_a_drained_node_are_named_with_what_would_help(api: Api):
    api.join()
    now = datetime.now(UTC)
    times = {"starts": (now + 3.5 * HOUR).isoformat(), "ends": (now + 5 * HOUR).isoformat()}
    api.client.put("/v1/windows/driver", json={"nodes": ["n1"], **times}).raise_for_status()
    job = api.submit(gpus=1, timeout_seconds=6 * 3600)

    found = why(api, job)
    assert [each["code"] for each in found["reasons"]] == ["window"]
    assert (found["change"]["field"], found["change"]["value"]) == ("timeout_seconds", 3 * 3600)
    assert in_hours(found["estimate"]["latest"]) == 5
    api.client.put("/v1/nodes/n1/state", json={"state": "draining"}).raise_for_status()
    assert "node-draining" in [each["code"] for each in why(api, job)["reasons"]]
    assert why(api, job)["estimate"]["latest"] is None


def test_a_job_that_fits_no_node_any_more_can_never_run(api: Api):
    api.join(gpus=4)
    job = api.submit(gpus=4)
    api.join(gpus=2)

    found = why(api, job)

    assert found["verdict"] == "can-never-run"
    assert (found["reasons"][0]["asked"], found["reasons"][0]["available"]) == (4, 2)
    assert (found["estimate"]["latest"], found["change"]["value"]) == (None, 2)


def test_prices_and_costs_are_told_in_the_currency_of_the_fleet(
    tmp_path: Path, make_database_url: Callable[[str], str]
):
    with serving(tmp_path / "home", make_database_url("sqlite"), LEVARE_CURRENCY="EUR") as api:
        api.join(price=8.0)
        wish = {"command": ["true"], "gpus": 1, "timeout_seconds": 3600}

        trial = api.client.post("/v1/jobs?dry_run=true", json=wish).json()
        job = api.submit(gpus=1)

        assert trial["cost"] == {"typical": 4.0, "most": 4.0, "currency": "EUR"}
        assert api.get(f"/v1/jobs/{job}", fields="cost,currency") == {"cost": None, "currency": "EUR"}
        assert why(api, job)["cost"] is None
        assert api.get("/v1/nodes/n1")["price"] == 8.0


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_a_licence_of_the_fleet_may_be_asked_for_up_to_what_there_is(
    tmp_path: Path, make_database_url: Callable[[str], str], dialect: str
):
    with serving(tmp_path / "home", make_database_url(dialect), LEVARE_LICENCES="matlab=2") as api:
        api.join()

        api.submit(resources={"matlab": 2})
        too_many = api.client.post("/v1/jobs", json={"command": ["true"], "resources": {"matlab": 3}})

        assert refused(too_many, 422, "can-never-run")["errors"][0]["field"] == "resources"
