"""
What schedules cost, against `celery beat` and RedBeat in the same run on the same machine.

    python -m benchmarks.beat [--json] [--quick]

With 1,000, 10,000 and 100,000 schedules of which 40 are due every ten seconds (4 fires/s) and the others far in the
future: CPU of the beat process, and how late the fires are. Then with none of levare's due at all: its idle CPU. Then
with all of them due at once: fires/s. Without `--quick`, for 100,000 too. levare's fires are rows and jobs in SQL,
those of the peers are messages that were sent.
"""

import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, insert, select

from benchmarks.deployment import running, stack
from benchmarks.raw_beat import BUSY_SECONDS
from benchmarks.ring import quiet, wait_for
from levare.decide.due import ahead
from levare.decide.timing import timing_of
from levare.embedded import server_binary
from levare.store.engine import Database
from levare.store.tables_time import fires, schedules

_BUSY = 40
_SETTLE_SECONDS = 5
_WORK = {"job": {"command": ["sleep", "3600"]}}


def main() -> None:
    quick = "--quick" in sys.argv
    counts = (1_000, 10_000) if quick else (1_000, 10_000, 100_000)
    results = {}
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="levare-") as folder:
            results[str(count)] = measure(Path(folder), count, seconds=20 if quick else 60)
            print(json.dumps({count: results[str(count)]}), file=sys.stderr, flush=True)
    print(json.dumps(results)) if "--json" in sys.argv else show(results)


def measure(folder: Path, count: int, *, seconds: float) -> dict[str, dict[str, float]]:
    idle = our_idle(folder / "idle", count, seconds)
    found = {"levare": ours(folder / "ours", count, seconds) | idle | our_burst(folder / "burst", count)}
    for peer in ("celery beat", "RedBeat"):
        place = folder / peer.replace(" ", "-")
        found[peer] = theirs(place, peer, count, seconds) | their_burst(place.with_suffix(".burst"), peer, count)
    return found


def ours(home: Path, count: int, seconds: float) -> dict[str, float]:
    """CPU and lateness while some are due every ten seconds."""
    with running(home, LEVARE_CPUS="1"):
        database = Database(f"sqlite:///{home / 'levare.db'}")
        often = [({"every_seconds": BUSY_SECONDS} | _WORK, _BUSY), ({"cron": "0 0 1 1 *"} | _WORK, count - _BUSY)]
        declare(database, often)
        time.sleep(_SETTLE_SECONDS)
        began, beat = datetime.now(UTC), beat_of(stack(home))
        cpu = cpu_percent(beat, seconds)
        late = lateness(database, began)
        database.dispose()
    return {"cpu_percent": cpu, "late_p50_ms": statistics.median(late), "late_p99_ms": _p99(late), "fires": len(late)}


def our_idle(home: Path, count: int, seconds: float) -> dict[str, float]:
    """CPU while nothing is due."""
    with running(home, LEVARE_CPUS="1"):
        database = Database(f"sqlite:///{home / 'levare.db'}")
        declare(database, [({"cron": "0 0 1 1 *"} | _WORK, count)])
        database.dispose()
        time.sleep(_SETTLE_SECONDS)
        return {"idle_cpu_percent": cpu_percent(beat_of(stack(home)), seconds)}


def our_burst(home: Path, count: int) -> dict[str, float]:
    with running(home, LEVARE_CPUS="1"):
        database = Database(f"sqlite:///{home / 'levare.db'}")
        due = datetime.now(UTC) + timedelta(seconds=10 + count / 5_000)
        declare(database, [({"at": due.isoformat()} | _WORK, count)])
        wait_for(lambda: fired(database) == count, every=0.5, seconds=600)
        late = lateness(database, due - timedelta(seconds=1))
        database.dispose()
    return {"burst_per_second": count / (max(late) / 1000)}


def declare(database: Database, kinds: Sequence[tuple[Mapping[str, Any], int]]) -> None:
    """Write schedules as `schedules.put` would, in one transaction; intervals are spread over ten seconds."""
    now, rows = datetime.now(UTC), []
    for definition, count in kinds:
        for number in range(count):
            starts = {"starts": f"2026-01-01T00:00:{number % 10:02}.{number // 10 * 200 % 1000:03}Z"}
            own = {**definition, **starts} if "every_seconds" in definition else definition
            name = f"s{len(rows)}"
            due_at, fires_at = ahead(timing_of(own), name, now)
            row = {"name": name, "definition": own, "revision": 0, "owner": "admin", "changed_at": now}
            rows.append(row | {"settled_to": now, "due_at": due_at, "fires_at": fires_at})
    with database.writing() as connection:
        connection.execute(insert(schedules), rows)


