"""`levare teams`, `levare windows`."""

import json
from typing import Any

import pytest

from tests.pure.scripted import Api, a_problem, levare_run

NO_QUOTA = dict.fromkeys(("gpus", "running", "queued", "gpu_hours")) | {"period_seconds": 2592000, "borrow": True}
MISSING = a_problem("not-found", 404)


def a_team(**other: Any) -> dict[str, Any]:
    team = {
        "name": "vision",
        "declared": True,
        "weight": 2.0,
        "quota": NO_QUOTA | {"gpus": 8},
        "projects": {},
        "users": {},
        "members": {},
        "entitled_percent": 66.67,
        "used_percent": 61.0,
        "used_gpu_hours": 310.5,
        "period_gpu_hours": 1250.0,
        "gpus": 10,
        "borrowed_gpus": 2,
        "running": 4,
        "queued": 12,
        "rank": 2,
        "why": "Is owed 2 of 3 parts of the fleet.",
        "updated_at": "2030-01-01T12:00:00Z",
    }
    return team | other


def a_window(**other: Any) -> dict[str, Any]:
    window = {
        "name": "upgrade",
        "nodes": ["node-a", "node-b"],
        "starts": "2030-01-01T12:00:00Z",
        "ends": "2030-01-01T14:00:00Z",
        "team": None,
        "user": None,
        "reason": "A new driver.",
        "created_by": "admin",
        "created_at": "2030-01-01T12:00:00Z",
    }
    return window | other


def test_teams_show_what_each_is_owed_and_has_had():
    api = Api().on("GET /v1/teams", {"items": [a_team()]}).on("GET /v1/teams/vision", a_team())

    rows = [line.split() for line in levare_run(api, "teams").stdout.splitlines()]
    one = levare_run(api, "teams", "vision").stdout

    assert rows[1] == ["vision", "2", "67%", "61%", "2", "10", "2", "4", "12", "8", "GPUs"]
    assert "Is owed 2 of 3 parts of the fleet." in one
    assert "1250.0 ended in the last 30 days" in one
    assert json.loads(levare_run(api, "teams", "--json").stdout) == {"items": [a_team()]}
    assert json.loads(levare_run(api, "teams", "vision", "--json").stdout) == a_team()
    assert levare_run(Api().on("GET /v1/teams", {"items": []}), "teams").stderr.startswith("There is no team yet")


def test_a_team_that_has_the_name_of_a_command_can_be_shown():
    api = Api().on("GET /v1/teams/set", a_team(name="set"))

    assert "set" in levare_run(api, "teams", "show", "set").stdout
    assert "Commands:" in levare_run(api, "teams", "--help").stdout


def test_setting_a_part_of_a_team_leaves_the_rest_as_it_is():
    before = a_team(users={"ada": NO_QUOTA | {"running": 3, "gpus": 1}})
    api = Api().on("GET /v1/teams/vision", before).on("PUT /v1/teams/vision", before)

    result = levare_run(api, "teams", "set", "vision", "--no-borrow", "--gpus", "none", "--running", "20")

    assert result.exit_code == 0, result.stderr
    assert api.body() == {
        "weight": 2.0,
        "quota": NO_QUOTA | {"running": 20, "borrow": False},
        "projects": {},
        "users": before["users"],
        "members": {},
    }
    assert result.stdout == "vision is set: weight 2, 8 GPUs\n  user ada: 1 GPU, 3 running\n"


def test_what_another_changes_meanwhile_is_not_undone():
    """A team is written whole: a second writer who has read it before the first one wrote would take that back."""
    api = Api().on("GET /v1/teams/vision", a_team(revision=3), a_team(revision=4, users={"eve": NO_QUOTA}))
    api.on("PUT /v1/teams/vision", a_problem("precondition-failed", 412), a_team(revision=5))

    assert levare_run(api, "teams", "set", "vision", "--running", "20").exit_code == 0

    puts = [each for each in api.asked if each.method == "PUT"]
    assert [each.headers["If-Match"] for each in puts] == ['"3"', '"4"']
    assert api.body()["users"] == {"eve": NO_QUOTA}


def test_a_member_is_added_and_another_taken_out():
    before = a_team(members={"ben": "admin", "eve": "viewer"})
    api = Api().on("GET /v1/teams/vision", before).on("PUT /v1/teams/vision", a_team(members={"ada": "member"}))

    result = levare_run(api, "teams", "set", "vision", "--member", "ada=member", "--member", "ben=none")

    assert result.exit_code == 0, result.stderr
    assert api.body()["members"] == {"eve": "viewer", "ada": "member"}
    assert result.stdout.endswith("  member ada: member\n")
    assert "not a name and a role" in levare_run(api, "teams", "set", "vision", "--member", "ada=king").stderr


