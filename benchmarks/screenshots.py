"""
Pictures of every page, in light and dark, wide and narrow.

    python -m benchmarks.screenshots FOLDER [ADDRESS TOKEN]
    python -m benchmarks.screenshots --docs

Without an address it starts a deployment of its own, with a fleet as `demo_fleet` makes it. `--docs` takes those of the
documents, into docs/pages.
"""

import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from benchmarks import demo_fleet
from levare.settings import load
from tests.browser.chromium import Browser, Tab, chromium
from tests.fleet import ROOT, fleet

WIDTHS, THEMES = (1280, 400), ("light", "dark")
PAGES = {"overview": "/", "queue": "/queue", "ended": "/queue?state=ended", "nodes": "/nodes"}
DOCUMENTED = ("overview", "running", "timeline", "schedules", "pipeline", "rollback")
"""What the documents show: light, wide, and not endless."""
_LEAST_PIXELS, _MOST_PIXELS = 300, 1300
_FEW_COLOURS = 192


def main() -> None:
    if len(sys.argv) > 2:
        with chromium() as browser:
            pictures(_folder(sys.argv[1]), _signed_in(browser, sys.argv[2], sys.argv[3]), sys.argv[2], PAGES)
        return
    with (
        tempfile.TemporaryDirectory(prefix="levare-") as home,
        fleet(Path(home), LEVARE_NODE="atlas", PATH=f"{home}/bin:{os.environ['PATH']}") as deployment,
        chromium() as browser,
    ):
        deployment.start_all()
        deployment.start("worker:2", **second(Path(home)))
        deployment.await_ready(2)
        pages = PAGES | demo_fleet.fill(deployment)
        address = str(deployment.client.base_url).rstrip("/")
        tab = _signed_in(browser, address, (deployment.home / "admin.token").read_text().strip())
        if sys.argv[1] == "--docs":
            documented(tab, address, pages)
        else:
            pictures(_folder(sys.argv[1]), tab, address, pages)


def _folder(name: str) -> Path:
    folder = Path(name)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _signed_in(browser: Browser, address: str, token: str) -> Tab:
    tab = browser.tab()
    tab.sign_in(address, token)
    return tab


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


def pictures(folder: Path, tab: Tab, address: str, pages: Mapping[str, str]) -> None:
    for name, path in pages.items():
        tab.open(address + path)
        tab.listen(4)
        for width in WIDTHS:
            tab.size(width)
            for theme in THEMES:
                tab.prefer(theme)
                tab.listen(0.4)
                tab.picture(folder / f"{name}-{width}-{theme}.png")


def documented(tab: Tab, address: str, pages: Mapping[str, str]) -> None:
    """Into docs/pages, in few colours, so that they are small."""
    folder = _folder(str(ROOT / "docs" / "pages"))
    tab.prefer("light")
    tab.size(WIDTHS[0], _LEAST_PIXELS)
    tab.listen(20)  # until there is something of a curve
    for name in DOCUMENTED:
        tab.open(address + pages[name])
        tab.listen(4)
        tab.picture(folder / f"{name}.png", most=_MOST_PIXELS)
        with Image.open(folder / f"{name}.png") as picture:
            picture.convert("P", palette=Image.Palette.ADAPTIVE, colors=_FEW_COLOURS).save(
                folder / f"{name}.png", optimize=True
            )


if __name__ == "__main__":
    main()
