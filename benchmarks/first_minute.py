"""
A person's first minute: from `make demo` in a fresh clone to curves that move, as a browser shows them.

    python -m benchmarks.first_minute [--json]

Clones what is committed here. What pip (or uv) has in its cache is not fetched again: of two runs the second tells what
a warm cache takes. On a machine that others use, what it took of the CPU tells more than the clock. Needs Chromium.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.browser.chromium import Browser, Tab, chromium
from tests.fleet import ROOT, Fleet, eventually

MOST_SECONDS = 900
"""Somebody whose cache is empty waits for the network."""
_POINTS = "Number(document.querySelector('[data-points]')?.dataset.points ?? 0)"
_CURVE = "(document.querySelector('.chart path')?.getAttribute('d') ?? '')"
_ON_A_GPU = "document.querySelector('.tile a[href^=\"/jobs/\"]')?.getAttribute('href')"


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="levare-") as folder, chromium() as browser:
        place, begun = cloned(Path(folder)), time.monotonic()
        with demonstrated(place) as (_, deployment):
            tab = shown(deployment, browser)
            opened = time.monotonic() - begun
            moved(tab)
            seconds = {"pages answer after, s": opened, "curves move after, s": time.monotonic() - begun}
        seconds["CPU of all of it, s"] = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
    print(json.dumps(seconds) if "--json" in sys.argv else _table(seconds))


def cloned(folder: Path) -> Path:
    """What is committed here, whoever owns this checkout."""
    place, settings = folder / "levare", folder / "gitconfig"
    settings.write_text("[safe]\ndirectory = *\n")
    command = ["git", "clone", "--quiet", ROOT, place]
    subprocess.run(command, env=os.environ | {"GIT_CONFIG_GLOBAL": str(settings)}, check=True)
    return place


@contextmanager
def demonstrated(place: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], Fleet]]:
    """`make demo` as somebody says it who has set nothing, and what it runs; all of it is gone at the end."""
    deployment = Fleet(place / ".levare")
    ours = ("LEVARE_", "MAKE", "MFLAGS", "VIRTUAL_ENV")
    with (place.parent / "demo.out").open("wb") as output:
        demo = subprocess.Popen(
            ["make", *options, "demo"],
            cwd=place,
            env={name: value for name, value in os.environ.items() if not name.startswith(ours)},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield demo, deployment
    finally:
        for process in psutil.Process(demo.pid).children(recursive=True) if demo.poll() is None else ():
            process.terminate()
        demo.wait(timeout=60)
        deployment.stop()


def shown(deployment: Fleet, browser: Browser) -> Tab:
    """The first page, as soon as there is one, to somebody who signs in."""
    eventually((deployment.home / "address").exists, within=MOST_SECONDS)
    deployment.await_ready()
    tab, address = browser.tab(), str(deployment.client.base_url).rstrip("/")
    tab.sign_in(address, (deployment.home / "admin.token").read_text().strip())
    return tab


def moved(tab: Tab) -> str:
    """From the first page to that of the job on a GPU, until its curves have moved; the job."""
    page = tab.until(_ON_A_GPU)
    tab.js(f"document.querySelector('a[href=\"{page}\"]').click()")
    tab.until(f"location.pathname === '{page}' && {_CURVE}")
    points, curve = tab.js(_POINTS), tab.js(_CURVE)
    tab.until(lambda: tab.js(_POINTS) > points and tab.js(_CURVE) != curve)
    return page.rpartition("/")[2]


def _table(seconds: dict[str, float]) -> str:
    return "\n".join(
        [f"load of this machine {os.getloadavg()[0]:.1f}", *(f"{k:<28} {v:6.1f}" for k, v in seconds.items())]
    )


if __name__ == "__main__":
    main()
