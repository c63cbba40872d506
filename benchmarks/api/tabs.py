"""Many readers of a page that changes."""

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil
from websockets.asyncio.client import connect

from benchmarks.api.load import Asked, Line
from benchmarks.api.stage import Stage


@dataclass
class Watched:
    tabs: int
    seconds: float
    busy_percent: float = 0.0
    messages: int = 0

    @property
    def per_second(self) -> float:
        return self.messages / self.tabs / self.seconds


def watched(stage: Stage, tabs: int, seconds: int) -> Watched:
    """So many overviews, while ten jobs a second are submitted, so that each second has something to tell."""
    return asyncio.run(_watched(stage, Watched(tabs, seconds)))


async def _watched(stage: Stage, found: Watched) -> Watched:
    place = urlsplit(stage.url).netloc
    headers = {"Authorization": f"Bearer {stage.token}"}
    async with asyncio.TaskGroup() as group:
        tabs = [
            await connect(f"ws://{place}/v1/live?page=/", additional_headers=headers, proxy=None, compression=None)
            for _ in range(found.tabs)
        ]
        reading = [group.create_task(_read(tab, found)) for tab in tabs]
        submitting = group.create_task(_submit(stage, place))
        await asyncio.sleep(3)
        web, found.messages = psutil.Process(stage.web.pid), 0
        before = sum(web.cpu_times()[:2])
        await asyncio.sleep(found.seconds)
        found.busy_percent = 100 * (sum(web.cpu_times()[:2]) - before) / found.seconds
        told = found.messages
        for task in (*reading, submitting):
            task.cancel()
        await asyncio.gather(*(tab.close() for tab in tabs))
    found.messages = told
    return found


async def _read(tab: object, found: Watched) -> None:
    async for _ in tab:  # type: ignore[attr-defined]
        found.messages += 1


async def _submit(stage: Stage, place: str) -> None:
    line = await Line.to(stage.url)
    body = json.dumps({"command": ["python", "train.py"]}).encode()
    asked = Asked.of("POST", "/v1/jobs", place, stage.token, body)
    while True:
        await line.ask(asked)
        await asyncio.sleep(0.1)
