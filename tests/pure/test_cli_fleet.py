"""`levare nodes`, `drain`, `resume`, `top`, `tokens`, `doctor`."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.pure.scripted import (
    JOB,
    Api,
    a_family,
    a_healthy_api,
    a_job,
    a_node,
    a_problem,
    levare_run,
)


def test_nodes_show_what_is_free_and_one_node_its_gpus():
    api = Api().on("GET /v1/nodes", {"items": [a_node()]}).on("GET /v1/nodes/node-a", a_node())

    rows = [line.split() for line in levare_run(api, "nodes").stdout.splitlines()]
    one = levare_run(api, "nodes", "node-a").stdout

    assert rows[1][:8] == ["node-a", "ready", "0/1", "8/16", "64GiB", "42%", "25%", "1"]
    assert f"0  ours   NVIDIA H100  97%  40GiB  80/80GiB   650W   61C  {JOB}" in one
    assert json.loads(levare_run(api, "nodes", "--json").stdout)["items"][0]["name"] == "node-a"


def test_one_node_shows_all_that_it_offers():
    text = levare_run(Api().on("GET /v1/nodes/node-a", a_node()), "nodes", "node-a").stdout

    for line in ("labels     zone=a, node=node-a, gpu=nvidia-h100", "scratch    1TiB free of 2TiB"):
        assert line in text
    assert "resources  licence 2/3 free\naddress    10.0.0.7" in text
    assert "takes nothing new" not in text


def test_nodes_tell_what_takes_nothing_new_until_when_and_why():
    excluded = {"excluded_until": "2030-01-01T12:00:00Z", "excluded_reason": "It failed 3 times."}
    [device] = a_node()["devices"]
    api = Api().on("GET /v1/nodes", {"items": [a_node(**excluded), a_node("node-b", devices=[device | excluded])]})

    lines = levare_run(api, "nodes").stdout.splitlines()

    assert lines[-2].startswith("node-a takes nothing new until 2030-01-01 ")
    assert lines[-1].startswith("node-b gpu 0 takes nothing new until 2030-01-01 ")
    assert all(line.endswith(": It failed 3 times.") for line in lines[-2:])


@pytest.mark.parametrize(("command", "state"), [("drain", "draining"), ("resume", "ready")])
def test_drain_and_resume_set_the_state_of_a_node(command: str, state: str):
    api = Api().on("PUT /v1/nodes/node-a/state", a_node(state=state))

    result = levare_run(api, command, "node-a")

    assert api.body() == {"state": state}
    assert f"node-a is {state}" in result.stdout


def test_top_off_a_terminal_prints_once():
    running = a_job(state="running", node="node-a", started_at="2030-01-01T12:00:00Z", progress=0.5)
    api = Api().on("GET /v1/nodes", {"items": [a_node()]})
    api.on("GET /v1/jobs", {"items": [running, a_job(id="other")], "next_cursor": None})

    text = levare_run(api, "top").stdout
    found = json.loads(levare_run(api, "top", "--json").stdout)

    assert text.splitlines()[0] == "1 of 1 nodes ready, 1 of 1 GPUs held, 1 job running, 1 waiting"
    assert "50%" in text
    assert "other" not in text
    assert [len(found["nodes"]), len(found["jobs"])] == [1, 2]


def test_a_new_token_is_all_that_goes_to_stdout():
    api = Api().on("POST /v1/tokens", {"id": "t1", "name": "laptop", "token": "lv_new"})

    result = levare_run(api, "tokens", "create", "laptop", "--expires", "2030-01-01T00:00:00Z")

    assert result.stdout == "lv_new\n"
    assert "cannot be shown again" in result.stderr
    assert api.body() == {"name": "laptop", "expires_at": "2030-01-01T00:00:00+00:00"}


def test_a_token_of_teams_says_its_role_in_each_and_for_how_long():
    api = Api().on("POST /v1/tokens", {"id": "t1", "name": "anna", "token": "lv_new"})

    levare_run(api, "tokens", "create", "anna", "--team", "vision=member", "--team", "nlp=viewer", "--expires", "90d")

    body = api.body()
    assert body["teams"] == {"vision": "member", "nlp": "viewer"}
    until = datetime.fromisoformat(body["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=89) < until <= timedelta(days=90)


@pytest.mark.parametrize("wrong", ["vision", "vision=boss", "=member"])
def test_a_role_that_is_none_is_refused_with_those_there_are(wrong: str):
    result = levare_run(Api(), "tokens", "create", "anna", "--team", wrong)

    assert result.exit_code == 2
    assert "viewer, member, admin" in result.stderr


def test_the_list_of_tokens_says_what_each_may_and_when_it_was_used():
    token = {"id": "t1", "name": "anna", "role": "metrics", "teams": {"vision": "member"}, "revoked_at": None}
    token |= {"created_at": "2030-01-01T12:00:00Z", "expires_at": None, "used_at": "2030-02-03T12:00:00Z"}

    line = levare_run(Api().on("GET /v1/tokens", {"items": [token]}), "tokens").stdout.splitlines()[1]

    assert "vision=member metrics" in line
    assert "2030-02-03" in line


def test_tokens_are_listed_and_revoked_by_name():
    old = {"id": "t1", "name": "laptop", "role": "admin", "created_at": "2030-01-01T12:00:00Z", "revoked_at": None}
    old |= {"teams": {}, "used_at": None}
    expired = old | {"id": "t2", "name": "old", "expires_at": "2020-01-01T00:00:00Z"}
    api = Api().on("GET /v1/tokens", {"items": [old | {"expires_at": None}, expired]}).on("DELETE /v1/tokens/t1", old)

    listed = levare_run(api, "tokens").stdout
    result = levare_run(api, "tokens", "revoke", "laptop")

    assert [line.split()[-1] for line in listed.splitlines()] == ["state", "valid", "expired"]
    assert (result.exit_code, result.stdout) == (0, "laptop is revoked\n")
    assert levare_run(api, "tokens", "list").stdout == listed


def test_families_show_how_long_they_take_and_why_they_are_held():
    held = {"fast_failures": 5, "held_until": "2030-01-01T12:10:00Z", "held_reason": "5 jobs failed."}
    known = a_family(name="a/b/d", runs=3, typical_seconds=90.0, promised_seconds=7200.0)
    api = Api().on(
        "GET /v1/families",
        {"items": [a_family(**held)], "next_cursor": "a/b/c"},
        {"items": [known], "next_cursor": None},
    )

    result = levare_run(api, "families", "--held")
    rows = [line.split() for line in result.stdout.splitlines()]

    assert rows[1][:5] == ["a/b/c", "0", "-", "-", "5"]
    assert rows[2] == ["a/b/d", "3", "1m30s", "2h00m", "0", "-"]
    assert "5 jobs failed." in result.stderr
    assert [dict(asked.url.params) for asked in api.asked] == [
        {"held": "true", "limit": "200"},
        {"held": "true", "cursor": "a/b/c", "limit": "200"},
    ]


def test_a_family_is_released_by_its_name():
    api = Api().on("DELETE /v1/families/a/b/c/hold", a_family())

    assert levare_run(api, "families", "release", "a/b/c").stdout == "a/b/c is not held: its jobs start as others do\n"


def test_doctor_is_content_when_all_is_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("LEVARE_HOME", str(tmp_path))

    result = levare_run(a_healthy_api(), "doctor")

    assert result.exit_code == 0, result.stdout
    assert "FAIL" not in result.stdout
    assert {line.split(":")[0].split(maxsplit=1)[1] for line in result.stdout.splitlines()} == {
        "address",
        "api",
        "database",
        "redis",
        "clock",
        "token",
        "node node-a",
        "clock of node-a",
        "disk of node-a",
        f"disk of {tmp_path}",
    }


def with_sample(**changes: float) -> dict[str, Any]:
    return {"items": [a_node(sample=a_node()["sample"] | changes)]}


@pytest.mark.parametrize(
    ("place", "answer", "failing"),
    [
        ("GET /readyz", httpx.ConnectError("refused"), "api"),
        ("GET /readyz", httpx.Response(503, json={"database": "does not answer", "redis": "ok"}), "database"),
        ("GET /readyz", {"database": "ok", "redis": "does not answer"}, "redis"),
        ("GET /readyz", {"database": "ok", "redis": "ok", "beat": "has decided nothing for 40 s"}, "beat"),
        (
            "GET /readyz",
            httpx.Response(
                200, json={"database": "ok", "redis": "ok"}, headers={"Date": "Tue, 01 Jan 2030 00:00:00 GMT"}
            ),
            "clock",
        ),
        ("GET /v1/nodes", a_problem("unauthorized", 401, next_step="Ask for one."), "token"),
        ("GET /v1/nodes", {"items": []}, "nodes"),
        ("GET /v1/nodes", lambda: {"items": [a_node(state="lost")]}, "node node-a"),
        ("GET /v1/nodes", lambda: {"items": [a_node(sample=None)]}, "node node-a"),
        ("GET /v1/nodes", lambda: with_sample(at=0), "clock of node-a"),
        ("GET /v1/nodes", lambda: with_sample(disk_free_gib=0.5), "disk of node-a"),
    ],
)
def test_doctor_names_what_is_wrong_and_what_to_do(place: str, answer: Any, failing: str):
    result = levare_run(a_healthy_api().on(place, answer() if callable(answer) else answer), "doctor", "--json")

    found = json.loads(result.stdout)
    wrong = [check for check in found["checks"] if not check["ok"]]
    assert (result.exit_code, found["ok"]) == (1, False)
    assert [check["name"] for check in wrong] == [failing]
    assert wrong[0]["next_step"]


TAKEN = "GPU 0 of node-a is used by process 4711 of bob (python train.py), which levare did not start."
ORPHAN = {"pid": 12, "attempt": f"{JOB}-1", "user": "alice", "command": "python left.py", "gpus": [0, 1]}


def a_taken_node() -> dict[str, Any]:
    node = a_node()
    return node | {"devices": [node["devices"][0] | {"free_mib": 81920, "ownership": "foreign", "note": TAKEN}]}


@pytest.mark.parametrize("args", [["nodes"], ["nodes", "show"], ["nodes", "node-a"], ["nodes", "show", "node-a"]])
def test_a_gpu_that_others_use_is_not_free_and_its_owner_is_told(args: list[str]):
    api = Api().on("GET /v1/nodes", {"items": [a_taken_node()]}).on("GET /v1/nodes/node-a", a_taken_node())

    lines = levare_run(api, *args).stdout.splitlines()

    assert lines[1].split()[:3] == ["node-a", "ready", "0/1"]
    assert lines[-1] == TAKEN


def a_reap(**other: Any) -> dict[str, Any]:
    return {"node": "node-a", "requested_at": None, "orphans": [], "reaped": [], **other}


def test_a_reap_waits_for_the_node_and_says_what_became_of_each():
    asked = a_reap(requested_at="2030-01-01T12:00:00Z", orphans=[ORPHAN])
    done = a_reap(reaped=[ORPHAN | {"outcome": "killed"}])
    api = Api().on("POST /v1/nodes/node-a/reap", asked).on("GET /v1/nodes/node-a/reap", asked, done)

    result = levare_run(api, "nodes", "reap", "node-a")

    assert (result.exit_code, result.stdout) == (
        0,
        f"process 12 (python left.py) of attempt {JOB}-1 on GPUs 0, 1 did not end by itself and was killed\n",
    )


def test_a_reap_fails_when_something_remains():
    done = a_reap(requested_at="2030-01-01T12:00:00Z", orphans=[ORPHAN])
    api = Api().on("POST /v1/nodes/node-a/reap", done)
    api.on("GET /v1/nodes/node-a/reap", a_reap(reaped=[ORPHAN | {"outcome": "remains"}]))

    assert levare_run(api, "nodes", "reap", "node-a").exit_code == 1


def test_a_reap_of_nothing_says_so_and_is_no_failure():
    api = Api().on("POST /v1/nodes/node-a/reap", a_reap(reaped=[ORPHAN | {"outcome": "remains"}]))

    result = levare_run(api, "nodes", "reap", "node-a")

    assert (result.exit_code, result.stdout) == (0, "Nothing is left behind on the GPUs of node-a.\n")


def test_a_dry_run_of_a_reap_lists_what_would_end():
    api = Api().on("POST /v1/nodes/node-a/reap", a_reap(orphans=[ORPHAN]))

    result = levare_run(api, "nodes", "reap", "node-a", "--dry-run")

    assert "process 12 (python left.py)" in result.stdout
    assert result.stdout.endswith("would be ended\n")
    assert dict(api.asked[0].url.params) == {"dry_run": "true"}


def test_a_reap_of_an_unknown_node_is_refused_with_the_next_step():
    refusal = a_problem("not-found", 404, detail="There is no node 'nope'.", next_step="`levare nodes` lists them.")

    result = levare_run(Api().on("POST /v1/nodes/nope/reap", refusal), "nodes", "reap", "nope")

    assert result.exit_code == 1
    assert "There is no node 'nope'." in result.stderr
