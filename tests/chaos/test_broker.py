"""Redis may forget, repeat or hang: it costs time, never a job."""

import signal
import sys
import threading
import time

import httpx
import pytest
from redis import Redis

from levare import broker, settings
from levare.cli.witness import Ledger
from tests.fleet import Fleet, eventually


@pytest.fixture
def running(shared: Fleet) -> Fleet:
    return shared


@pytest.fixture
def configured(running: Fleet) -> settings.Settings:
    return settings.load(running.environment)


def test_nothing_is_lost_or_doubled_while_redis_is_flushed_every_second(
    running: Fleet, ledger: Ledger, configured: settings.Settings
):
    redis = Redis.from_url(configured.redis_url)
    over = threading.Event()

    def flush() -> None:
        while not over.wait(1.0):
            redis.flushall()

    flusher = threading.Thread(target=flush)
    flusher.start()
    try:
        jobs = [running.submit(sys.executable, *ledger.arguments(), name=f"short-{n}") for n in range(200)]
        ended = running.await_end(*jobs, within=180)
    finally:
        over.set()
        flusher.join()
        redis.close()

    assert {job["state"] for job in ended} == {"succeeded"}
    assert ledger.starts() == dict.fromkeys(jobs, 1)


def test_a_message_that_is_repeated_a_hundred_times_starts_one_process(
    running: Fleet, ledger: Ledger, configured: settings.Settings
):
    app = broker.make_app(configured)
    job_id = running.submit(sys.executable, *ledger.arguments(seconds=2))

    for _ in range(50):
        broker.send(app, f"{job_id}-1", queue="cpu.n1", name="again")
    (job,) = running.await_end(job_id)
    for _ in range(50):
        broker.send(app, f"{job_id}-1", queue="cpu.n1", name="again")
    follower = running.submit(sys.executable, *ledger.arguments())
    running.await_end(follower)

    assert job["state"] == "succeeded"
    assert ledger.starts() == {job_id: 1, follower: 1}
    app.close()


def test_a_forged_message_starts_nothing(running: Fleet, ledger: Ledger, configured: settings.Settings):
    app = broker.make_app(configured)

    broker.send(app, "0123456789-1", queue="cpu.n1", name="forged")
    app.send_task("celery.map", args=["levare.run", ["x"]], queue="cpu.n1")
    follower = running.submit(sys.executable, *ledger.arguments())

    assert running.await_end(follower)[0]["state"] == "succeeded"
    assert ledger.starts() == {follower: 1}
    app.close()


def test_whoever_reaches_redis_can_ask_but_not_command(running: Fleet, configured: settings.Settings):
    app = broker.make_app(configured)

    ask = app.control.inspect(timeout=1)
    eventually(ask.ping)

    app.control.broadcast("shutdown")
    app.control.broadcast("pool_shrink", arguments={"n": 200})

    assert eventually(ask.registered) == {"levare@n1": ["levare.run"]}
    assert ask.stats()["levare@n1"]["pool"]["max-concurrency"] == broker.MOST_CONCURRENT
    assert running.processes["worker"].poll() is None
    app.close()


def test_submits_answer_within_a_second_while_redis_hangs(running: Fleet, ledger: Ledger):
    running.signal("redis", signal.SIGSTOP)
    slowest, jobs = 0.0, []
    until = time.monotonic() + 20
    while time.monotonic() < until and len(jobs) < 40:
        began = time.monotonic()
        jobs.append(running.submit(sys.executable, *ledger.arguments()))
        slowest = max(slowest, time.monotonic() - began)
    running.signal("redis", signal.SIGCONT)

    ended = running.await_end(*jobs, within=90)

    assert slowest < 1.0
    assert {job["state"] for job in ended} == {"succeeded"}
    assert ledger.starts() == dict.fromkeys(jobs, 1)


def test_jobs_run_and_the_api_answers_after_redis_was_gone(running: Fleet, ledger: Ledger):
    running.kill("redis")
    job_id = running.submit(sys.executable, *ledger.arguments())
    assert running.client.get("/v1/nodes").status_code == httpx.codes.OK
    running.start("redis")

    assert running.await_end(job_id)[0]["state"] == "succeeded"
    eventually(lambda: running.client.get("/readyz").json()["redis"] == "ok")
