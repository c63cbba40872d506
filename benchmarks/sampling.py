"""
What measuring costs: of each part of a sample, and of the whole heart and its keeper as part of a core.

A node with 8 simulated GPUs, and an attempt whose job is 50 processes, over a real Redis-compatible server and SQLite.
`python -m benchmarks.sampling [--json] [--processes N] [--gpus N] [--seconds S]`
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from levare import settings
from levare.model.sampled import Bucket, Spread, begin_of
from levare.pulse import Pulse
from levare.store import migrate, samples
from levare.store.engine import Database
from worker.heart import Heart, Tracked
from worker.keeper import Keeper
from worker.probe.attempts import Attempts
from worker.probe.facts import gpus
from worker.probe.machine import Machine

FAMILY = """
import os, sys, time
for _ in range(int(sys.argv[1]) - 1):
    if os.fork() == 0:
        time.sleep(3600)
print('there', flush=True)
time.sleep(3600)
"""
SUPERVISOR = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


@contextmanager
def family(processes: int) -> Iterator[int]:
    """A supervisor with so many processes below it; its process id."""
    command = [sys.executable, "-c", SUPERVISOR, FAMILY, str(processes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as supervisor:
        assert supervisor.stdout
        supervisor.stdout.readline()
        yield supervisor.pid
        os.killpg(supervisor.pid, 9)


@contextmanager
def server(home: Path) -> Iterator[settings.Settings]:
    given = settings.load({"LEVARE_HOME": str(home), "LEVARE_NODE": "n1", "LEVARE_SIMULATED_GPUS": "8x80GiB"})
    process = subprocess.Popen(
        [sys.executable, "-m", "levare.embedded"],
        env={**os.environ, "LEVARE_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    pulse = Pulse(given.redis_url)
    while not pulse.ping():
        time.sleep(0.05)
    pulse.close()
    yield given
    process.terminate()
    process.wait()


def cost(act: Callable[[], object], times: int = 50) -> float:
    """Milliseconds of CPU time of this thread, the median of several."""
    act()
    spent = []
    for _ in range(times):
        begin = time.thread_time()
        act()
        spent.append(time.thread_time() - begin)
    return 1000 * median(spent)


def parts(given: settings.Settings, one: Tracked, pulse: Pulse, database: Database) -> dict[str, float]:
    devices, machine, attempts, keeper = gpus(given), Machine(given.home), Attempts(), Keeper(database, pulse, "n1")
    readings = devices.readings([one])
    node, own = machine.sample(readings), attempts.sample([one], readings)
    found = {
        "read the machine": cost(lambda: machine.sample(readings)),
        f"read {len(readings)} simulated GPUs": cost(lambda: devices.readings([one])),
        "read the attempt": cost(lambda: attempts.sample([one], readings)),
        f"send {len(node)} counters to Redis": cost(lambda: pulse.beat("n1", node, own)),
        "down-sample": cost(lambda: (keeper.note(node, own, at=time.time()), keeper.fold())),
    }
    machine.close()
    return found


def whole(given: settings.Settings, one: Tracked, pulse: Pulse, database: Database, seconds: float) -> dict[str, float]:
    """The heart as the worker runs it, in this otherwise idle process; all of its threads count."""
    keeper = Keeper(database, pulse, "n1", write_every_seconds=min(60.0, seconds / 2))
    heart = Heart(given, pulse, lambda: [one], gpus(given), keep=keeper.note)
    heart.start(), keeper.start()  # pyright: ignore[reportUnusedExpression]
    time.sleep(2)
    begin, then = time.process_time(), time.monotonic()
    time.sleep(seconds)
    spent, took = time.process_time() - begin, time.monotonic() - then
    heart.stop(), keeper.stop()  # pyright: ignore[reportUnusedExpression]
    return {"heart and keeper": 100 * spent / took}


def size(devices: int) -> dict[str, float]:
    """Bytes of a row of a node with so many GPUs, and of all rows of a node in half a year, in MiB."""
    numbers = {f"gpu{gpu}_{n}": 37.5 + gpu for gpu in range(devices) for n in range(27)} | {
        f"node_{n}": 1234.5 + n for n in range(40)
    }
    changing = {name: Spread(value, value - 1.5, value + 1.25) for name, value in numbers.items()}
    row = len(samples.pack("node", "n1", Bucket(begin_of(time.time(), 10), 10, 10, changing)).values) + 90
    rows = 6 * 360 + 14 * 1440 + 180 * 96
    return {"bytes of a row": row, "MiB of a node in half a year": round(row * rows / 2**20)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--processes", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=30)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder, server(Path(folder)) as given, family(asked.processes) as supervisor:
        database, pulse = Database(given.database), Pulse(given.redis_url)
        migrate.upgrade(database)
        one = Tracked("a-1", supervisor, None, {"SIM-n1-0": 81920})
        result = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "processes": asked.processes,
            "cost_milliseconds": parts(given, one, pulse, database),
            "percent_of_a_core": whole(given, one, pulse, database, asked.seconds),
            "size": size(8),
        }
        pulse.close()
        database.dispose()
    print(json.dumps(result, indent=2) if asked.json else table(result))


def table(result: dict) -> str:
    costs = result["cost_milliseconds"] | {"in all": sum(result["cost_milliseconds"].values())}
    lines = [f"| a sample, with a job of {result['processes']} processes | CPU ms |", "|---|---|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in costs.items()]
    lines += ["", "| in all, once a second | % of a core |", "|---|---|"]
    lines += [f"| {name} | {value:.2f} |" for name, value in result["percent_of_a_core"].items()]
    lines += ["", *(f"{name}: {value:g}" for name, value in result["size"].items())]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
