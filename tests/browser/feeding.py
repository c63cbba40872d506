"""A tab that is fed what the server would send in hours, as fast as it takes it, and what is left of that in it."""

from dataclasses import dataclass
from pathlib import Path

from tests.browser.chromium import Tab

FEED = Path(__file__).with_name("feeding.js").read_text()


@dataclass(frozen=True)
class Size:
    """Of a page after the collector has been through it."""

    heap_bytes: int
    elements: int


def held_open(tab: Tab, address: str) -> None:
    """Open a page of which the channel is in our hands."""
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=FEED)
    tab.open(address)
    tab.until("window.feeding?.isReady()")


def fed(tab: Tab, messages: int, *, at_once: int = 500) -> Size:
    """Give it so many messages, each with most of the page changed and a row that comes or goes."""
    for begin in range(0, messages, at_once):
        tab.js(f"feeding.feed({min(at_once, messages - begin)})")
    for _ in range(3):
        tab.call("HeapProfiler.collectGarbage")
    measured = {each["name"]: each["value"] for each in tab.call("Performance.getMetrics")["metrics"]}
    return Size(int(measured["JSHeapUsedSize"]), tab.js("document.querySelectorAll('*').length"))
