"""
Pictures of every page, in light and dark, wide and narrow.

    python -m benchmarks.screenshots FOLDER [ADDRESS TOKEN]

Without an address it starts a deployment of its own, with a fleet as `demo_fleet` makes it.
"""

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks import demo_fleet
from levare.settings import load
from tests.browser.chromium import chromium
from tests.fleet import fleet

WIDTHS, THEMES = (1280, 400), ("light", "dark")
PAGES = {"overview": "/", "queue": "/queue", "ended": "/queue?state=ended", "nodes": "/nodes"}
DOCUMENTED = ("overview", "running", "timeline", "schedules", "pipeline", "rollback")
"""What the documents show: light and wide, as `docs/pages/NAME.png`."""


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 2:
        pictures(folder, sys.argv[2], sys.argv[3], PAGES.items())
        return
    with (
        tempfile.TemporaryDirectory(prefix="levare-") as home,
        fleet(Path(home), LEVARE_NODE="atlas", PATH=f"{home}/bin:{os.environ['PATH']}") as deployment,
    ):
        deployment.start_all()
        deployment.start("worker:2", **second(Path(home)))
        deployment.await_ready(2)
        pages = PAGES | demo_fleet.fill(deployment)
        token = (deployment.home / "admin.token").read_text().strip()
        pictures(folder, str(deployment.client.base_url).rstrip("/"), token, pages.items())


def second(home: Path) -> dict[str, str]:
    """The settings of another machine."""
    there = home / "hera"
    there.mkdir()
    return {
        "LEVARE_NODE": "hera",
        "LEVARE_SIMULATED_GPUS": "2x24GiB",
        "LEVARE_HOME": str(there),
        "LEVARE_DATABASE": f"sqlite:///{home}/levare.db",
        "LEVARE_REDIS": load({"LEVARE_HOME": str(home)}).redis_url,
    }


def pictures(folder: Path, address: str, token: str, pages: Iterable[tuple[str, str]]) -> None:
    with chromium() as browser:
        tab = browser.tab()
        tab.sign_in(address, token)
        for name, path in pages:
            tab.open(address + path)
            tab.listen(4)
            for width in WIDTHS:
                tab.size(width)
                for theme in THEMES:
                    tab.prefer(theme)
                    tab.listen(0.4)
                    tab.picture(folder / f"{name}-{width}-{theme}.png")


if __name__ == "__main__":
    main()
