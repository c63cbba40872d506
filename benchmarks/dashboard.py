"""
What the dashboard costs: the first paint and the bytes of the overview, the heap and the main thread of a tab, what
twelve hours leave in it, and the server with many tabs.

    python -m benchmarks.dashboard [--json] [--hours]

With `--hours` tabs are fed the messages of twelve hours, one a second, as fast as they take them.

One machine with 8 simulated GPUs and 50 jobs. Needs Chromium. Compare on a machine that does nothing else.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from threading import Event, Thread

import psutil
from websockets.sync.client import connect

from tests.browser.chromium import Browser, Tab, chromium
from tests.browser.feeding import fed, held_open
from tests.fleet import Fleet, fleet

_JOBS, _TABS, _SECONDS, _LOADS = 50, 50, 20, 5
_TWELVE_HOURS = 12 * 3600
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="levare-") as folder, fleet(Path(folder), **_SIZE) as deployment:
        deployment.start_all()
        for number in range(_JOBS):
            deployment.submit("sleep", "3600", name=f"job-{number}", gpus=1 + number % 3, team=f"team-{number % 4}")
        with chromium() as browser:
            results = loading(deployment, browser) | at_rest(deployment, browser)
            if "--hours" in sys.argv:
                results |= left_open(deployment, browser, "/") | left_open(deployment, browser, "/queue")
        results |= server(deployment)
    print(json.dumps(results)) if "--json" in sys.argv else show(results)


_SIZE = {"LEVARE_SIMULATED_GPUS": "8x80GiB", "LEVARE_CPUS": "64"}


def loading(deployment: Fleet, browser: Browser) -> dict[str, float]:
    """Of a browser that knows nothing yet, each time."""
    tab, address = signed_in(deployment, browser), str(deployment.client.base_url)
    paints, sizes = [], []
    for _ in range(_LOADS):
        tab.call("Network.clearBrowserCache")
        tab.received = 0
        tab.open(address)
        paints.append(float(tab.until(_PAINT)))
        tab.listen(0.5)
        sizes.append(tab.received)
    return {"first paint, ms": median(paints), "bytes": median(sizes)}


def at_rest(deployment: Fleet, browser: Browser) -> dict[str, float]:
    """Of a tab that is left open at one message a second."""
    tab = signed_in(deployment, browser)
    tab.until("document.getElementById('link').textContent === 'live'")
    before = measured(tab)
    tab.listen(_SECONDS)
    after = measured(tab)
    tab.call("HeapProfiler.collectGarbage")
    busy = 1000 * (after["TaskDuration"] - before["TaskDuration"]) / _SECONDS
    return {"main thread, ms/s": busy, "heap, MB": measured(tab)["JSHeapUsedSize"] / 1e6}


def left_open(deployment: Fleet, browser: Browser, page: str) -> dict[str, float]:
    """What a tab holds after some messages, and after those of twelve hours."""
    tab = signed_in(deployment, browser)
    held_open(tab, str(deployment.client.base_url).rstrip("/") + page)
    sizes = fed(tab, 500), fed(tab, _TWELVE_HOURS)
    found: dict[str, float] = {}
    for when, size in zip(("first", "after 12 h"), sizes, strict=True):
        found |= {f"{page} {when}, heap MB": size.heap_bytes / 1e6, f"{page} {when}, elements": size.elements}
    return found


def server(deployment: Fleet) -> dict[str, float]:
    """CPU of process web with nobody, and with many overviews of one reader."""
    web = psutil.Process(deployment.processes["web"].pid)
    idle, ended = busy_percent(web), Event()
    address = str(deployment.client.base_url).rstrip("/").replace("http", "ws", 1)
    headers = {"Authorization": deployment.client.headers["Authorization"]}
    counts = [0] * _TABS
    with ExitStack() as tabs:
        for number in range(_TABS):
            tab = tabs.enter_context(connect(f"{address}/v1/live?page=/", additional_headers=headers, proxy=None))
            Thread(target=_drain, args=(tab, counts, number, ended), daemon=True).start()
        time.sleep(3)
        begun = sum(counts)
        busy = busy_percent(web)
        told = (sum(counts) - begun) / _TABS / _SECONDS
        ended.set()
    return {"web alone, % of a core": idle, f"with {_TABS} tabs": busy, "messages a second and tab": told}


def _drain(tab: object, counts: list[int], number: int, ended: Event) -> None:
    for _ in tab:  # type: ignore[attr-defined]
        counts[number] += 1
        if ended.is_set():
            return


def busy_percent(process: psutil.Process) -> float:
    before = sum(process.cpu_times()[:2])
    time.sleep(_SECONDS)
    return 100 * (sum(process.cpu_times()[:2]) - before) / _SECONDS


def measured(tab: Tab) -> Mapping[str, float]:
    return {each["name"]: each["value"] for each in tab.call("Performance.getMetrics")["metrics"]}


def signed_in(deployment: Fleet, browser: Browser) -> Tab:
    tab, address = browser.tab(), str(deployment.client.base_url).rstrip("/")
    tab.open(address)
    if tab.js("!!document.querySelector('#token')"):
        tab.sign_in(address, (deployment.home / "admin.token").read_text().strip())
    return tab


def show(results: Mapping[str, float]) -> None:
    print(f"load of this machine {os.getloadavg()[0]:.1f}")
    for name, value in results.items():
        print(f"{name:<28} {value:10.1f}")


if __name__ == "__main__":
    main()
