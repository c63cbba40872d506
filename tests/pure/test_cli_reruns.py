"""`levare rerun`, `diff` and `show --pins`."""

import json
from typing import Any

import pytest

from tests.pure.scripted import JOB, Api, a_job, a_problem, levare_run

MISSING = [{"what": "seed", "why": "No seed was declared."}]
RUN = {
    "job": JOB,
    "name": "resnet-50",
    "attempt": f"{JOB}-1",
    "number": 1,
    "state": "succeeded",
    "node": "atlas",
    "started_at": "2030-01-01T12:00:00Z",
    "seconds": 65.0,
    "exit_code": 0,
    "missing": [],
}
PINS = {
    **RUN,
    "missing": MISSING,
    "command": ["python", "train.py"],
    "cwd": "/home/ann/run",
    "env": {"API_KEY": {"secret": "HUB"}},
    "environment": {"TZ": "UTC"},
    "parameters": {},
    "code": {
        "commit": "3f2a9c1d0b7e5f8a",
        "branch": "main",
        "root": "/home/ann/run",
        "dirty": True,
        "diff": "9be1c02a77d4",
    },
    "patch": "+print('two\x1b[2J')\n",
    "script": {"path": "train.py", "digest": "4be1a09c77d2"},
    "locks": {"uv.lock": "0b7e"},
    "packages": ["numpy==2.1.0"],
    "editable": [],
    "python": "/usr/bin/python3",
    "python_version": "3.11.9",
    "seed": None,
    "data_id": "imagenet@v3",
    "data": None,
    "driver": "550",
    "kernel": "6.8",
    "gpu_models": ["H100"],
    "rerun": None,
}


def repeated(**other: Any) -> dict[str, Any]:
    return {"job": a_job(id="n3w"), "repeats": f"{JOB}-1", "code_restored": True, "missing": MISSING, **other}


def test_rerun_prints_the_id_and_says_what_is_not_pinned():
    api = Api().on(f"POST /v1/jobs/{JOB}/reruns", repeated())

    result = levare_run(api, "rerun", JOB)

    assert (result.exit_code, result.stdout) == (0, "n3w\n")
    assert result.stderr == f"repeats {JOB}-1 with its code\n  not pinned: seed. No seed was declared.\n"
    assert api.body() == {"pinned": True, "strict": False}
    assert api.asked[0].headers["idempotency-key"]


def test_rerun_asks_for_what_was_said():
    api = Api().on(f"POST /v1/jobs/{JOB}/reruns", repeated(repeats=None, code_restored=False, missing=[]))

    unpinned = levare_run(api, "rerun", JOB, "--unpinned")
    strict = levare_run(api, "rerun", JOB, "--strict", "--attempt", "2", "--dry-run", "--json")

    assert [api.body(place) for place in (0, 1)] == [
        {"pinned": False, "strict": False},
        {"attempt": 2, "pinned": True, "strict": True},
    ]
    assert unpinned.stderr == ""
    assert json.loads(strict.stdout)["job"] is None
    assert api.asked[1].url.params["dry_run"] == "true"
    assert levare_run(api, "rerun", JOB, "--unpinned", "--strict").exit_code == 2


def test_a_strict_refusal_lists_all_that_is_missing():
    faults = [{"field": "seed", "message": "No seed was declared."}, {"field": "code", "message": "No repository."}]
    refusal = a_problem("conflict", 409, detail="It cannot be repeated exactly: No seed was declared.", errors=faults)
    api = Api().on(f"POST /v1/jobs/{JOB}/reruns", refusal)

    result = levare_run(api, "rerun", JOB, "--strict")

    assert result.exit_code == 1
    assert "code: No repository." in result.stderr


def test_diff_tells_what_differs_what_came_of_it_and_what_is_not_known():
    changes = [{"kind": "code", "name": "commit", "before": "3f2a", "after": None}]
    metrics = [
        {"stage": "train", "name": "loss", "before": 0.5, "after": 0.5},
        {"stage": "", "name": "score", "before": None, "after": "NaN"},
    ]
    found = {"before": RUN, "after": {**RUN, "attempt": "other-2", "missing": MISSING}, "changes": changes}
    api = Api().on(f"GET /v1/jobs/{JOB}/diff", {**found, "metrics": metrics})

    text = levare_run(api, "diff", f"{JOB}-1", "other-2").stdout

    assert text.splitlines() == [
        f"from  {JOB}-1 (resnet-50) on atlas, succeeded after 1m05s",
        "to    other-2 (resnet-50) on atlas, succeeded after 1m05s",
        "",
        "code: commit  3f2a -> (none)",
        "",
        "At the end",
        "  train loss  0.5 -> 0.5  the same",
        "  score       (none) -> NaN",
        "",
        "Of other-2",
        "  not pinned: seed. No seed was declared.",
    ]
    assert dict(api.asked[0].url.params) == {"with": "other-2", "attempt": "1"}
    assert json.loads(levare_run(api, "diff", JOB, "other", "--json").stdout)["changes"] == changes


@pytest.mark.parametrize("changes", [[], [{"kind": "seed", "name": "LEVARE_SEED", "before": "1", "after": "2"}]])
def test_diff_says_when_nothing_differs(changes: list[dict[str, str]]):
    found = {"before": RUN, "after": RUN, "changes": changes, "metrics": []}
    text = levare_run(Api().on(f"GET /v1/jobs/{JOB}/diff", found), "diff", JOB, "other").stdout

    assert ("Nothing differs that levare knows of both." in text) is not changes


def test_show_tells_what_a_run_was_pinned_to():
    job = a_job(env={"API_KEY": {"secret": "HUB"}}, rerun={"attempt": "old-1", "code": True, "strict": False})
    api = Api().on(f"GET /v1/jobs/{JOB}", job).on(f"GET /v1/jobs/{JOB}/pins", PINS)
    api.on(f"GET /v1/jobs/{JOB}/attempts", {"items": []}).on(f"GET /v1/jobs/{JOB}/why", {"reasons": []})
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"summary": {}})

    shown, pinned = levare_run(api, "show", JOB).stdout, levare_run(api, "show", JOB, "--pins").stdout

    facts = dict(line.split(maxsplit=1) for line in shown.splitlines() if line)
    assert (facts["repeats"], facts["secrets"]) == ("old-1, with its code", "API_KEY is HUB")
    assert "  code         3f2a9c1d0b on main with uncommitted changes (9be1c02a77d4)" in pinned
    assert "  python       3.11.9 with 1 package" in pinned
    assert "  not pinned: seed. No seed was declared." in pinned
    assert "+print('two" in pinned
    assert "\x1b" not in pinned
