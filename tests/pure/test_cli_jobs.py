"""`levare jobs`, `show`, `why`, `wait`, `cancel`."""

import json

import pytest

from tests.pure.scripted import (
    JOB,
    Api,
    a_job,
    a_problem,
    an_attempt,
    an_ended_job,
    levare_run,
)


@pytest.mark.parametrize(
    ("state", "code", "expected"),
    [
        ("succeeded", 0, 0),
        ("failed", 3, 3),
        ("failed", None, 1),
        ("failed", 0, 1),
        ("cancelled", None, 1),
        ("cancelled", 143, 143),
    ],
)
def test_wait_exits_with_the_jobs_own_code(state: str, code: int | None, expected: int):
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(state="running"), an_ended_job(state, code))

    assert levare_run(api, "wait", JOB).exit_code == expected


def test_wait_for_several_exits_with_the_first_code_that_is_not_0():
    api = Api().on("GET /v1/jobs/a", an_ended_job()).on("GET /v1/jobs/b", an_ended_job("failed", 4))
    api.on("GET /v1/jobs/c", an_ended_job("failed", 5))

    result = levare_run(api, "wait", "a", "b", "c", "--json")

    assert result.exit_code == 4
    assert [job["exit_code"] for job in json.loads(result.stdout)["items"]] == [0, 4, 5]


def test_wait_tells_of_a_job_that_is_not_there_before_it_waits_for_others():
    refusal = a_problem("not-found", 404, detail="There is no job 'b'.")
    api = Api().on("GET /v1/jobs/a", a_job(state="running")).on("GET /v1/jobs/b", refusal)

    result = levare_run(api, "wait", "a", "b")

    assert (result.exit_code, result.stdout) == (1, "")
    assert "There is no job 'b'." in result.stderr


def test_wait_gives_up_with_124():
    result = levare_run(Api().on(f"GET /v1/jobs/{JOB}", a_job()), "wait", JOB, "--timeout", "0s")

    assert result.exit_code == 124
    assert "still waiting" in result.stderr


def test_jobs_are_a_table_of_what_people_look_for():
    jobs = [a_job(), an_ended_job("failed", 1, name="", progress=0.999)]
    api = Api().on("GET /v1/jobs", {"items": jobs, "next_cursor": None})

    lines = levare_run(api, "jobs").stdout.splitlines()

    assert lines[0].split() == ["id", "name", "state", "pri", "asks", "for", "node", "time", "done"]
    assert lines[1].startswith(f"{JOB}  resnet-50 ")
    assert "2 GPUs, 8 CPUs, 64GiB" in lines[1]
    assert "python train.py --note 'two words'" in lines[2]
    assert lines[2].endswith("node-a  3m12s   99%")


def test_how_long_jobs_still_run_has_a_column_where_it_is_known():
    jobs = [a_job(left_seconds=125.0, left_from="history"), a_job()]
    api = Api().on("GET /v1/jobs", {"items": jobs, "next_cursor": None})

    lines = levare_run(api, "jobs").stdout.splitlines()

    assert [line.split()[-1] for line in lines] == ["left", "~2m05s", "-"]


def test_jobs_send_their_filters_and_stop_at_the_limit():
    api = Api().on("GET /v1/jobs", {"items": [a_job(id=f"j{number}") for number in range(3)], "next_cursor": "c"})

    result = levare_run(
        api, "jobs", "--state", "running", "--state", "failed", "--team", "vision", "--limit", "2", "--json"
    )

    assert [job["id"] for job in json.loads(result.stdout)["items"]] == ["j0", "j1"]
    assert str(api.asked[0].url.query, "ascii") == "state=running&state=failed&team=vision&limit=3"
    assert "more than these 2" in levare_run(api, "jobs", "--limit", "2").stderr


def test_a_name_cannot_steer_the_terminal():
    api = Api().on("GET /v1/jobs", {"items": [a_job(name="\x1b[2Jgone\x07[red]x[/]")], "next_cursor": None})

    result = levare_run(api, "jobs", color=True)

    assert "\x1b[2J" not in result.stdout
    assert "\x07" not in result.stdout
    assert "[red]x[/]" in result.stdout


