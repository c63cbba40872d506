"""
Pictures of every page, in light and dark, wide and narrow.

    python -m benchmarks.screenshots FOLDER [ADDRESS TOKEN]

Without an address it starts a deployment of its own, with jobs that run, wait, have learnt and have failed.
"""

import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from levare.settings import load
from tests.browser.chromium import chromium
from tests.fleet import ROOT, Fleet, fleet

WIDTHS, THEMES = (1280, 400), ("light", "dark")
PAGES = {"overview": "/", "queue": "/queue", "ended": "/queue?state=ended", "nodes": "/nodes"}


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    if len(sys.argv) > 2:
        pictures(folder, sys.argv[2], sys.argv[3], PAGES.items())
        return
    with tempfile.TemporaryDirectory(prefix="levare-") as home, fleet(Path(home), LEVARE_NODE="atlas") as deployment:
        deployment.start_all()
        deployment.start("worker:2", **second(Path(home)))
        deployment.await_ready(2)
        pages = PAGES | {name: f"/jobs/{job}" for name, job in scene(deployment).items()}
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


def scene(deployment: Fleet) -> dict[str, str]:
    """Jobs of three teams; those whose pages are worth a picture by a name."""
    digits = [sys.executable, str(ROOT / "examples/digits/train.py")]
    trained = deployment.submit(*digits, name="digits", gpus=1, team="vision")
    failed = deployment.python("raise RuntimeError('CUDA out of memory')", name="unet", team="vision")
    deployment.await_end(trained, failed)
    for number in (1, 2):
        runs = deployment.submit("sleep", "900", name=f"resnet-{number}", gpus=1, team="vision", timeout_seconds=1200)
        deployment.await_state(runs, "running")
    half = deployment.submit("sleep", "900", name="probe", gpus=1, gpu_memory_mib=10240, team="speech")
    deployment.await_state(half, "running")
    waiting = deployment.submit("sleep", "60", name="llm", gpus=4, team="nlp", priority=8, timeout_seconds=3600)
    deployment.submit("sleep", "60", name="llm-eval", team="nlp", needs=[waiting])
    for number in (1, 2, 3):
        deployment.submit("sleep", "60", name=f"bert-{number}", gpus=4, team="nlp", timeout_seconds=1800)
    return {"job": trained, "failed": failed, "waiting": waiting}


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
