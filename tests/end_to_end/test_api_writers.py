"""Two who write the same at once, on SQLite and on PostgreSQL: nobody overwrites what he has not seen."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import httpx

from tests.end_to_end.serving import Api, refused

NIGHTLY: dict[str, Any] = {"cron": "0 3 * * *", "job": {"command": ["true"]}}


def at_once(writers: int, send: Any) -> list[httpx.Response]:
    """The answers to requests that are sent together; `send` is told which of them."""
    ready = Barrier(writers)

    def one(number: int) -> httpx.Response:
        ready.wait(30)
        return send(number)

    with ThreadPoolExecutor(writers) as pool:
        return list(pool.map(one, range(writers)))


def test_of_many_who_replace_what_they_have_read_one_does(api: Api):
    api.client.put("/v1/schedules/nightly", json=NIGHTLY)
    tag = api.client.get("/v1/schedules/nightly").headers["ETag"]

    answers = at_once(
        6,
        lambda number: api.client.put(
            "/v1/schedules/nightly", json=NIGHTLY | {"cron": f"{number} 4 * * *"}, headers={"If-Match": tag}
        ),
    )

    won = [answer for answer in answers if answer.status_code == 200]
    assert len(won) == 1
    for answer in answers:
        if answer not in won:
            refused(answer, 412, "precondition-failed")
    kept = api.get("/v1/schedules/nightly")["definition"]
    assert kept == won[0].json()["schedule"]["definition"]


def test_of_many_who_declare_what_is_not_there_one_does(api: Api):
    answers = at_once(
        6,
        lambda number: api.client.put(
            "/v1/schedules/new", json=NIGHTLY | {"cron": f"{number} 4 * * *"}, headers={"If-None-Match": "*"}
        ),
    )

    assert sorted(answer.status_code for answer in answers) == [200] + 5 * [412]


def test_a_job_that_has_started_meanwhile_is_not_cancelled_as_one_that_waits(api: Api):
    api.join()
    job = api.submit()
    tag = api.client.get(f"/v1/jobs/{job}").headers["ETag"]
    attempt = api.start(job)

    stale = api.client.delete(f"/v1/jobs/{job}", headers={"If-Match": tag})
    seen = api.client.get(f"/v1/jobs/{job}").headers["ETag"]
    api.write(attempt, (0, b"hello"))
    cancelled = api.client.delete(f"/v1/jobs/{job}", headers={"If-Match": seen})

    refused(stale, 412, "precondition-failed")
    assert cancelled.status_code == 202, cancelled.text
