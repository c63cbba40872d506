"""Plain Celery producers, which know nothing of levare but its broker: what they send becomes ordinary jobs."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery

from levare.broker import broker_url
from levare.settings import load
from tests.fleet import Fleet, eventually, fleet


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Without a worker, so that jobs stay as they were submitted."""
    with fleet(tmp_path_factory.mktemp("fleet")) as deployment:
        deployment.start("redis", "web", "beat")
        eventually((deployment.home / "address").exists, within=60)
        yield deployment


@pytest.fixture(scope="module")
def producer(running: Fleet) -> Iterator[Celery]:
    """As somebody configures it who has only the address of the broker."""
    with Celery("somebody", broker=broker_url(load(running.environment).redis_url), set_as_current=False) as app:
        yield app


def send(producer: Celery, queue: str, *args: Any, **options: Any) -> str:
    wish = {"command": ["python", "train.py"], **options.pop("kwargs", {})} if not args else options.pop("kwargs", {})
    return producer.send_task("levare.submit", args, wish, queue=queue, ignore_result=True, **options).id


def named(running: Fleet, name: str) -> dict[str, Any]:
    def found() -> list[dict[str, Any]]:
        return running.client.get("/v1/jobs", params={"name": name}).raise_for_status().json()["items"]

    [job] = eventually(found, within=60)
    return job


def test_what_is_sent_to_the_queue_of_gpus_asks_for_one_with_the_priority_of_the_message(
    running: Fleet, producer: Celery
):
    send(producer, "gpu", kwargs={"name": "urgent", "team": "vision"}, priority=8)

    job = named(running, "urgent")

    assert (job["gpus"], job["priority"], job["team"], job["user"]) == (1, 8, "vision", "celery")
    assert job["command"] == ["python", "train.py"]


def test_what_is_sent_to_the_queue_of_cpus_is_as_it_says(running: Fleet, producer: Celery):
    send(producer, "cpu", ["true"], kwargs={"name": "plain", "cpus": 3})
    send(producer, "cpu", kwargs={"name": "weak", "priority": 0}, priority=9)

    plain, weak = named(running, "plain"), named(running, "weak")

    assert (plain["gpus"], plain["cpus"], plain["priority"], plain["command"]) == (0, 3, 5, ["true"])
    assert weak["priority"] == 0, "what the wish says counts more than what the message says"


def test_a_message_for_later_is_a_job_for_later(running: Fleet, producer: Celery):
    later = datetime.now(UTC) + timedelta(hours=2)

    send(producer, "cpu", kwargs={"name": "later"}, eta=later)

    job = named(running, "later")
    assert job["state"] == "blocked"
    assert datetime.fromisoformat(job["start_after"]) == later


def test_a_message_that_comes_twice_makes_one_job(running: Fleet, producer: Celery):
    for _ in range(2):
        send(producer, "cpu", kwargs={"name": "twice"}, task_id="0a0b0c0d-1111-2222-3333-444455556666")
    send(producer, "cpu", kwargs={"name": "after"})
    named(running, "after")

    named(running, "twice")


def test_what_is_no_job_is_refused_and_the_record_says_why(running: Fleet, producer: Celery):
    task = send(producer, "cpu", kwargs={"name": "wrong", "gpus": -1, "colour": "red"})

    def refusals() -> list[dict[str, Any]]:
        answer = running.client.get("/v1/audit", params={"action": "submit.refused", "object": task})
        return answer.raise_for_status().json()["items"]

    [row] = eventually(refusals, within=60)
    assert row["actor"] == "celery"
    assert "gpus: must be at least 0" in str(row)
    assert "colour" in str(row)
