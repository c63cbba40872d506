"""
What the API costs, on SQLite and PostgreSQL, against a bare FastAPI route that reads the same rows by the same engine.

    python -m benchmarks.api [sqlite | postgresql] [--json] [--quick]

100,000 jobs that have ended, and one with a log of 64 MiB. Reads by id: 16 connections, 2 s of levare and 2 s of the
bare route in turn, seven times; requests per second, and CPU of the process for each. Lists: pages of 100, one after
the other. Submits: 100 each second for 20 s, each with a key, timed from when it was due, and as many reads of the bare
route beside them. The log: followed as events, and fetched whole.
Pages: 200 WebSockets of the overview for 20 s, while ten jobs are submitted each second. Followers: 200 of what
happens, for 20 s while nothing does, and for 20 s while a job is submitted each second.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median
from urllib.parse import urlsplit
from uuid import uuid4

import psutil

from benchmarks.api import load
from benchmarks.api.followers import followed
from benchmarks.api.load import Asked, Line, Times
from benchmarks.api.stage import Stage, staged
from benchmarks.api.tabs import watched

Figures = dict[str, float]

_WHOLE = {"jobs": 100_000, "log_mib": 64, "rounds": 7, "pages": 300, "seconds": 20, "tabs": 200}
_QUICK = {"jobs": 2_000, "log_mib": 4, "rounds": 1, "pages": 20, "seconds": 2, "tabs": 20}
_LINES, _ROUND_SECONDS, _SUBMITS_PER_SECOND = 16, 2.0, 100


def main() -> None:
    size = _QUICK if "--quick" in sys.argv else _WHOLE
    backends = [name for name in ("sqlite", "postgresql") if name in sys.argv] or ["sqlite", "postgresql"]
    results: dict[str, Figures] = {}
    for backend in backends:
        stage = staged(_folder(), backend, jobs=size["jobs"], log_mib=size["log_mib"])
        with stage as found:
            results[backend] = measured(found, size)
    print(json.dumps(results)) if "--json" in sys.argv else show(results)


def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="levare-api-"))


def measured(stage: Stage, size: dict[str, int]) -> Figures:
    return {
        **reads(stage, size["rounds"]),
        **lists(stage, size["pages"]),
        **submits(stage, size["seconds"]),
        **streams(stage),
        **pages(stage, size["tabs"], size["seconds"]),
        **followers(stage, size["tabs"], size["seconds"]),
    }


def reads(stage: Stage, rounds: int) -> Figures:
    """Of the same jobs in the same order, in turns, so that whatever else the machine does meets both."""
    some = Random(1).choices(stage.jobs[:-1], k=2000)
    ours, bare = Tally(stage.web), Tally(stage.bare)
    for tally, url, seconds in ((ours, stage.url, 1.0), (bare, stage.bare_url, 1.0)):
        asyncio.run(load.asked_again(url, _reads(stage, url, some), lines=_LINES, seconds=seconds))
        tally.clear()
    for _ in range(rounds):
        for tally, url in ((bare, stage.bare_url), (ours, stage.url)):
            with tally.counted() as take:
                again = load.asked_again(url, _reads(stage, url, some), lines=_LINES, seconds=_ROUND_SECONDS)
                take(asyncio.run(again))
    ratios = [one / other for one, other in zip(ours.rates, bare.rates, strict=True)]
    return {
        "read by id, requests/s": median(ours.rates),
        "bare route, requests/s": median(bare.rates),
        "read by id / bare route": median(ratios),
        "read by id, CPU ms each": ours.cpu_ms,
        "bare route, CPU ms each": bare.cpu_ms,
        "bare CPU / CPU": bare.cpu_ms / ours.cpu_ms,
    }


def _reads(stage: Stage, url: str, ids: list[str]) -> list[Asked]:
    return [_asked(stage, "GET", f"/v1/jobs/{job}", url=url) for job in ids]


def _asked(stage: Stage, method: str, path: str, body: bytes = b"", url: str = "", **headers: str) -> Asked:
    return Asked.of(method, path, urlsplit(url or stage.url).netloc, stage.token, body, **headers)


class Tally:
    """What a process did in several rounds: requests per second of each, CPU of all."""

    def __init__(self, process: psutil.Process) -> None:
        self._process = process
        self.clear()

    def clear(self) -> None:
        self.rates: list[float] = []
        self._requests, self._cpu = 0, 0.0

    @contextmanager
    def counted(self) -> Iterator[Callable[[Times], None]]:
        before = busy_seconds(self._process)
        yield self._take
        self._cpu += busy_seconds(self._process) - before

    def _take(self, times: Times) -> None:
        self.rates.append(times.per_second)
        self._requests += len(times.each)

    @property
    def cpu_ms(self) -> float:
        return 1000 * self._cpu / self._requests


def busy_seconds(process: psutil.Process) -> float:
    return sum(process.cpu_times()[:2])


def lists(stage: Stage, pages: int) -> Figures:
    """Page after page, each by the cursor of the one before, from the newest job on."""
    before = busy_seconds(stage.web)
    times = asyncio.run(_paged(stage, pages))
    cpu = 1000 * (busy_seconds(stage.web) - before) / pages
    return {"page of 100, ms p50": times.ms(50), "page of 100, ms p99": times.ms(99), "page of 100, CPU ms": cpu}


async def _paged(stage: Stage, pages: int) -> Times:
    line, times, cursor = await Line.to(stage.url), Times(), ""
    for _ in range(pages):
        path = "/v1/jobs?limit=100" + (f"&cursor={cursor}" if cursor else "")
        begun = time.monotonic()
        body = await line.ask(_asked(stage, "GET", path))
        times.each.append(time.monotonic() - begun)
        cursor = json.loads(body)["next_cursor"] or ""
    line.close()
    return times


def submits(stage: Stage, seconds: int) -> Figures:
    """With as many reads of the bare route, each a moment after a submit: what these wait for is not levare's."""
    before, count = busy_seconds(stage.web), seconds * _SUBMITS_PER_SECOND
    times, bare = asyncio.run(_submitted(stage, count))
    return {
        "submit at 100/s, ms p50": times.ms(50),
        "submit at 100/s, ms p99": times.ms(99),
        "bare route meanwhile, ms p99": bare.ms(99),
        "submit, CPU ms each": 1000 * (busy_seconds(stage.web) - before) / count,
    }


