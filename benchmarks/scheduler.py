"""
What one decision costs with many jobs waiting and 1,000 nodes of 8 GPUs busy.

    python -m benchmarks.scheduler [--json] [--quick]

`place` is the decision alone: all jobs of 50 kinds handed to it, and so many of each kind as the store hands it.
`tick` is all of a decision on SQLite: load, place, apply. Milliseconds, best of 5, of process time and of the wall;
the ratio is of ten times as many jobs to as many.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Connection, insert

from levare.decide.placement import place
from levare.model import WAITING, Device, Duration, Held, Node, Request, Waiting
from levare.store import attempts, migrate, nodes, snapshot, tables, wishes
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission, new_row
from levare.store.nodes import NodeFacts

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KINDS, GPUS, CARD, BUSY = 50, 8, 80 * 1024, 0.97
REPEATS = 5
Cost = dict[str, float]


def main() -> None:
    quick = "--quick" in sys.argv
    results = measure(size=100 if quick else 1000, jobs=2_000 if quick else 100_000)
    print(json.dumps(results)) if "--json" in sys.argv else show(results)


def measure(*, size: int, jobs: int) -> dict[str, Any]:
    fleet = a_fleet(Random(1), size)
    counts = (jobs, 10 * jobs)
    results: dict[str, Any] = {"nodes": size, "gpus": size * GPUS}
    for count in counts:
        queue = a_queue(count)
        heads = [job for job in queue if int(job.job_id) < KINDS * snapshot.HEADS]
        results[f"place {count} jobs"] = best(lambda queue=queue: place(queue, fleet, now=NOW))
        results[f"place the heads of {count} jobs"] = best(lambda heads=heads: place(heads, fleet, now=NOW))
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="levare-") as folder:
            results[f"tick with {count} jobs"] = tick(Path(folder), count, size)
    for what in ("place {} jobs", "place the heads of {} jobs", "tick with {} jobs"):
        one, ten = (results[what.format(count)]["process_ms"] for count in counts)
        results[f"ratio of {what.format('10x')}"] = round(ten / one, 2)
    return results


def best(run: Callable[[], object], *, before: Callable[[], object] = lambda: None) -> Cost:
    walls, costs = list[float](), list[float]()
    for _ in range(REPEATS):
        before()
        wall, cost = time.perf_counter(), time.process_time()
        run()
        costs.append(time.process_time() - cost)
        walls.append(time.perf_counter() - wall)
    return {"process_ms": round(min(costs) * 1000, 1), "wall_ms": round(min(walls) * 1000, 1)}


def show(results: dict[str, Any]) -> None:
    for name, value in results.items():
        print(
            f"{name:40}", *(f"{key} {each:>9}" for key, each in value.items()) if isinstance(value, dict) else [value]
        )


def kinds() -> list[dict[str, Any]]:
    """What the jobs of each kind ask for: mostly more GPUs than are free anywhere."""
    dice = Random(2)
    return [
        {
            "gpus": dice.choice([0, 1, 1, 2, 4, 8]),
            "cpus": dice.randint(1, 16),
            "memory_mib": dice.randint(1, 64) * 1024,
            "team": f"t{kind % 5}",
            "priority": dice.randint(0, 9),
            "timeout_seconds": 60 * 2 ** (kind % 12),
        }
        for kind in range(KINDS)
    ]


def a_queue(count: int) -> list[Waiting]:
    firsts = []
    for number, kind in enumerate(kinds()):
        lasts = timedelta(seconds=kind["timeout_seconds"])
        request = Request(gpus=kind["gpus"], cpus=kind["cpus"], memory_mib=kind["memory_mib"])
        about = {"team": kind["team"], "user": f"u{number % 17}", "expected": Duration(lasts, lasts)}
        firsts.append(Waiting("", request, kind["priority"], NOW, **about))
    oldest = NOW - timedelta(seconds=count)
    return [
        replace(firsts[number % KINDS], job_id=f"{number:07}", since=oldest + timedelta(seconds=number))
        for number in range(count)
    ]


def a_fleet(dice: Random, size: int) -> list[Node]:
    return [_a_node(dice, f"n{number}") for number in range(size)]


def _a_node(dice: Random, name: str) -> Node:
    cards = [Device(f"{name}-{slot}", slot, CARD, "H100") for slot in range(GPUS)]
    held = [_a_run(dice, f"{name}-{card.index}", card.uuid) for card in cards if dice.random() < BUSY]
    return Node(name, "ready", 128, 1 << 20, cards, held)


def _a_run(dice: Random, name: str, card: str) -> Held:
    typical = timedelta(hours=dice.lognormvariate(1, 1))
    return Held(
        f"{name}-1",
        name,
        {card: CARD},
        cpus=4,
        memory_mib=1024,
        team=f"t{dice.randrange(5)}",
        user=f"u{dice.randrange(17)}",
        priority=dice.randint(0, 9),
        placed_at=NOW - timedelta(hours=dice.random() * 5),
        expected=Duration(typical, 2 * typical),
    )


def tick(folder: Path, count: int, size: int) -> Cost:
    """One decision with everything in SQL; each repeat begins with the same rows."""
    database = Database(f"sqlite:///{folder / 'levare.db'}")
    migrate.upgrade(database)
    _fill(database, count, size)
    with database.reading() as connection:
        seen = snapshot.load(connection, now=NOW)
    results = {
        "load": best(lambda: _load(database)),
        "place": best(lambda: place(seen.waiting, seen.nodes, now=NOW, sharing=seen.sharing)),
        "all": best(lambda: _decide(database)),
    }
    database.dispose()
    return {f"{name} {key}": cost for name, each in results.items() for key, cost in each.items()} | results["all"]


def _load(database: Database) -> object:
    with database.reading() as connection:
        return snapshot.load(connection, now=NOW)


def _decide(database: Database) -> None:
    """Load, place, apply; what was written is taken back."""
    with database.reading() as connection:
        seen = snapshot.load(connection, now=NOW)
    decision = place(seen.waiting, seen.nodes, now=NOW, sharing=seen.sharing)
    with database.writing() as connection:
        wishes.preempt(connection, decision.preemptions, now=NOW)
        attempts.place(connection, decision.placements, {}, now=NOW)
        connection.rollback()


def _fill(database: Database, count: int, size: int) -> None:
    rows = [
        new_row(
            Submission(command=["true"], name=f"k{number}", **kind), "x", WAITING, Actor("t", f"u{number % 17}"), NOW
        )
        for number, kind in enumerate(kinds())
    ]
    with database.writing() as connection:
        for first in range(0, count, 50_000):
            some = range(first, min(count, first + 50_000))
            connection.execute(insert(tables.jobs), [_queued(rows[number % KINDS], number, count) for number in some])
        _fill_fleet(connection, rows, size)


def _queued(row: dict[str, Any], number: int, count: int) -> dict[str, Any]:
    return {**row, "id": f"w{number:07}", "created_at": NOW - timedelta(seconds=count - number)}


def _fill_fleet(connection: Connection, rows: list[dict[str, Any]], size: int) -> None:
    dice = Random(1)
    for number in range(size):
        name = f"n{number}"
        cards = [Device(f"{name}-{slot}", slot, CARD, "H100") for slot in range(GPUS)]
        facts = NodeFacts(name, "b", 128, 1 << 20, cards, simulated=True, version="1")
        nodes.join(connection, facts, incarnation="i", now=NOW)
    live = [(number, slot) for number in range(size) for slot in range(GPUS) if dice.random() < BUSY]
    of_jobs = [{**rows[slot], "id": f"l{number}-{slot}", "state": "running", "attempt": 1} for number, slot in live]
    connection.execute(insert(tables.jobs), of_jobs)
    connection.execute(insert(tables.attempts), list(_attempts(dice, live)))


def _attempts(dice: Random, live: list[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    for number, slot in live:
        yield {
            "id": f"l{number}-{slot}-1",
            "job_id": f"l{number}-{slot}",
            "number": 1,
            "rank": 0,
            "state": "running",
            "node": f"n{number}",
            "queue": f"gpu.n{number}",
            "devices": {f"n{number}-{slot}": CARD},
            "cpus": 4,
            "memory_mib": 1024,
            "scratch_mib": 0,
            "resources": {},
            "placed_at": NOW - timedelta(hours=dice.random() * 5),
            "sent_at": NOW,
            "sent_to": "i",
            "settled": False,
            "log_bytes": 0,
            "metrics_offset": 0,
            "points": 0,
            "points_dropped": 0,
        }


if __name__ == "__main__":
    main()
