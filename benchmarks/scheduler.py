"""
What one decision of beat costs with many jobs waiting and 1,000 nodes of 8 GPUs busy, in SQLite.

    python -m benchmarks.scheduler [--json] [--quick]

8,000 jobs of one GPU run; 100,000 and then 1,000,000 of 50 kinds, in 2,000 families, wait. Before each tick 8 jobs end,
and so does what the last tick told to make room; what it placed runs. Milliseconds of process time and of the wall,
each part the best of 15 ticks: load, decide, apply, and the whole tick that cost least. `first` is the first tick of
a beat that has just begun, and `burst` one before which 1,000 jobs have ended, each of them measured once.
"""

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select, update

from beat.leader import Leader
from beat.tick import Plan, Tick
from levare.decide.families import REMEMBERED
from levare.model import CANCELLED, PLACED, RUNNING, SUCCEEDED, WAITING, Device, Rules
from levare.store import attempts, migrate, nodes, tables
from levare.store.attempts import Outcome
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.jobs import Submission, new_row
from levare.store.nodes import NodeFacts

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
KINDS, NAMES, GPUS, CARD, CPUS = 50, 40, 8, 80 * 1024, 64
TICKS, ENDINGS, BURST = 15, 8, 1000
PARTS = ("load", "decide", "apply")
Cost = dict[str, float]
Result = TypeVar("Result")


def main() -> None:
    quick = "--quick" in sys.argv
    results = measure(size=50 if quick else 1000, jobs=1_000 if quick else 100_000)
    print(json.dumps(results)) if "--json" in sys.argv else show(results)


def measure(*, size: int, jobs: int) -> dict[str, Any]:
    results: dict[str, Any] = {"nodes": size, "running": size * GPUS}
    for count in (jobs, 10 * jobs):
        with tempfile.TemporaryDirectory(prefix="levare-") as folder:
            results |= {f"{name}, {count} waiting": cost for name, cost in costs(Path(folder), count, size).items()}
    one, ten = (results[f"whole, {count} waiting"]["process_ms"] for count in (jobs, 10 * jobs))
    return results | {"ratio of the whole": round(ten / one, 2)}


def show(results: dict[str, Any]) -> None:
    for name, value in results.items():
        about = [f"{key} {each:>8}" for key, each in value.items()] if isinstance(value, dict) else [value]
        print(f"{name:32}", *about)


def costs(folder: Path, count: int, size: int) -> dict[str, Cost]:
    """Of the parts of a tick and of whole ticks, on a database of this many jobs and nodes."""
    database = Database(f"sqlite:///{folder / 'levare.db'}")
    migrate.upgrade(database)
    fill(database, count, size)
    found = run(database, size)
    database.dispose()
    return found