async def _submitted(stage: Stage, count: int) -> tuple[Times, Times]:
    reads = _reads(stage, stage.bare_url, stage.jobs[:count] * (1 + count // len(stage.jobs)))[:count]
    submits = [_submit(stage) for _ in range(count)]
    ours = load.asked_in_time(stage.url, submits, per_second=_SUBMITS_PER_SECOND)
    bare = load.asked_in_time(stage.bare_url, reads, per_second=_SUBMITS_PER_SECOND, after_seconds=0.005)
    return await asyncio.gather(ours, bare)


def _submit(stage: Stage) -> Asked:
    body = json.dumps({"command": ["python", "train.py"], "name": "train", "cpus": 2}).encode()
    return _asked(stage, "POST", "/v1/jobs", body, Idempotency_Key=uuid4().hex)


def streams(stage: Stage) -> Figures:
    """A whole log as its bytes, and as events, which a follower gets."""
    path = f"/v1/jobs/{stage.logged}/logs"
    events = _asked(stage, "GET", path, Accept="text/event-stream")
    _, followed = asyncio.run(load.streamed(stage.url, events, until=lambda last: b"event: end" in last))
    size, whole = asyncio.run(load.streamed(stage.url, _asked(stage, "GET", path), until=_is_last))
    assert size >= stage.log_bytes, "the log came short"
    return {
        "log as events, MB/s": stage.log_bytes / 1e6 / followed,
        "log as bytes, MB/s": stage.log_bytes / 1e6 / whole,
    }


def _is_last(last: bytes) -> bool:
    return last.endswith(b"0\r\n\r\n")


def pages(stage: Stage, tabs: int, seconds: int) -> Figures:
    """CPU of web, and how often each tab was told something, while jobs come."""
    found = watched(stage, tabs, seconds)
    return {f"{tabs} tabs, % of a core": found.busy_percent, f"{tabs} tabs, messages/s each": found.per_second}


def followers(stage: Stage, number: int, seconds: int) -> Figures:
    """CPU of web with so many who follow what happens."""
    found = followed(stage, number, seconds)
    assert found.events >= number, "not everybody was told"
    return {f"{number} idle followers, %": found.idle_percent, f"{number} told followers, %": found.busy_percent}


def show(results: dict[str, Figures]) -> None:
    print(f"load of this machine {os.getloadavg()[0]:.1f}")
    print(f"{'':<28}", *(f"{backend:>12}" for backend in results))
    for name in next(iter(results.values())):
        print(f"{name:<28}", *(f"{figures[name]:12.2f}" for figures in results.values()))


if __name__ == "__main__":
    main()