def test_show_tells_the_request_the_attempts_the_metrics_and_the_reason():
    trend = {"last": 0.31234567, "best": 0.3, "best_step": 90, "best_min": 0.3, "best_max": 2.3, "count": 1200}
    metrics = {
        "items": [],
        "next_cursor": None,
        "summary": {"train": {"loss": trend}, "val": {"acc": trend | {"last": "NaN"}}},
        "params": {"lr": 0.1},
    }
    reason = {"code": "x", "kind": "will-wait", "message": "No room.", "asked": None, "available": None}
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(attempt=1)).on(f"GET /v1/jobs/{JOB}/metrics", metrics)
    api.on(f"GET /v1/jobs/{JOB}/attempts", {"items": [an_attempt(points_dropped=3)]})
    api.on(f"GET /v1/jobs/{JOB}/why", {"job": JOB, "state": "waiting", "reasons": [reason]})

    text = levare_run(api, "show", JOB).stdout

    rows = [line.split() for line in text.splitlines()]
    assert ["command", "python", "train.py", "--note", "'two", "words'"] in rows
    assert "  - No room." in text.splitlines()
    assert "given: lr=0.1" in text.splitlines()
    assert [
        "1",
        "node-a",
        "failed",
        "137",
        "2h05m",
        "2m00s",
        "2GiB",
        "0",
        "1",
        "(NVIDIA",
        "H100)",
        "88%",
        "17.6GiB",
    ] in rows
    assert ["train", "loss", "0.3123", "0.3", "90", "0.3", "2.3", "1,200"] in rows
    assert ["val", "acc", "NaN", "0.3", "90", "0.3", "2.3", "1,200"] in rows
    assert "3 lines that it told were none, and are left out" in text


def test_show_tells_what_few_jobs_ask_for_and_nothing_of_it_for_the_others():
    rare = {
        "nodes": 4,
        "scratch_mib": 2048,
        "gpu_model": "H100",
        "resources": {"licence": 2},
        "require": {"disk": "nvme"},
        "prefer": {"zone": "a"},
        "avoid": {"node": "atlas"},
        "spread": True,
        "retry_on": ["lost", "exit:75"],
        "backoff_seconds": 30,
        "memory_growth": 1.5,
        "min_runtime_seconds": 600,
        "warning_signal": "USR1",
        "warning_seconds": 60,
        "only_between": "22:00-06:00",
    }
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(state="running", **rare), a_job(state="running"))
    api.on(f"GET /v1/jobs/{JOB}/attempts", {"items": []})
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"items": [], "next_cursor": None, "summary": {}})

    told = dict(line.split("  ", 1) for line in levare_run(api, "show", JOB).stdout.splitlines())
    plain = dict(line.split("  ", 1) for line in levare_run(api, "show", JOB).stdout.splitlines())

    assert {name: told[name].strip() for name in told.keys() - plain.keys()} == {
        "scratch": "2GiB",
        "GPU model": "H100",
        "resources": "2 licence",
        "requires": "disk=nvme",
        "prefers": "zone=a",
        "avoids": "node=atlas",
        "placed": "on the emptiest node that serves",
        "retried": "only after lost, exit:75; first after 30s, then twice as long; "
        "with 1.5 times the memory after it ran out of it",
        "preempted": "not in its first 10m00s",
        "warned": "by USR1, 1m00s before",
        "starts": "only 22:00-06:00 UTC",
    }
    assert told["asks for"].strip() == "4 nodes of 2 GPUs, 8 CPUs, 64GiB, priority 5"


def test_show_as_json_is_the_job_with_all_that_belongs_to_it():
    api = Api().on(f"GET /v1/jobs/{JOB}", an_ended_job()).on(f"GET /v1/jobs/{JOB}/attempts", {"items": [an_attempt()]})
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"items": [], "next_cursor": None, "summary": {}})

    found = json.loads(levare_run(api, "show", JOB, "--json").stdout)

    assert (found["id"], found["state"], found["attempts"][0]["number"]) == (JOB, "succeeded", 1)
    assert (found["metrics"], found["reasons"]) == ({}, [])


def test_a_job_that_waits_is_given_another_priority():
    api = Api().on(f"PUT /v1/jobs/{JOB}/priority", a_job(priority=8))

    assert levare_run(api, "priority", JOB, "8").stdout.startswith(f"{JOB} has priority 8;")
    assert levare_run(api, "priority", JOB, "12").exit_code == 2


def test_a_cancel_that_is_refused_keeps_no_other_from_being_cancelled():
    api = Api().on("DELETE /v1/jobs/b", an_ended_job("cancelled", None, id="b"))
    api.on("DELETE /v1/jobs/a", a_problem("not-found", 404, detail="There is no job 'a'."))

    told, documents = levare_run(api, "cancel", "a", "b"), levare_run(api, "cancel", "a", "b", "--json")

    assert (told.exit_code, documents.exit_code) == (1, 1)
    assert told.stdout.startswith("b ")
    assert "There is no job 'a'." in told.stderr
    assert [each["id"] for each in json.loads(documents.stdout)["items"]] == ["b"]


def test_cancel_tells_a_wish_from_what_had_ended_before():
    running = a_job(state="running", node="node-a", cancel_requested_at="2030-01-01T12:00:00Z")
    api = Api().on("DELETE /v1/jobs/a", running | {"id": "a"}).on("DELETE /v1/jobs/b", an_ended_job() | {"id": "b"})
    api.on("DELETE /v1/jobs/c", a_job(state="cancelled", id="c"))

    lines = levare_run(api, "cancel", "a", "b", "c").stdout.splitlines()

    assert lines == [
        "a is being cancelled; it is still running on node-a",
        "b had succeeded after 3m12s already; nothing changed",
        "c was cancelled already; nothing changed",
    ]
