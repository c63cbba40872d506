"""Schedules on a real fleet: each due instant is one job, whatever happens to beat."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fleet import Fleet, eventually, fleet

EVERY = timedelta(seconds=2)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Fleet]:
    with fleet(tmp_path) as made:
        made.start_all()
        yield made


def fires(deployment: Fleet) -> list[dict[str, Any]]:
    answer = deployment.client.get("/v1/schedules/tick/fires", params={"limit": 500})
    return answer.raise_for_status().json()["items"]


def test_a_killed_beat_loses_and_doubles_no_due_instant(deployment: Fleet):
    definition = {"every_seconds": 2, "misfire": "all", "job": {"command": ["true"], "name": "tick"}}
    deployment.client.put("/v1/schedules/tick", json=definition).raise_for_status()
    eventually(lambda: len(fires(deployment)) >= 2)

    deployment.kill("beat")
    seen, until = len(fires(deployment)), time.monotonic() + 2.5 * EVERY.total_seconds()
    eventually(lambda: time.monotonic() > until)
    assert len(fires(deployment)) == seen
    deployment.start("beat")
    eventually(lambda: len(fires(deployment)) >= seen + 4, within=40)
    deployment.client.put("/v1/schedules/tick/state", json={"state": "paused"}).raise_for_status()

    ran = [fire for fire in reversed(fires(deployment)) if fire["outcome"] == "run"]
    dues = [datetime.fromisoformat(fire["due_at"]) for fire in ran]
    jobs = deployment.client.get("/v1/jobs", params={"name": "tick", "limit": 500}).json()["items"]
    assert dues == [dues[0] + number * EVERY for number in range(len(dues))]
    assert sorted(job["due_at"] for job in jobs) == [fire["due_at"] for fire in ran]
    assert {job["id"] for job in jobs} == {fire["job"] for fire in ran}
    assert all(job["state"] == "succeeded" for job in deployment.await_end(*(job["id"] for job in jobs)))
