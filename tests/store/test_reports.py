"""Reports and trends on both databases."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from levare.decide.report import proposals
from levare.errors import NotFound
from levare.store import family_runs, reports, shipping, tables
from levare.store.engine import Database
from levare.store.shipping import Point, Points
from tests.store.conftest import NOON

Add = Callable[..., str]
OF_JOB = ("gpus", "memory_mib", "cpus", "timeout_seconds", "team", "schedule")
HOUR, GIB = timedelta(hours=1), 1024


@pytest.fixture
def add_run(database: Database, add_job: Add, add_node: Add) -> Add:
    """A job whose one attempt has ended: placed a minute after it came, it took `hours`."""
    add_node()

    def add(job_id: str, *, hours: float = 1, state: str = "succeeded", day: int = 0, **changes: Any) -> str:
        of_job = {name: changes.pop(name) for name in OF_JOB if name in changes}
        add_job(
            job_id,
            name="train",
            family=f"{of_job.get('team', 'default')}/p/train",
            created_at=NOON,
            attempt=1,
            **of_job,
        )
        begun = NOON + timedelta(days=day, minutes=1)
        row = {
            "id": f"{job_id}-1",
            "job_id": job_id,
            "number": 1,
            "rank": 0,
            "state": state,
            "node": "n1",
            "queue": "q",
        }
        row |= {"devices": {"n1-0": 80 * GIB} if of_job.get("gpus") else {}, "cpus": 1, "memory_mib": 0}
        row |= {"scratch_mib": 0, "resources": {}, "placed_at": begun, "started_at": begun, "settled": True}
        row |= {"ended_at": begun + hours * HOUR, "log_bytes": 0, "metrics_offset": 0, "points": 0, "points_dropped": 0}
        with database.writing() as connection:
            connection.execute(insert(tables.attempts), [row | changes])
        return job_id

    return add


def use(database: Database, **wanted: Any) -> list[Any]:
    wanted = {"since": NOON - HOUR, "until": NOON + timedelta(days=40), "team": None} | wanted
    with database.reading() as connection:
        return reports.use_of_families(connection, **wanted)


def test_a_family_is_told_with_what_it_asked_for_used_held_idle_and_failed_by(database: Database, add_run: Add):
    for number in range(10):
        used = {"peak_memory_mib": 1000 + number, "gpu_memory_mib": 9000, "gpu_utilisation_percent": 25.0}
        add_run(f"j{number}", hours=2, gpus=1, memory_mib=64 * GIB, cpu_seconds=7200.0, cost=2.0, **used)
    add_run("bad", state="failed", failure="nan", gpus=1, hours=1, peak_memory_mib=99_999)
    add_run("other", team="vision")

    found, other = use(database)

    assert (found.name, found.attempts, found.succeeded, found.failed) == ("default/p/train", 11, 10, 1)
    assert (other.team, other.gpu_hours) == ("vision", 0)
    assert found.gpu_hours == pytest.approx(21, abs=1e-3)
    assert found.idle_hours == pytest.approx(15, abs=1e-3)
    assert found.wait_seconds == pytest.approx(60, abs=0.01)
    assert found.typical_seconds == pytest.approx(7200, abs=0.01)
    assert found.failures == {"nan": 1}
    assert found.cost == pytest.approx(20)
    assert (found.used.memory_mib, found.used.gpu_memory_mib) == (1009, 9000)
    assert found.used.cpus == pytest.approx(1)
    assert [each.name for each in use(database, team="vision")] == ["vision/p/train"]
    assert use(database, since=NOON + timedelta(days=30)) == []


def test_right_sizes_are_ready_to_use(database: Database, add_run: Add):
    for number in range(30):
        used = {"peak_memory_mib": 11 * GIB, "gpu_memory_mib": 16 * GIB, "gpu_utilisation_percent": 12.0}
        wishes = {"gpus": 1, "memory_mib": 64 * GIB, "cpus": 16, "timeout_seconds": 86400}
        add_run(f"j{number}", hours=1, day=number, cpu_seconds=7200.0, **wishes, **used)

    told = [(each.text, each.option) for each in proposals(use(database))]

    assert told == [
        ("asks 64GiB, p99 of 30 runs uses 11GiB", "--memory 14GiB"),
        ("asks 16 CPUs, p99 of 30 runs keeps 2.0 busy", "--cpus 3"),
        ("asks a whole GPU of 80GiB, p99 of 30 runs uses 16GiB, 12% busy", "--gpu-memory 20GiB"),
        ("has a limit of 24h, p99 of 30 runs takes 1h", "--timeout 120m"),
    ]


def test_few_runs_and_small_gains_propose_nothing(database: Database, add_run: Add):
    for number in range(6):
        add_run(f"j{number}", memory_mib=8 * GIB, peak_memory_mib=6 * GIB)
        add_run(f"k{number}", team="vision", state="failed", failure="nan", memory_mib=64 * GIB, peak_memory_mib=1)

    assert proposals(use(database)) == []


def test_the_runs_of_a_family_are_told_newest_first_with_their_best_metrics(database: Database, add_run: Add):
    add_run("a", day=0, schedule="nightly")
    add_run("b", day=1, hours=3, points=2)
    add_run("c", day=2, state="failed", failure="nan")
    points = [Point(n, NOON, "val", n, None, {"accuracy": value}) for n, value in enumerate((0.5, 0.9))]
    with database.writing() as connection:
        assert shipping.append_points(connection, "b-1", Points(0, 2, points))

    with database.reading() as connection:
        runs = family_runs.runs(connection, "default/p/train", since=None, schedule=None, limit=2)
        nightly = family_runs.runs(connection, "default/p/train", since=None, schedule="nightly", limit=9)

        assert [(run["job"], run["failure"]) for run in runs] == [("c", "nan"), ("b", None)]
        assert runs[1]["seconds"] == pytest.approx(3 * 3600, abs=0.01)
        assert runs[1]["metrics"] == {"val": {"accuracy": {"best_min": 0.5, "best_max": 0.9}}}
        assert [run["job"] for run in nightly] == ["a"]
        with pytest.raises(NotFound, match="no job of a family 'x'"):
            family_runs.runs(connection, "x", since=None, schedule=None, limit=1)
