"""Many who follow what happens, by server-sent events: first nothing does, then a job comes each second."""

import asyncio
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from benchmarks.api.load import Asked, Line
from benchmarks.api.stage import Stage


@dataclass
class Followed:
    idle_percent: float = 0.0
    busy_percent: float = 0.0
    events: int = 0
    """That all of them have been told."""


def followed(stage: Stage, followers: int, seconds: int) -> Followed:
    return asyncio.run(_followed(stage, followers, seconds))


async def _followed(stage: Stage, followers: int, seconds: int) -> Followed:
    place, found = urlsplit(stage.url).netloc, Followed()
    asked = Asked.of("GET", "/v1/events?follow=true", place, stage.token)
    async with asyncio.TaskGroup() as group:
        lines = [await Line.to(stage.url) for _ in range(followers)]
        for line in lines:
            await line.begin(asked)
        reading = [group.create_task(_read(line, found)) for line in lines]
        await asyncio.sleep(3)
        found.idle_percent = await _busy(stage, seconds)
        submitting = group.create_task(_submit(stage, place))
        found.busy_percent = await _busy(stage, seconds)
        for task in (*reading, submitting):
            task.cancel()
    for line in lines:
        line.close()
    return found


async def _busy(stage: Stage, seconds: int) -> float:
    web = psutil.Process(stage.web.pid)
    before = sum(web.cpu_times()[:2])
    await asyncio.sleep(seconds)
    return 100 * (sum(web.cpu_times()[:2]) - before) / seconds


async def _read(line: Line, found: Followed) -> None:
    while True:
        frame = await line.reader.readuntil(b"\n\n")
        found.events += b"\ndata: " in frame


async def _submit(stage: Stage, place: str) -> None:
    line = await Line.to(stage.url)
    body = json.dumps({"command": ["python", "train.py"]}).encode()
    while True:
        await line.ask(Asked.of("POST", "/v1/jobs", place, stage.token, body))
        await asyncio.sleep(1)
