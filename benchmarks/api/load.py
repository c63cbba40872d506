"""A client of HTTP/1.1 that costs next to nothing, for what it costs is taken from the server that it asks."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Self
from urllib.parse import urlsplit

_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Asked:
    """A request, as it goes over the wire."""

    data: bytes

    @classmethod
    def of(cls, method: str, path: str, host: str, token: str, body: bytes = b"", **headers: str) -> Self:
        told = {"Host": host, "Authorization": f"Bearer {token}", **headers}
        if body:
            told |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in told.items())]
        return cls("\r\n".join(lines).encode() + _END + body)


@dataclass
class Line:
    """One connection, which is kept."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def to(cls, url: str) -> Self:
        place = urlsplit(url)
        return cls(*await asyncio.open_connection(place.hostname, place.port, limit=1 << 24))

    async def ask(self, asked: Asked) -> bytes:
        """The body of an answer that has a length, and is a success."""
        head = await self.begin(asked)
        at = head.lower().index(b"content-length:") + 15
        return await self.reader.readexactly(int(head[at : head.index(b"\r\n", at)]))

    async def begin(self, asked: Asked) -> bytes:
        """The head of an answer."""
        self.writer.write(asked.data)
        head = await self.reader.readuntil(_END)
        if head[9:10] != b"2":
            raise RuntimeError(f"{head.decode()}{(await self.reader.read(2000)).decode()}")
        return head

    def close(self) -> None:
        self.writer.close()


@dataclass
class Times:
    """How long each request took, in seconds, and all of them together."""

    each: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def per_second(self) -> float:
        return len(self.each) / self.seconds

    def ms(self, percent: float) -> float:
        return 1000 * sorted(self.each)[min(int(len(self.each) * percent / 100), len(self.each) - 1)]


async def asked_again(url: str, asked: Sequence[Asked], *, lines: int, seconds: float) -> Times:
    """Each line asks, and asks again as soon as it is answered."""
    times, order = Times(), cycle(asked)
    begun = time.monotonic()

    async def one() -> None:
        line = await Line.to(url)
        while (at := time.monotonic()) - begun < seconds:
            await line.ask(next(order))
            times.each.append(time.monotonic() - at)
        line.close()

    await asyncio.gather(*(one() for _ in range(lines)))
    times.seconds = time.monotonic() - begun
    return times


async def asked_in_time(
    url: str, asked: Iterable[Asked], *, per_second: int, lines: int = 32, after_seconds: float = 0.0
) -> Times:
    """Each request at its time, whether those before it have been answered or not; the wait for a line counts."""
    times, free = Times(), asyncio.Queue[Line]()
    for _ in range(lines):
        free.put_nowait(await Line.to(url))
    begun = time.monotonic() + after_seconds

    async def one(due: float, each: Asked) -> None:
        line = await free.get()
        await line.ask(each)
        times.each.append(time.monotonic() - due)
        free.put_nowait(line)

    async with asyncio.TaskGroup() as group:
        for number, each in enumerate(asked):
            due = begun + number / per_second
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(one(due, each))
    times.seconds = time.monotonic() - begun
    while not free.empty():
        free.get_nowait().close()
    return times


async def streamed(url: str, asked: Asked, *, until: Callable[[bytes], bool]) -> tuple[int, float]:
    """The bytes of an answer without a length, and the seconds that they took."""
    line = await Line.to(url)
    begun, size, last = time.monotonic(), 0, b""
    await line.begin(asked)
    while not until(last):
        piece = await line.reader.read(1 << 18)
        if not piece:
            break
        size, last = size + len(piece), (last + piece)[-200:]
    line.close()
    return size, time.monotonic() - begun
