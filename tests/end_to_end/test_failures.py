"""What becomes of jobs that fail, through every process."""

import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from levare.store.engine import Database
from levare.store.tables import jobs
from tests.conftest import BACKENDS
from tests.fleet import Fleet, eventually, fleet

FAILING = "import sys; sys.exit(3)"


@pytest.fixture(scope="module", params=BACKENDS)
def url(request: pytest.FixtureRequest, make_database_url: Callable[[str], str]) -> str:
    return make_database_url(request.param)


@pytest.fixture(scope="module")
def running(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One deployment for all of these tests, on SQLite and on PostgreSQL."""
    with fleet(tmp_path_factory.mktemp("failures"), LEVARE_DATABASE=url) as deployment:
        deployment.start_all()
        yield deployment


def submit(running: Fleet, url: str, name: str, retries: int, **wishes: Any) -> str:
    """Submit a job that fails; these wishes are written before it may start."""
    soon = datetime.now(UTC) + timedelta(seconds=60)
    job_id = running.python(FAILING, name=name, retries=retries, start_after=soon.isoformat())
    database = Database(url)
    with database.writing() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(start_after=datetime.now(UTC), **wishes))
    database.dispose()
    return job_id


def test_a_job_is_tried_again_after_pauses_that_grow(running: Fleet, url: str):
    job_id = submit(running, url, "patient", 2, backoff_seconds=1)

    eventually(lambda: running.job(job_id)["state"] == "blocked" and running.job(job_id)["attempt"] == 1)
    (why,) = running.client.get(f"/v1/jobs/{job_id}/why").json()["reasons"]
    (job,) = running.await_end(job_id)

    assert why["code"] == "backoff"
    assert why["message"].endswith("after it failed with exit code 3 (1 of 2 retries).")
    tries = running.attempts(job_id)
    starts = [datetime.fromisoformat(each["placed_at"]) for each in tries]
    ends = [datetime.fromisoformat(each["ended_at"]) for each in tries]
    assert (job["state"], [each["exit_code"] for each in tries]) == ("failed", [3, 3, 3])
    assert starts[1] - ends[0] >= timedelta(seconds=0.8)
    assert starts[2] - ends[1] >= timedelta(seconds=1.6)


def test_an_exit_code_that_a_job_does_not_name_is_not_tried_again(running: Fleet, url: str):
    job_id = submit(running, url, "choosy", 2, retry_on=["exit:75"])

    running.await_end(job_id)

    assert len(running.attempts(job_id)) == 1


def test_a_family_that_fails_at_once_is_held_and_says_so_until_it_is_released(running: Fleet):
    name = "default/default/broken"
    broken = [running.submit(sys.executable, "-c", FAILING, name="broken") for _ in range(5)]
    running.await_end(*broken)

    held = eventually(lambda: running.client.get("/v1/families", params={"held": "true"}).json()["items"])
    assert [family["name"] for family in held] == [name]
    assert held[0]["held_reason"].startswith(f"5 jobs of {name} in a row failed within 60 s of their start")

    waiter = running.submit("true", name="broken")
    (why,) = eventually(lambda: running.client.get(f"/v1/jobs/{waiter}/why").json()["reasons"])
    assert (why["code"], why["message"]) == ("family-held", held[0]["held_reason"])
    other = running.submit("true", name="another")
    running.await_end(other)
    assert running.job(waiter)["state"] == "waiting"

    released = running.client.delete(f"/v1/families/{name}/hold").json()
    assert (released["fast_failures"], released["held_until"]) == (0, None)
    assert running.client.get("/v1/families", params={"held": "true"}).json()["items"] == []
    assert running.await_end(waiter)[0]["state"] == "succeeded"
