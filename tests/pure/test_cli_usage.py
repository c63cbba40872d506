"""`levare show --samples` and `levare nodes NODE --samples`: what was used over a time, in a few lines."""

import json
from datetime import datetime, timedelta

import pytest

from levare.cli import usage
from tests.pure.scripted import JOB, Api, a_job, a_node, an_attempt, an_ended_job, levare_run

ITEM = {
    "at": 1_893_499_200,
    "seconds": 60,
    "cpu_percent": 187.6,
    "memory_mib": 1000,
    "memory_mib_highest": 2048,
    "gpu_utilisation_percent": 91,
    "gpu_memory_mib": 40960,
    "gpu_power_watts": 612.4,
}
OF_NODE = {
    "at": 1_893_499_200,
    "cpu_percent": 40,
    "load_1m": 3.21,
    "memory_used_mib": 1024,
    "gpu0_utilisation_percent": 50,
    "gpu1_utilisation_percent": 100,
    "gpu0_power_watts": 300,
    "gpu1_power_watts": 700,
    "gpu1_memory_utilisation_percent": 3,
}


def a_shown_job(attempt: dict, items: list[dict]) -> Api:
    api = Api().on(f"GET /v1/jobs/{JOB}", an_ended_job()).on(f"GET /v1/jobs/{JOB}/attempts", {"items": [attempt]})
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"items": [], "next_cursor": None, "summary": {}})
    return api.on(f"GET /v1/jobs/{JOB}/samples", {"items": items, "usage": {}})


def test_show_tells_what_the_last_attempt_used_over_its_life():
    attempt = an_attempt() | {"started_at": "2030-01-01T12:00:00Z", "ended_at": "2030-01-01T13:00:00Z"}
    api = a_shown_job(attempt, [ITEM])

    row = levare_run(api, "show", JOB, "--samples").stdout.splitlines()[-1].split()

    asked = api.asked[-1].url.params
    assert row[2:] == ["188%", "2GiB", "91%", "40GiB", "612W", "-", "-"]
    assert (asked["since"], asked["until"]) == ("2030-01-01T11:59:59+00:00", "2030-01-01T13:00:01+00:00")
    assert (asked["step"], asked["attempt"], asked["rank"]) == ("300", "1", "0")


def test_show_says_if_nothing_is_kept_and_asks_for_nothing_unasked():
    attempt = an_attempt() | {"started_at": "2030-01-01T12:00:00Z", "ended_at": "2030-01-01T12:00:01Z"}
    api = a_shown_job(attempt, [])

    assert "Nothing of what it used is kept." in levare_run(api, "show", JOB, "--samples").stdout
    assert json.loads(levare_run(api, "show", JOB, "--samples", "--json").stdout)["samples"] == []
    api.asked.clear()
    assert "samples" not in json.loads(levare_run(api, "show", JOB, "--json").stdout)
    assert not [each for each in api.asked if each.url.path.endswith("/samples")]


def test_a_job_without_an_attempt_used_nothing():
    api = Api().on(f"GET /v1/jobs/{JOB}", a_job(state="running")).on(f"GET /v1/jobs/{JOB}/attempts", {"items": []})
    api.on(f"GET /v1/jobs/{JOB}/metrics", {"items": [], "next_cursor": None, "summary": {}})

    assert "Nothing of what it used is kept." in levare_run(api, "show", JOB, "--samples").stdout


def test_a_node_tells_what_it_used_in_a_time():
    api = Api().on("GET /v1/nodes/node-a", a_node()).on("GET /v1/nodes/node-a/samples", {"items": [OF_NODE]})

    row = levare_run(api, "nodes", "node-a", "--samples", "24h").stdout.splitlines()[-1].split()

    assert row[2:] == ["40%", "3.2", "1GiB", "-", "-", "-", "75%", "1000W"]
    assert api.asked[-1].url.params["step"] == "7200"
    assert datetime.fromisoformat(api.asked[-1].url.params["since"]).tzinfo


def test_samples_of_all_nodes_at_once_are_refused_with_the_next_step():
    result = levare_run(Api(), "nodes", "--samples", "24h")

    assert result.exit_code == 2
    assert "levare nodes NODE --samples 24h" in result.stderr


@pytest.mark.parametrize(
    ("seconds", "step"), [(1, 1), (19, 1), (21, 2), (3600, 300), (86400, 7200), (40 * 86400, 172800)]
)
def test_a_time_is_divided_into_some_twenty_lines(seconds: int, step: int):
    assert usage._step(timedelta(seconds=seconds)) == step
