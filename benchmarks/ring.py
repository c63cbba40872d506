"""
What the ring costs, against raw Celery (thread pool, `subprocess.run`) in the same run on the same machine.

    python -m benchmarks.ring [--json] [--quick]

Latency: from the submit to the first instruction of the job, which writes down the time. Throughput: jobs/s for
many `true`. Idle: memory (PSS) and CPU of the whole stack with nothing to do. Compare ratios, not machines.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from threading import local
from urllib.parse import urlsplit

import psutil
from celery import Celery

from benchmarks.deployment import running, stack
from levare.client import Client
from levare.embedded import server_binary

_IDLE_SECONDS = 10


def main() -> None:
    quick = "--quick" in sys.argv
    repeats, jobs = (20, 100) if quick else (100, 1000)
    with tempfile.TemporaryDirectory(prefix="levare-") as folder:
        results = measure(Path(folder), repeats=repeats, jobs=jobs)
    print(json.dumps(results)) if "--json" in sys.argv else show(results)


def measure(folder: Path, *, repeats: int, jobs: int) -> dict[str, dict[str, float]]:
    results: dict[str, dict[str, float]] = {}
    with raw_celery(folder / "raw", concurrency=8) as app:
        results["latency raw Celery"] = latency(folder, repeats, lambda line: app.send_task("raw.run", args=[line]))
    with running(folder / "latency", LEVARE_CPUS="8") as client:
        results["latency REST"] = latency(folder, repeats, rest(client))
        results["latency Client"] = latency(folder, repeats, client.submit)
        results["idle"] = idle(folder / "latency")
    for concurrency in (2, 8):
        with raw_celery(folder / f"raw{concurrency}", concurrency=concurrency) as app:
            rate = {"jobs_per_second": raw_rate(app, folder, jobs)}
            results[f"throughput raw Celery, {concurrency} at once"] = rate
        with running(folder / f"rate{concurrency}", LEVARE_CPUS=str(concurrency)) as client:
            rate = {"jobs_per_second": levare_rate(client, jobs)}
            results[f"throughput levare, {concurrency} at once"] = rate
    return results | {"ratios": ratios(results)}


def latency(folder: Path, repeats: int, submit: Callable[[list[str]], object]) -> dict[str, float]:
    """Milliseconds from the submit to the first instruction, one job at a time."""
    taken = [one_latency(folder / f"at-{time.monotonic_ns()}", submit) for _ in range(repeats + 5)][5:]
    return {"p50_ms": statistics.median(taken), "p95_ms": statistics.quantiles(taken, n=20)[-1]}


def one_latency(stamp: Path, submit: Callable[[list[str]], object]) -> float:
    began = time.time_ns()
    submit(["sh", "-c", f"date +%s%N > {stamp}.part; mv {stamp}.part {stamp}"])
    wait_for(stamp.exists)
    time.sleep(0.03)  # let the ending pass, so that it does not slow the next one down
    return (int(stamp.read_text()) - began) / 1e6


def rest(client: Client) -> Callable[[list[str]], object]:
    """A plain HTTP client with one kept connection a thread, and as little of its own as can be."""
    headers = {"Authorization": f"Bearer {client.address.token}", "Content-Type": "application/json"}
    connections = local()

    def submit(line: list[str]) -> None:
        if not hasattr(connections, "http"):
            connections.http = HTTPConnection(urlsplit(client.address.url).netloc)
        connections.http.request("POST", "/v1/jobs", json.dumps({"command": line, "cwd": "/tmp"}), headers)
        answer = connections.http.getresponse()
        text = answer.read()
        if answer.status != HTTPStatus.CREATED:
            raise RuntimeError(f"A submit was answered {answer.status}: {text!r}")

    return submit


def levare_rate(client: Client, jobs: int) -> float:
    """Jobs per second, from the first submit to the last ending."""
    submit = rest(client)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(submit, [["true"]] * jobs))
    wait_for(lambda: not unfinished(client), every=0.1)
    return jobs / (time.monotonic() - began)


def unfinished(client: Client) -> bool:
    """Whether some job is not over. Asked seldom: the asking costs what is to be measured."""
    states = ["blocked", "waiting", "placed", "starting", "running"]
    return any(True for _ in client.jobs(state=states, limit=1))


def raw_rate(app: Celery, folder: Path, jobs: int) -> float:
    done = folder / f"done-{time.monotonic_ns()}"
    began = time.monotonic()
    for _ in range(jobs):
        app.send_task("raw.run", args=[["true"], str(done)])
    wait_for(lambda: done.exists() and done.stat().st_size >= jobs)
    return jobs / (time.monotonic() - began)


def idle(home: Path) -> dict[str, float]:
    """Memory and CPU of the whole stack, without Flower, while nothing happens."""
    time.sleep(3)
    processes = stack(home)
    before, began = cpu_seconds(processes), time.monotonic()
    time.sleep(_IDLE_SECONDS)
    spent = cpu_seconds(processes) - before
    pss = sum(process.memory_full_info().pss for process in processes) / 2**20
    return {"processes": len(processes), "pss_mib": pss, "cpu_percent": 100 * spent / (time.monotonic() - began)}


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(process.cpu_times()[:2]) for process in processes)


@contextmanager
def raw_celery(folder: Path, *, concurrency: int) -> Iterator[Celery]:
    """A Celery worker as its manual starts one, on a server of its own."""
    folder.mkdir()
    socket = folder / "s"
    server = [str(server_binary()), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    broker = f"redis+socket://{socket}"
    worker = [sys.executable, "-m", "celery", "-A", "benchmarks.raw_celery", "worker", "-P", "threads"]
    with quiet(server) as redis:
        wait_for(socket.exists)
        with quiet([*worker, "-c", str(concurrency)], RAW_BROKER=broker) as process:
            app = Celery("raw", broker=broker, set_as_current=False)
            app.conf.task_ignore_result = True
            wait_for(lambda: app.control.inspect(timeout=0.5).ping())
            yield app
            process.terminate()
        redis.terminate()


def quiet(command: Sequence[str], **environment: str) -> "subprocess.Popen[bytes]":
    env = {**os.environ, **environment}
    return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(happened: Callable[[], object], *, every: float = 0.002, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            sys.exit(f"nothing happened for {seconds} s")
        time.sleep(every)


def ratios(results: dict[str, dict[str, float]]) -> dict[str, float]:
    raw = results["latency raw Celery"]["p50_ms"]
    found = {f"{way} p50 to raw Celery": results[f"latency {way}"]["p50_ms"] / raw for way in ("REST", "Client")}
    for concurrency in (2, 8):
        ours, theirs = (results[f"throughput {who}, {concurrency} at once"] for who in ("levare", "raw Celery"))
        found[f"jobs/s to raw Celery, {concurrency} at once"] = ours["jobs_per_second"] / theirs["jobs_per_second"]
    return found


def show(results: dict[str, dict[str, float]]) -> None:
    for name, figures in results.items():
        print(name)
        for figure, value in figures.items():
            print(f"    {figure:<40} {value:10.2f}")


if __name__ == "__main__":
    main()
