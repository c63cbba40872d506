"""
Schedules under two beats that are stopped, continued and killed, and under a clock that jumps.

A long trial of it, ten minutes for each database, which is longer than a test may take otherwise:

    LEVARE_TRIAL_SECONDS=600 make test ARGS='tests/chaos/test_schedules.py -s -n 0 -o faulthandler_timeout=1500'
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

import libfaketime
import pytest
from sqlalchemy import func, insert, select

from beat.leader import LEASE
from levare import settings
from levare.decide.due import ahead
from levare.decide.timing import timing_of
from levare.store import schedules
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.tables import jobs
from levare.store.tables_time import fires
from levare.store.tables_time import schedules as schedules_table
from tests.fleet import Fleet, eventually, fleet

SECONDS = float(os.environ.get("LEVARE_TRIAL_SECONDS", "6"))
SCHEDULES = 50
SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)
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
        connection.execute(insert(schedules_table), rows)


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
    fired = due_times(database)
    assert len(expected) >= SECONDS / 2
    assert len(fired) == SCHEDULES
    for name, found in fired.items():
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
    eventually(lambda: any("leadership.observed" in conducted.output(name) for name in beats))
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
        return connection.execute(select(func.min(schedules_table.c.settled_to))).scalar_one()


@pytest.mark.parametrize("database_variable", ["sqlite"], indirect=True)
def test_ten_thousand_schedules_due_in_one_second_all_fire_once(conducted: Fleet, database: Database):
    now = datetime.now(UTC)
    declare(database, 10_000, every=86400, now=now - timedelta(days=1))

    conducted.start("beat")

    eventually(lambda: sum(outcomes(database).values()) == 10_000, within=120)
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


class WallClock:
    """What processes under libfaketime take for the time of day; their monotonic clock stays true."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.move(timedelta())

    def move(self, by: timedelta) -> None:
        self._file.write_text(f"{by.total_seconds():+.0f}\n")

    @property
    def environment(self) -> dict[str, str]:
        library = Path(libfaketime.__file__).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }


def test_a_wall_clock_that_jumps_fires_what_it_jumps_over_once_and_ends_nothing(
    conducted: Fleet, database: Database, tmp_path: Path
):
    clock = WallClock(tmp_path / "clock")
    conducted.start("beat", **clock.environment)
    limited = conducted.submit("sleep", "3600", timeout_seconds=1800)
    conducted.await_state(limited, "running")
    now = datetime.now(UTC)
    with database.writing() as connection:
        once = {"at": (now + HOUR / 2).isoformat()} | WORK
        schedules.put(connection, "once", once, actor=Actor("", "admin"), now=now)

    clock.move(HOUR)
    conducted.submit("true", cpus=16)
    eventually(lambda: len(due_times(database).get("once", ())) == 1)
    clock.move(-HOUR)
    conducted.submit("true", cpus=16)
    clock.move(timedelta())
    after = conducted.submit("true", timeout_seconds=60)  # so short that it may pass those who wait

    conducted.await_end(after)
    assert len(due_times(database)["once"]) == 1
    assert conducted.job(limited)["state"] == "running"
    assert conducted.output("beat").count("leadership.taken") == 1
    assert "leadership.lost" not in conducted.output("beat")
    assert conducted.client.get("/v1/nodes/n1").json()["state"] == "ready"
