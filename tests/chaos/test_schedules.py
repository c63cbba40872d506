"""
Schedules under two beats that are stopped, continued and killed, and under a clock that jumps.

`LEVARE_TRIAL_SECONDS=600 make test ARGS='tests/chaos/test_schedules.py -s'` makes a long trial of it.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from beat.leader import LEASE
from levare import settings
from levare.decide.due import ahead
from levare.decide.timing import timing_of
from levare.store.engine import Database
from levare.store.tables import jobs
from levare.store.tables_time import fires, schedules
from tests.fleet import Fleet, eventually, fleet

SECONDS = float(os.environ.get("LEVARE_TRIAL_SECONDS", "15"))
SCHEDULES = 50
SECOND = timedelta(seconds=1)
WORK = {"job": {"command": ["sleep", "3600"], "cpus": 16}}


@pytest.fixture
def conducted(tmp_path: Path, database_variable: dict[str, str]) -> Iterator[Fleet]:
    """A node on which one job at a time can run, and no beat yet."""
    with fleet(tmp_path, **database_variable) as deployment:
        deployment.start("redis", "web", "worker")
        deployment.await_ready()
        yield deployment


@pytest.fixture
def database(conducted: Fleet) -> Iterator[Database]:
    found = Database(settings.load(conducted.environment).database)
    yield found
    found.dispose()


def declare(database: Database, count: int, *, every: int = 1, now: datetime) -> None:
    definition = {"every_seconds": every, "misfire": "all"} | WORK
    due_at, fires_at = ahead(timing_of(definition), "s", now)
    row = {"definition": definition, "revision": 0, "owner": "admin", "changed_at": now, "settled_to": now}
    rows = [row | {"name": f"s{number}", "due_at": due_at, "fires_at": fires_at} for number in range(count)]
    with database.writing() as connection:
        connection.execute(insert(schedules), rows)


def due_times(database: Database) -> dict[str, list[datetime]]:
    found: dict[str, list[datetime]] = {}
    with database.reading() as connection:
        for row in connection.execute(select(fires.c.schedule, fires.c.due_at).order_by(fires.c.due_at)):
            found.setdefault(row.schedule, []).append(row.due_at)
    return found


def outcomes(database: Database) -> Counter[str]:
    with database.reading() as connection:
        return Counter(connection.execute(select(fires.c.outcome)).scalars())


def count_jobs(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(jobs)).scalar_one()


def test_two_beats_that_are_stopped_and_killed_write_each_due_time_once(conducted: Fleet, database: Database):
    conducted.start("beat", "beat:2")
    began = datetime.now(UTC).replace(microsecond=0) + 5 * SECOND
    declare(database, SCHEDULES, now=began)
    overtaken = torment(conducted, random.Random(7), until=time.monotonic() + 5 + SECONDS)
    ended = datetime.now(UTC)

    eventually(lambda: settled_to(database) >= ended - SECOND, within=60)

    expected = [began + number * SECOND for number in range(1, int((ended - began).total_seconds()) - 1)]
    for name, found in due_times(database).items():
        assert found[: len(expected)] == expected, name
    with database.reading() as connection:
        of_jobs = set(connection.execute(select(fires.c.job_id).where(fires.c.outcome == "run")).scalars())
    assert len(of_jobs) == outcomes(database)["run"]
    assert count_jobs(database) >= len(of_jobs)
    told = (
        f"{len(expected) * SCHEDULES} due times, {dict(outcomes(database))}, {overtaken} leaders overtaken and refused"
    )
    sys.stdout.write(f"{told}\n")


def torment(conducted: Fleet, dice: random.Random, *, until: float) -> int:
    """Stop, continue and kill two beats; return how many of them found that another leads and wrote nothing."""
    beats = ("beat", "beat:2")
    eventually(lambda: any("leadership.taken" in conducted.output(name) for name in beats))
    time.sleep(1)  # so that the other one has begun too
    for name in beats:
        pause(conducted, name, LEASE.total_seconds() + 1.5)
    while time.monotonic() < until:
        name = dice.choice(beats)
        if dice.random() < 0.5:
            pause(conducted, name, dice.uniform(0.5, 5))
        else:
            conducted.kill(name)
            conducted.start(name)
        time.sleep(dice.uniform(0.2, 2))
    return sum(conducted.output(name).count("leadership.lost") for name in beats)


def pause(conducted: Fleet, name: str, seconds: float) -> None:
    conducted.signal(name, signal.SIGSTOP)
    time.sleep(seconds)
    conducted.signal(name, signal.SIGCONT)


def settled_to(database: Database) -> datetime:
    with database.reading() as connection:
        return connection.execute(select(func.min(schedules.c.settled_to))).scalar_one()


def test_ten_thousand_schedules_due_in_one_second_all_fire_once(conducted: Fleet, database: Database):
    now = datetime.now(UTC)
    declare(database, 10_000, every=86400, now=now - timedelta(days=1))

    conducted.start("beat")

    eventually(lambda: sum(outcomes(database).values()) == 10_000, within=60)
    assert count_jobs(database) == 10_000


def test_a_broker_that_is_down_delays_no_fire(conducted: Fleet, database: Database):
    conducted.start("beat")
    conducted.kill("redis")
    now = datetime.now(UTC).replace(microsecond=0)
    declare(database, 1, now=now)

    eventually(lambda: count_jobs(database) >= 3, within=20)

    found = due_times(database)["s0"]
    assert found == [now + number * SECOND for number in range(1, len(found) + 1)]
    conducted.start("redis")
    first = conducted.client.get("/v1/jobs", params={"order": "oldest", "limit": 1}).json()["items"][0]["id"]
    conducted.await_state(first, "running")
