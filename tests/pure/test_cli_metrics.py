"""`levare metrics` and `levare compare`, against scripted answers."""

import json
from typing import Any

import pytest

from levare.cli.sparks import spark
from tests.pure.scripted import JOB, Api, an_attempt, levare_run


def a_trend(last: float, best: float | None, **other: Any) -> dict[str, Any]:
    numbers = {"mean": 1.0, "best_min": 0.1, "best_max": 2.0, "count": 1000, "not_finite": 0, "best_step": 7}
    return {"last": last, "best": best, "direction": None if best is None else "min", **numbers, **other}


def a_run(job: str, **other: Any) -> dict[str, Any]:
    run = {"job": job, "name": "resnet", "attempt": f"{job}-1", "state": "succeeded", "seconds": 61.0}
    return run | {"started_at": "2030-01-01T12:00:00Z", "parameters": {}, "params": {}} | other


CURVE = {"stage": "val", "name": "loss", "points": [{"step": i, "value": value} for i, value in enumerate([3, 2, 1])]}
METRICS: dict[str, Any] = {
    "items": [],
    "next_cursor": None,
    "curves": [CURVE],
    "summary": {"val": {"loss": a_trend(0.25, 0.1)}, "": {"lr": a_trend(0.5, None, best_step=None)}},
    "params": {"lr": 0.1, "epochs": 20},
    "thinned": {"told": 1000000, "kept": 31250, "window_bytes": 4096},
}


def test_metrics_are_a_table_with_a_curve_and_what_was_thinned_is_said():
    ran = levare_run(Api().on(f"GET /v1/jobs/{JOB}/metrics", METRICS), "metrics", JOB)

    rows = [line.split() for line in ran.stdout.splitlines()]
    assert ["val", "loss", "0.25", "0.1", "7", "1", "0.1", "2", "1,000", "█▅▁"] in rows
    assert ["-", "lr", "0.5", "-", "-", "1", "0.1", "2", "1,000"] in rows
    assert "given: lr=0.1 epochs=20" in ran.stderr
    assert "31,250 of 1,000,000 lines are kept" in ran.stderr


def test_which_way_is_better_can_be_said_and_a_wrong_word_is_refused_with_an_example():
    api = Api().on(f"GET /v1/jobs/{JOB}/metrics", METRICS)

    ran = levare_run(api, "metrics", JOB, "--best", "score=max", "--stage", "val", "--json")

    assert json.loads(ran.stdout) == METRICS
    assert dict(api.asked[-1].url.params) == {"stage": "val", "points": "120", "best": "score:max"}
    wrong = levare_run(api, "metrics", JOB, "--best", "score")
    assert (wrong.exit_code, "such as score=max" in wrong.stderr) == (2, True)


def test_a_job_that_told_nothing_says_how_to_tell():
    api = Api().on(f"GET /v1/jobs/{JOB}/metrics", METRICS | {"summary": {}, "curves": []})
    api.on(
        f"GET /v1/jobs/{JOB}/attempts", {"items": [an_attempt(1, points_dropped=9), an_attempt(2, points_dropped=1)]}
    )

    note = levare_run(api, "metrics", JOB).stderr
    assert "levare.log(" in note
    assert "1 line that it told was none, and is left out" in note
    assert "9 lines that it told were none" in levare_run(api, "metrics", JOB, "--attempt", "1").stderr


def a_comparison(count: int) -> dict[str, Any]:
    trends = [a_trend(1 / (1 + place), 1 / (1 + place)) for place in range(count)]
    metric = {"stage": "val", "name": "loss", "direction": "min", "best_run": count - 1, "runs": trends}
    other = {"stage": "", "name": "lr", "direction": None, "best_run": None, "runs": [*trends[1:], None]}
    return {"runs": [a_run(f"j{i}", params={"lr": i, "same": 1}) for i in range(count)], "metrics": [metric, other]}


def test_few_runs_stand_beside_each_other_with_the_best_marked_and_what_differs():
    ran = levare_run(Api().on("GET /v1/compare", a_comparison(2)), "compare", "j0", "j1-1")

    rows = [line.split() for line in ran.stdout.splitlines()]
    assert ["stage", "metric", "j0-1", "j1-1"] in rows
    assert ["lr", "0", "1"] in rows
    assert ["val", "loss", "1", "0.5", "*"] in rows
    assert ["-", "lr", "0.5", "-"] in rows
    assert not any("same" in row for row in rows)


def test_runs_that_are_equally_good_are_all_marked():
    told = a_comparison(2)
    told["metrics"][0]["runs"] = [a_trend(0.5, 0.5), a_trend(0.7, 0.5)]

    rows = [
        line.split()
        for line in levare_run(Api().on("GET /v1/compare", told), "compare", "j0", "j1").stdout.splitlines()
    ]

    assert ["val", "loss", "0.5", "*", "0.5", "*"] in rows


def test_many_runs_are_rows_over_time_with_a_curve_of_each_metric():
    api = Api().on("GET /v1/compare", a_comparison(8))

    ran = levare_run(api, "compare", "--schedule", "nightly", "--last", "8")

    rows = [line.split() for line in ran.stdout.splitlines()]
    assert dict(api.asked[-1].url.params) == {"schedule": "nightly", "last": "8"}
    assert ["j7-1", "0.125", "*", "-"] in [[row[0], *row[4:]] for row in rows if row]
    assert any(row[:2] == ["val", "loss"] and len(row[2]) == 8 for row in rows if len(row) > 2)


@pytest.mark.parametrize("arguments", [[], ["j0", "--family", "a/b/c"]])
def test_what_is_compared_is_said_once(arguments: list[str]):
    ran = levare_run(Api(), "compare", *arguments)

    assert (ran.exit_code, "one of these" in ran.stderr) == (2, True)


def test_a_spark_shows_gaps_what_is_not_finite_and_means_of_many():
    assert spark([0, 1, None, "NaN", 3.5], 10) == "▁▃ !█"
    assert spark([5, 5], 10) == "▅▅"
    assert spark([*[0.0] * 50, *[1.0] * 50], 4) == "▁▁██"
    assert spark([], 10) == ""
