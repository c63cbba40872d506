"""Arrays, sweeps and pipelines on the command line."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.pure.scripted import JOB, Api, a_job, levare_run

PROGRESS = {
    "size": 200,
    "cap": 8,
    "opened": 45,
    "waiting": 155,
    "running": 8,
    "succeeded": 36,
    "failed": 1,
    "cancelled": 0,
}
PIPELINE = {
    "id": "p7d2m9x4ka",
    "name": "nightly",
    "user": "admin",
    "state": "running",
    "created_at": "2030-01-01T12:00:00Z",
    "steps": [
        {
            "step": "prepare",
            "job": JOB,
            "state": "succeeded",
            "needs": [],
            "reason": "Exited with code 0.",
            "started_at": "2030-01-01T12:00:00Z",
            "finished_at": "2030-01-01T12:01:00Z",
        },
        {
            "step": "tell",
            "job": "b1b2c3d4e5",
            "state": "blocked",
            "needs": [{"job": "prepare", "on": "failure"}],
            "reason": None,
            "started_at": None,
            "finished_at": None,
        },
    ],
}


def sent(*options: str) -> Any:
    api = Api().on("POST /v1/jobs", a_job())
    result = levare_run(api, "submit", *options, "--", "true")
    assert result.exit_code == 0, result.stderr
    return api.body()["array"]


def test_an_array_may_carry_its_cap_as_slurm_writes_it():
    assert sent("--array", "100") == {"size": 100}
    assert sent("--array", "100%3") == {"size": 100, "cap": 3}
    assert sent("--array", "100", "--cap", "4") == {"size": 100, "cap": 4}


def test_a_sweep_is_a_grid_of_numbers_words_and_ranges():
    swept = sent("--sweep", "lr=0.1,1e-3", "--sweep", "seed=1..3", "--sweep", "net=big,007,true", "--cap", "2")

    assert swept == {"grid": {"lr": [0.1, 0.001], "seed": [1, 2, 3], "net": ["big", "007", True]}, "cap": 2}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '[{"lr": 0.1, "net": "a"}, {"lr": 0.2, "net": "b"}]'),
        ("p.jsonl", '{"lr": 0.1, "net": "a"}\n\n{"lr": 0.2, "net": "b"}\n'),
        ("p.csv", "lr,net\n0.1,a\n0.2,b\n"),
    ],
)
def test_a_sweep_may_come_from_a_file(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)

    assert sent("--sweep-file", str(tmp_path / name)) == {"list": [{"lr": 0.1, "net": "a"}, {"lr": 0.2, "net": "b"}]}


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        (("--array", "0"), "100%3 for three at a time"),
        (("--array", "5%0"), "100%3 for three at a time"),
        (("--sweep", "lr"), "seed=1..5"),
        (("--sweep", "lr=1", "--sweep", "lr=2"), "names lr twice"),
        (("--array", "5", "--sweep", "lr=1"), "Give one of"),
        (("--cap", "5"), "--cap is for an array"),
        (("--sweep", "lr=0.1..0.5"), "write other values out"),
        (("--sweep", "seed=5..1"), "counts down; write 1..5"),
        (("--sweep", "seed=1..200000"), "has 200000 values, and at most 100000"),
    ],
)
def test_what_makes_no_array_is_a_misuse(options: tuple[str, ...], hint: str):
    result = levare_run(Api(), "submit", *options, "--", "true")

    assert result.exit_code == 2
    assert hint in result.stderr


def test_a_sweep_takes_ranges_beside_values():
    assert sent("--sweep", "seed=1..3,7,10..11") == {"grid": {"seed": [1, 2, 3, 7, 10, 11]}}
    assert sent("--sweep", "place=../a,a..b") == {"grid": {"place": ["../a", "a..b"]}}


def test_a_row_that_cannot_be_read_is_told_with_its_line(tmp_path: Path):
    (tmp_path / "p.jsonl").write_text('{"lr": 0.1}\n\n{"lr" 0.2}\n')
    (tmp_path / "p.csv").write_bytes(b"lr\n\xff\n")

    told = [levare_run(Api(), "submit", "--sweep-file", str(file), "--", "a") for file in sorted(tmp_path.iterdir())]

    assert [each.exit_code for each in told] == [1, 1]
    assert "p.csv, line 2 is not UTF-8" in told[0].stderr
    assert "p.jsonl cannot be read: line 3, column 7" in told[1].stderr


def test_an_array_is_one_line_with_how_many_have_ended():
    api = Api().on("GET /v1/jobs", {"items": [a_job(array=PROGRESS)], "next_cursor": None})

    assert "37/200" in levare_run(api, "jobs").stdout


def test_elements_are_listed_by_their_array():
    api = Api().on("GET /v1/jobs", {"items": [], "next_cursor": None})

    levare_run(api, "jobs", "--array", JOB)

    assert api.asked[0].url.params["array"] == JOB


def test_show_counts_the_elements_of_an_array():
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(array=PROGRESS)).on(f"GET /v1/jobs/{JOB}/attempts", {"items": []})
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"items": [], "next_cursor": None, "summary": {}})
    api.on(f"GET /v1/jobs/{JOB}/why", {"job": JOB, "state": "waiting", "reasons": []})

    shown = levare_run(api, "show", JOB).stdout

    assert "200, at most 8 at a time: 155 waiting, 8 running, 36 succeeded, 1 failed" in shown


def test_a_pipeline_of_a_file_is_sent_with_this_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "nightly.yaml"
    file.write_text("jobs:\n- step: a\n  command: ['true']\n- {step: b, command: ['true'], needs: [a], cwd: /data}\n")
    monkeypatch.chdir(tmp_path)
    api = Api().on("POST /v1/pipelines", PIPELINE)

    result = levare_run(api, "pipeline", "submit", str(file))

    assert (result.exit_code, result.stdout) == (0, "p7d2m9x4ka\n")
    first, second = api.body()["jobs"]
    assert (api.body()["name"], first["cwd"], second["cwd"], second["needs"]) == (
        "nightly",
        str(tmp_path),
        "/data",
        ["a"],
    )
    assert first["env"]["PATH"]


@pytest.mark.parametrize(
    "text", ["jobs: 1", "[]", "jobs: [1]", "jobs: [{step: a, step: b}]", "jobz: []\njobs: []", "{"]
)
def test_a_file_that_is_no_pipeline_is_refused(tmp_path: Path, text: str):
    (tmp_path / "p.yaml").write_text(text)

    result = levare_run(Api(), "pipeline", "submit", str(tmp_path / "p.yaml"))

    assert result.exit_code == 1
    assert "p.yaml" in result.stderr


def test_a_pipeline_is_shown_step_by_step():
    api = Api().on("GET /v1/pipelines/p7d2m9x4ka", PIPELINE)

    shown = levare_run(api, "pipeline", "show", "p7d2m9x4ka").stdout

    assert "prepare" in shown
    assert "prepare:failure" in shown
    assert json.loads(levare_run(api, "pipeline", "show", "p7d2m9x4ka", "--json").stdout) == PIPELINE


def test_pipelines_are_listed_with_how_many_steps_are_over():
    api = Api().on("GET /v1/pipelines", {"items": [PIPELINE], "next_cursor": None})

    assert "1/2" in levare_run(api, "pipelines").stdout


def test_a_pipeline_is_cancelled_by_its_id():
    api = Api().on("DELETE /v1/pipelines/p7d2m9x4ka", PIPELINE)

    assert "is being cancelled" in levare_run(api, "pipeline", "cancel", "p7d2m9x4ka").stdout


def test_yaml_that_cannot_be_read_is_told_by_its_place(tmp_path: Path):
    file = tmp_path / "broken.yaml"
    file.write_text("name: x\njobs: [")

    result = levare_run(Api(), "pipeline", "submit", str(file))

    assert result.exit_code == 1
    assert f"error: {file}, line 2, column 8: while parsing a flow node: expected the node content" in result.stderr


def test_a_group_alone_shows_what_it_can_do():
    result = levare_run(Api(), "pipeline")

    assert (result.exit_code, result.stderr) == (2, "")
    assert result.stdout.startswith("Usage:")
    assert "\n  submit " in result.stdout


@pytest.mark.parametrize(("state", "code", "told"), [("succeeded", 0, ""), ("failed", 1, ": prepare")])
def test_a_pipeline_is_waited_for_to_its_end(state: str, code: int, told: str):
    steps = [PIPELINE["steps"][0] | {"state": state}, PIPELINE["steps"][1] | {"state": "cancelled"}]
    over = PIPELINE | {"state": state, "steps": steps}

    result = levare_run(Api().on("GET /v1/pipelines/p7d2m9x4ka", PIPELINE, over), "pipeline", "wait", "p7d2m9x4ka")

    assert (result.exit_code, result.stdout) == (code, f"p7d2m9x4ka {state}{told}\n")


def test_waiting_for_a_pipeline_gives_up_with_124():
    api = Api().on("GET /v1/pipelines/p7d2m9x4ka", PIPELINE)

    assert levare_run(api, "pipeline", "wait", "p7d2m9x4ka", "--timeout", "0s").exit_code == 124
