from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import select

from levare.store import tables
from tests.end_to_end.serving import Api, refused

HOUR = timedelta(hours=1)
QUOTA = {"gpus": 8, "running": 20, "queued": 500, "gpu_hours": 2000, "period_seconds": 604800, "borrow": False}
NO_QUOTA = dict.fromkeys(("gpus", "running", "queued", "gpu_hours")) | {"period_seconds": 2592000, "borrow": True}


def put(api: Api, path: str, **body: Any) -> Any:
    answer = api.client.put(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def audited(api: Api) -> list[tuple[str, str]]:
    with api.database.reading() as connection:
        rows = connection.execute(select(tables.audit).order_by(tables.audit.c.id)).all()
    return [(row.action, row.object) for row in rows if row.action.partition(".")[0] in ("team", "window")]


def a_window(**other: Any) -> dict[str, Any]:
    now = datetime.now(UTC)
    times = {"starts": (now + HOUR).isoformat(), "ends": (now + 2 * HOUR).isoformat()}
    return {"nodes": ["n1"], **times, **other}


def test_a_team_is_declared_looked_at_and_forgotten(api: Api):
    made = put(api, "/v1/teams/vision", weight=2, quota=QUOTA, projects={"p": {"gpus": 4}}, users={"ada": {}})

    assert (made["weight"], made["quota"], made["declared"]) == (2, QUOTA, True)
    assert made["projects"] == {"p": NO_QUOTA | {"gpus": 4}}
    assert made["users"] == {"ada": NO_QUOTA}
    assert api.get("/v1/teams/vision") == made
    assert api.get("/v1/teams", fields="name,weight") == {"items": [{"name": "vision", "weight": 2}]}
    assert api.client.delete("/v1/teams/vision").json() == made
    refused(api.client.get("/v1/teams/vision"), 404, "not-found")
    refused(api.client.delete("/v1/teams/vision"), 404, "not-found")
    assert audited(api) == [("team.set", "vision"), ("team.removed", "vision")]


def test_a_team_begins_with_its_first_job(api: Api):
    refused(api.client.get("/v1/teams/speech"), 404, "not-found")
    api.submit(team="speech")

    team = api.get("/v1/teams/speech")

    assert (team["declared"], team["weight"], team["quota"], team["queued"]) == (False, 1, NO_QUOTA, 1)
    assert team["why"].startswith("Is owed 1 of 1 parts of the fleet")
    refused(api.client.delete("/v1/teams/speech"), 404, "not-found")


def test_what_runs_shows_in_the_standing_of_its_team(api: Api):
    api.join()
    put(api, "/v1/teams/speech", weight=3)
    api.start(api.submit(team="vision"))

    vision, speech = api.get("/v1/teams/vision"), api.get("/v1/teams/speech")

    assert (vision["running"], vision["rank"], vision["entitled_percent"], vision["used_percent"]) == (1, 2, 25, 100)
    assert (speech["running"], speech["rank"], speech["entitled_percent"], speech["used_percent"]) == (0, 1, 75, 0)


def test_a_dry_run_declares_and_forgets_nothing(api: Api):
    tried = api.client.put("/v1/teams/vision?dry_run=true", json={"weight": 2})
    assert (tried.status_code, tried.json()["weight"]) == (200, 2)
    refused(api.client.get("/v1/teams/vision"), 404, "not-found")

    put(api, "/v1/teams/vision", weight=2)
    assert api.client.delete("/v1/teams/vision?dry_run=true").status_code == 200
    assert api.get("/v1/teams/vision")["weight"] == 2
    assert audited(api) == [("team.set", "vision")]


def test_a_declaration_that_makes_no_sense_is_refused(local_api: Api):
    for body in (
        {"weight": 0},
        {"weight": "heavy"},
        {"weigth": 1},
        {"quota": {"gpus": -1}},
        {"quota": {"period_seconds": 5}},
        {"quota": {"gpus": 1.5}},
        {"projects": {"a b": {}}},
        {"users": {"ada": {"gpu": 1}}},
    ):
        refused(local_api.client.put("/v1/teams/vision", json=body), 422, "invalid-request")
    refused(local_api.client.put("/v1/teams/a%20b", json={}), 422, "invalid-request")
    assert local_api.count("teams") == 0


def test_a_job_beyond_the_queue_of_its_team_is_refused(api: Api):
    put(api, "/v1/teams/vision", quota={"queued": 1})
    first = api.submit(team="vision")

    problem = refused(api.client.post("/v1/jobs", json={"command": ["true"], "team": "vision"}), 409, "quota-queued")
    refused(api.client.post("/v1/jobs?dry_run=true", json={"command": ["true"], "team": "vision"}), 409, "quota-queued")

    assert [(each["field"], each["value"], each["limit"]) for each in problem["errors"]] == [("queued", 2, 1)]
    api.client.delete(f"/v1/jobs/{first}")
    api.submit(team="vision")


def test_an_array_counts_as_many_queued_jobs_as_it_has_elements(api: Api):
    put(api, "/v1/teams/vision", quota={"queued": 5})
    api.submit(team="vision", array={"size": 3})

    again = {"command": ["true"], "team": "vision", "array": {"size": 3}}
    problem = refused(api.client.post("/v1/jobs", json=again), 409, "quota-queued")

    assert problem["detail"].startswith("Team vision has 3 jobs that have not begun; 3 more would be more than the 5")
    assert api.get("/v1/teams/vision")["queued"] == 3
    api.submit(team="vision", array={"size": 2})


def test_a_window_is_made_changed_listed_and_removed(api: Api):
    api.join("n1")
    asked = a_window(team="vision", user="ada", reason="The paper.")

    made = put(api, "/v1/windows/paper", **asked)

    assert (made["nodes"], made["team"], made["user"], made["created_by"]) == (["n1"], "vision", "ada", "admin")
    assert api.get("/v1/windows/paper") == made
    changed = put(api, "/v1/windows/paper", **asked | {"user": None})
    assert changed == made | {"user": None}
    assert api.get("/v1/windows", fields="name,user")["items"] == [{"name": "paper", "user": None}]
    assert api.client.delete("/v1/windows/paper").json() == changed
    refused(api.client.get("/v1/windows/paper"), 404, "not-found")
    assert api.get("/v1/windows") == {"items": []}
    assert audited(api) == [("window.set", "paper"), ("window.set", "paper"), ("window.removed", "paper")]


def test_a_window_of_no_node_or_no_time_is_refused(api: Api):
    api.join("n1")
    now = datetime.now(UTC)
    for wrong, field in (
        ({"nodes": ["n2"]}, "nodes"),
        ({"ends": now.isoformat()}, "ends"),
        ({"starts": (now - 2 * HOUR).isoformat(), "ends": (now - HOUR).isoformat()}, "ends"),
        ({"ends": (now + 400 * 24 * HOUR).isoformat()}, "ends"),
        ({"user": "ada"}, "user"),
        ({"nodes": []}, "nodes"),
    ):
        problem = refused(api.client.put("/v1/windows/w", json=a_window(**wrong)), 422, "invalid-request")
        assert [each["field"] for each in problem["errors"]] == [field]
    assert api.client.put("/v1/windows/w?dry_run=true", json=a_window()).status_code == 200
    assert api.count("windows") == 0
