"""
Training never waits for what watches it: without server, Redis and SQL its steps take what they took, no point is lost.

`LEVARE_TRIAL_SECONDS` is how long they are gone: 3 by default, 600 for the ten minutes that are promised.
"""

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from tests.fleet import ROOT, Fleet, eventually

SECONDS = float(os.environ.get("LEVARE_TRIAL_SECONDS", "3"))
CALM_SECONDS = max(2.0, min(SECONDS, 60.0))
TRAINING = """
import json, os, sys, time
sys.path.insert(0, sys.argv[1])
import levare

def train():
    return sum(i * i for i in range(8000))

def timed(*calls):
    begin = time.perf_counter_ns()
    for call in calls:
        call()
    return (time.time(), time.perf_counter_ns() - begin)

marks, logged, plain, step = levare.output() / "marks.json", [], [], 0
while not (levare.output() / "stop").exists():
    for _ in range(100):
        logged.append(timed(train, lambda: levare.log(step=step, stage="train", loss=float(step % 1000))))
        step += 1
        plain.append(timed(train))
        time.sleep(0.002)
begin, end = json.loads(marks.read_text())

def told_of(steps, is_of):
    some = sorted(taken for at, taken in steps if is_of(at))
    return [len(some), some[len(some) // 2] / 1e6, some[int(len(some) * 0.99)] / 1e6]

calm, outage = (lambda at: at < begin), (lambda at: begin <= at < end)
told = {"steps": step, "calm": [told_of(logged, calm), told_of(plain, calm)]}
print(json.dumps(told | {"outage": [told_of(logged, outage), told_of(plain, outage)]}))
"""


@contextmanager
def no_database(fleet: Fleet, variable: dict[str, str]) -> Iterator[None]:
    """A PostgreSQL that lets nobody in; a SQLite that somebody else holds, which is all that can happen to one."""
    url = variable.get("LEVARE_DATABASE")
    if url is None:
        holder = sqlite3.connect(fleet.home / "levare.db", timeout=30, isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        yield
        holder.execute("ROLLBACK")
        holder.close()
        return
    name = make_url(url).database
    assert name
    with psycopg.connect(url.replace(f"/{name}?", "/postgres?"), autocommit=True) as connection:
        allow = sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS {}")
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        connection.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def has_passed(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def test_ten_minutes_without_server_redis_and_sql_cost_the_training_nothing(
    running: Fleet, database_variable: dict[str, str], capsys: pytest.CaptureFixture[str]
):
    job_id = running.submit(sys.executable, "-c", TRAINING, str(ROOT))
    running.await_state(job_id, "running")
    output = Path(running.home) / "jobs" / job_id / "output"
    eventually(has_passed(CALM_SECONDS), within=CALM_SECONDS + 5)

    begin = time.time()
    running.kill("web", "redis", "beat")
    with no_database(running, database_variable):
        eventually(has_passed(SECONDS), within=SECONDS + 5)
        (output / "marks.json").write_text(json.dumps([begin, time.time()]))
    running.start("redis", "web", "beat")
    running.await_ready()
    (output / "stop").touch()

    (job,) = running.await_end(job_id, within=120)
    told = json.loads(running.log(job_id))
    report(capsys, told)
    (attempt,) = running.attempts(job_id)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert (attempt["points"], attempt["points_dropped"]) == (told["steps"], 0)
    loss = running.client.get(f"/v1/jobs/{job_id}/metrics").json()["summary"]["train"]["loss"]
    values = [float(step % 1000) for step in range(told["steps"])]
    assert (loss["count"], loss["last"]) == (told["steps"], values[-1])
    assert loss["mean"] == pytest.approx(sum(values) / len(values))
    logged, plain = told["outage"]
    assert logged[2] < 2 * plain[2] + 5


def report(capsys: pytest.CaptureFixture[str], told: dict[str, Any]) -> None:
    """The figures, for whoever runs it for them: steps that log beside the same steps that do not."""
    with capsys.disabled():
        for phase in ("calm", "outage"):
            for what, (count, middle, last) in zip(("logged", "plain"), told[phase], strict=True):
                sys.stdout.write(f"\n{phase:6} {what:6}: {count} steps, p50 {middle:.3f} ms, p99 {last:.3f} ms")
            sys.stdout.write(f"\n{phase:6} ratio of p99: {told[phase][0][2] / told[phase][1][2]:.3f}")
        sys.stdout.write(f"\n{told['steps']} points, none lost\n")