def lateness(database: Database, since: datetime) -> list[float]:
    """Of each fire that was due since then, in ms."""
    with database.reading() as connection:
        rows = connection.execute(select(fires.c.due_at, fires.c.decided_at).where(fires.c.due_at >= since)).all()
    return [(row.decided_at - row.due_at).total_seconds() * 1000 for row in rows]


def fired(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(fires)).scalar_one()


def theirs(folder: Path, peer: str, count: int, seconds: float) -> dict[str, float]:
    with raw_beat(folder, peer, count) as (beat, sent):
        wait_for(sent.exists, every=0.1)
        time.sleep(_SETTLE_SECONDS + BUSY_SECONDS)
        began = time.time()
        cpu = cpu_percent(beat, seconds)
        late = gaps(sent, began)
    return {"cpu_percent": cpu, "late_p50_ms": statistics.median(late), "late_p99_ms": _p99(late), "fires": len(late)}


def their_burst(folder: Path, peer: str, count: int) -> dict[str, float]:
    """Sends per second in the first half minute after all are due."""
    with raw_beat(folder, peer, count, burst=10 + count // 5_000) as (_, sent):
        wait_for(sent.exists, every=0.1)
        until = time.time() + 30
        while time.time() < until and len(sent.read_text().splitlines()) < count:
            time.sleep(0.5)
        times = [float(line.split()[0]) for line in sent.read_text().splitlines()][:count]
    return {"burst_per_second": len(times) / (times[-1] - times[0])}


def gaps(sent: Path, since: float) -> list[float]:
    """How much later than ten seconds after its last send each send of an entry was, in ms."""
    times = defaultdict(list)
    for line in sent.read_text().splitlines():
        at, name = line.split()
        times[name].append(float(at))
    pairs = [(before, at) for each in times.values() for before, at in pairwise(each)]
    return [(at - before - BUSY_SECONDS) * 1000 for before, at in pairs if at >= since]


@contextmanager
def raw_beat(folder: Path, peer: str, count: int, *, burst: int = 0) -> Iterator[tuple[psutil.Process, Path]]:
    folder.mkdir(parents=True)
    socket, sent = folder / "s", folder / "sent"
    server = [str(server_binary()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    env = {"RAW_BROKER": f"redis+socket://{socket}", "RAW_SENT": str(sent), "RAW_PEER": peer}
    env |= {"RAW_COUNT": str(count), "RAW_BUSY": str(_BUSY), "RAW_BURST": str(burst)}
    command = [sys.executable, "-m", "celery", "-A", "benchmarks.raw_beat", "beat", "-s", str(folder / "schedule")]
    with quiet(server) as redis:
        wait_for(socket.exists)
        if peer == "RedBeat":
            with quiet([sys.executable, "-m", "benchmarks.raw_beat"], **env) as saving:
                saving.wait()
            command += ["-S", "redbeat.RedBeatScheduler"]
        with quiet(command, **env) as process:
            yield psutil.Process(process.pid), sent
            process.kill()
        redis.terminate()


def beat_of(processes: Sequence[psutil.Process]) -> psutil.Process:
    for process in processes:
        with suppress(psutil.Error):
            if process.cmdline()[-2:] == ["-m", "beat"]:
                return process
    sys.exit("there is no beat")


def cpu_percent(process: psutil.Process, seconds: float) -> float:
    """Of one core, user and system."""
    before, began = sum(process.cpu_times()[:2]), time.monotonic()
    time.sleep(seconds)
    return 100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - began)


def _p99(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=100)[-1] if len(values) > 1 else values[0]


def show(results: dict[str, dict[str, dict[str, float]]]) -> None:
    for count, peers in results.items():
        print(f"{count} schedules")
        for peer, figures in peers.items():
            print(f"    {peer:<12}", "  ".join(f"{name} {value:.1f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