def test_a_new_team_is_set_with_what_is_given_alone():
    api = Api().on("GET /v1/teams/new", MISSING).on("PUT /v1/teams/new", a_team(name="new"))
    options = ("--weight", "0.5", "--queued", "500", "--gpu-hours", "12.5", "--period", "7d", "--dry-run")

    result = levare_run(api, "teams", "set", "new", *options)

    assert api.body() == {"weight": 0.5, "quota": {"queued": 500, "gpu_hours": 12.5, "period_seconds": 604800}}
    assert api.asked[-1].url.query == b"dry_run=true"
    assert "new would be set" in result.stdout


@pytest.mark.parametrize(("option", "part"), [("--project", "projects"), ("--user", "users")])
def test_a_quota_can_be_of_a_project_or_a_user(option: str, part: str):
    api = Api().on("GET /v1/teams/vision", a_team()).on("PUT /v1/teams/vision", a_team())

    levare_run(api, "teams", "set", "vision", option, "x", "--gpus", "2")

    assert api.body()[part] == {"x": {"gpus": 2}}
    assert api.body()["quota"] == a_team()["quota"]


@pytest.mark.parametrize(
    "options", [["--gpus", "-1"], ["--gpus", "1.5"], ["--gpu-hours", "inf"], ["--project", "a", "--user", "b"]]
)
def test_a_limit_that_is_none_is_misuse(options: list[str]):
    assert levare_run(Api(), "teams", "set", "vision", *options).exit_code == 2


def test_a_team_is_removed():
    api = Api().on("DELETE /v1/teams/vision", a_team())

    assert levare_run(api, "teams", "remove", "vision").stdout.startswith("vision weighs 1 and has no quota")
    assert json.loads(levare_run(api, "teams", "remove", "vision", "--json").stdout) == a_team()


def test_windows_are_listed_added_and_removed():
    ours = a_window(name="paper", team="vision", user="ada")
    api = Api().on("GET /v1/windows", {"items": [a_window(), ours]}).on("PUT /v1/windows/upgrade", a_window())
    api.on("DELETE /v1/windows/upgrade", a_window()).on("GET /v1/windows/paper", ours)
    times = ("--from", "2030-01-01T12:00:00Z", "--until", "2030-01-01T14:00:00Z")

    listed = levare_run(api, "windows").stdout
    added = levare_run(
        api, "windows", "add", "upgrade", "--node", "node-a", "--node", "node-b", *times, "--reason", "A new driver."
    )
    removed = levare_run(api, "windows", "remove", "upgrade")

    assert "maintenance" in listed.splitlines()[1]
    assert "ada of vision" in listed.splitlines()[2]
    assert "ada of vision" in levare_run(api, "windows", "paper").stdout
    assert api.body(1) == {
        "nodes": ["node-a", "node-b"],
        "starts": "2030-01-01T12:00:00+00:00",
        "ends": "2030-01-01T14:00:00+00:00",
        "team": None,
        "user": None,
        "reason": "A new driver.",
    }
    assert added.stdout.startswith("upgrade keeps node-a, node-b from ")
    assert removed.stdout == "upgrade gives node-a, node-b back\n"
    assert levare_run(api, "windows", "add", "upgrade", *times).exit_code == 2
    assert "No window" in levare_run(Api().on("GET /v1/windows", {"items": []}), "windows").stderr


def test_the_shell_completes_commands_and_the_teams_there_are():
    api = Api().on("GET /v1/teams", {"items": [a_team()]})
    completing = {"_LEVARE_COMPLETE": "bash_complete", "COMP_WORDS": "levare teams ", "COMP_CWORD": "2"}

    assert levare_run(api, env=completing, prog_name="levare").stdout.split() == [
        "plain,remove",
        "plain,set",
        "plain,show",
    ]


def test_a_window_ends_at_a_time_or_lasts_from_its_start():
    add = ["windows", "add", "upgrade", "--node", "a", "--from", "2030-01-01T12:00Z"]

    made = levare_run(api := Api().on("PUT /v1/windows/upgrade", a_window()), *add, "--for", "1d12h")
    wrong = [[], ["--for", "1h", "--until", "+1h"], ["--for", "9999999d"]]
    refused = [levare_run(Api(), *add, *more) for more in wrong]

    assert made.exit_code == 0, made.stderr
    assert api.body()["ends"] == "2030-01-03T00:00:00+00:00"
    assert [each.exit_code for each in refused] == [2, 2, 2]