def run(database: Database, size: int) -> dict[str, Cost]:
    leader = Leader(database)
    if not leader.leads():
        raise SystemExit("Another beat leads this database.")
    tick, dice = Tick(database, leader, Rules()), Random(3)
    first = _ticked(database, tick, dice, 0, ENDINGS)
    steady = [_ticked(database, tick, dice, second, ENDINGS) for second in range(1, 1 + TICKS)]
    burst = _ticked(database, tick, dice, 1 + TICKS, min(BURST, size * GPUS // 2))
    best = {part: _least([each[part] for each in steady]) for part in (*PARTS, "whole")}
    return {**best, "whole of the first": first["whole"], "whole of a burst": burst["whole"]}


def _ticked(database: Database, tick: Tick, dice: Random, second: int, endings: int) -> dict[str, Cost]:
    now = NOW + timedelta(seconds=second)
    with database.writing() as connection:
        _let_end(connection, dice, endings, now)
    gc.collect()
    seen, load = _timed(lambda: tick.load(now))
    plan, decide = _timed(lambda: tick.decide(seen, now))
    _, apply = _timed(lambda: tick.apply(plan, now))
    whole = {key: round(load[key] + decide[key] + apply[key], 1) for key in load}
    return {"load": load, "decide": decide, "apply": apply, "whole": whole | _extent(plan)}


def _timed(do: Callable[[], Result]) -> tuple[Result, Cost]:
    wall, cost = time.perf_counter(), time.process_time()
    result = do()
    cost, wall = time.process_time() - cost, time.perf_counter() - wall
    return result, {"process_ms": round(cost * 1000, 1), "wall_ms": round(wall * 1000, 1)}


def _least(of: list[Cost]) -> Cost:
    return min(of, key=lambda cost: cost["process_ms"]) | {"wall_ms": min(cost["wall_ms"] for cost in of)}


def _extent(plan: Plan) -> Cost:
    """How much the tick changed."""
    decision = plan.decision
    return {"settled": len(plan.moves), "started": len(decision.placements), "told to end": len(decision.preemptions)}


def _let_end(connection: Connection, dice: Random, endings: int, now: datetime) -> None:
    """What workers do between two ticks."""
    for each in (tables.attempts, tables.jobs):
        connection.execute(update(each).where(each.c.state == PLACED).values(state=RUNNING, started_at=now))
    run = connection.execute(_RUNNING).all()
    for row in run:
        if row.preempted_at:
            attempts.finish(connection, row.id, Outcome(CANCELLED, "Ended.", started_at=row.placed_at, ended_at=now))
    for row in dice.sample([row for row in run if not row.preempted_at], endings):
        attempts.finish(connection, row.id, Outcome(SUCCEEDED, "Ended.", 0, started_at=row.placed_at, ended_at=now))


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


def fill(database: Database, count: int, size: int) -> None:
    """So many jobs that wait, and so many nodes whose GPUs and CPUs are all taken."""
    wishes = [
        (Submission(command=["true"], name=f"k{number}", **kind), f"u{number % 17}")
        for number, kind in enumerate(kinds())
    ]
    rows = [new_row(wish, "x", WAITING, Actor("t", user), NOW) for wish, user in wishes]
    with database.writing() as connection:
        for first in range(0, count, 50_000):
            some = range(first, min(count, first + 50_000))
            connection.execute(insert(tables.jobs), [_queued(rows[number % KINDS], number, count) for number in some])
        named = [_named(row, name) for row in rows for name in range(NAMES)]
        connection.execute(insert(tables.families), [_history(row) for row in named])
        _fill_fleet(connection, rows, size)


def _history(row: dict[str, Any]) -> dict[str, Any]:
    """Runs of a kind take anything up to their limit."""
    dice = Random(row["family"])
    seconds = [dice.random() * row["timeout_seconds"] for _ in range(REMEMBERED)]
    return {"name": row["family"], "seconds": seconds, "fast_failures": 0, "updated_at": NOW}


def _queued(row: dict[str, Any], number: int, count: int) -> dict[str, Any]:
    about = {"id": f"w{number:07}", "created_at": NOW - timedelta(seconds=count - number)}
    return {**_named(row, number // KINDS % NAMES), **about}


def _named(row: dict[str, Any], name: int) -> dict[str, Any]:
    return {**row, "name": f"{row['name']}-{name}", "family": f"{row['family']}-{name}"}


def _fill_fleet(connection: Connection, rows: list[dict[str, Any]], size: int) -> None:
    dice = Random(1)
    for number in range(size):
        name = f"n{number}"
        cards = [Device(f"{name}-{slot}", slot, CARD, "H100") for slot in range(GPUS)]
        facts = NodeFacts(name, "b", CPUS, 1 << 20, cards, simulated=True, version="1")
        nodes.join(connection, facts, incarnation="i", now=NOW)
    places = [(f"n{number}", slot) for number in range(size) for slot in range(GPUS)]
    runs = [_running(_named(dice.choice(rows), dice.randrange(NAMES)), node, slot) for node, slot in places]
    connection.execute(insert(tables.jobs), runs)
    connection.execute(insert(tables.attempts), list(_attempts(dice, runs, places)))


def _running(row: dict[str, Any], node: str, slot: int) -> dict[str, Any]:
    return {**row, "id": f"l{node}-{slot}", "state": RUNNING, "attempt": 1, "gpus": 1, "cpus": CPUS // GPUS}


def _attempts(dice: Random, runs: list[dict[str, Any]], places: list[tuple[str, int]]) -> Iterator[dict[str, Any]]:
    for job, (node, slot) in zip(runs, places, strict=True):
        yield {
            "id": f"{job['id']}-1",
            "job_id": job["id"],
            "number": 1,
            "rank": 0,
            "state": RUNNING,
            "node": node,
            "queue": f"gpu.{node}",
            "devices": {f"{node}-{slot}": CARD},
            "cpus": job["cpus"],
            "memory_mib": 1024,
            "scratch_mib": 0,
            "resources": {},
            "placed_at": NOW - dice.random() * dice.random() * timedelta(seconds=job["timeout_seconds"]),
            "sent_at": NOW,
            "sent_to": "i",
            "settled": False,
            "log_bytes": 0,
            "metrics_offset": 0,
            "points": 0,
            "points_dropped": 0,
        }


_A = tables.attempts.c
_RUNNING = select(_A.id, _A.placed_at, _A.preempted_at).where(_A.state == RUNNING).order_by(_A.id)


if __name__ == "__main__":
    main()
