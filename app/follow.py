"""A log as events: what is there, then what comes, to the end; every byte once. Server-sent, or over a WebSocket."""

import base64
import json
from codecs import getincrementaldecoder
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Header, Query
from sqlalchemy import Connection

from app.writes import Writes
from levare.model import FINAL
from levare.store import logs, views
from levare.store.engine import Database
from levare.store.logs import Stretch

EVENTS = "text/event-stream"
UNBUFFERED = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
"""What keeps proxies from holding a stream back."""
Follow = Annotated[bool, Query(description="Answer with events, as `Accept: text/event-stream` does.")]
Accept = Annotated[str | None, Header(max_length=1000, include_in_schema=False)]
KEEP_ALIVE_SECONDS = 5.0
RESUME = b": this process is about to end: go on with Last-Event-ID\nretry: 1000\n\n"
_PIECE = 64 * 1024
_SETTLING_SECONDS = 5.0
_threads = CapacityLimiter(8)  # followers take turns, so that they never hold up a submit


@dataclass(frozen=True)
class Said:
    """One event; its `place` is the offset behind it."""

    name: str
    data: Mapping[str, Any]
    place: int

    @property
    def frame(self) -> bytes:
        """As it is sent by the server."""
        return f"event: {self.name}\nid: {self.place}\ndata: {_json(self.data)}\n\n".encode()

    @property
    def text(self) -> str:
        """As it goes over a WebSocket."""
        return _json({"event": self.name, "id": self.place, **self.data})


async def as_server_sent(follower: "Follower", writes: Writes) -> AsyncIterator[bytes]:
    """The stream of one follower. It ends with the attempt, or early when the process is about to end."""
    async for said in _follow(follower, writes):
        yield b"".join(each.frame for each in said) or b": still here\n\n"
    if not follower.has_ended:
        yield RESUME


async def as_texts(follower: "Follower", writes: Writes, send: Callable[[str], Any]) -> None:
    """The same, each event a text."""
    async for said in _follow(follower, writes):
        for each in said:
            await send(each.text)


async def _follow(follower: "Follower", writes: Writes) -> AsyncIterator[Sequence[Said]]:
    """Events as they come, and none where there were none for a while."""
    spoke_at = monotonic()
    while not writes.stopping.is_set():
        number = writes.number
        said = await to_thread.run_sync(follower.look, limiter=_threads)
        if said or monotonic() - spoke_at >= KEEP_ALIVE_SECONDS:
            spoke_at = monotonic()
            yield said
        if follower.has_ended:
            return
        if not (said and follower.has_more):
            rest = _SETTLING_SECONDS / 10 if follower.over_since else spoke_at + KEEP_ALIVE_SECONDS - monotonic()
            await writes.after(number, within=rest)


@dataclass
class Follower:
    """
    How far somebody has followed the log of an attempt.

    Without a number it is the latest attempt, and if there is none yet, the first that comes. A negative
    `place` counts from the end.
    """

    database: Database
    job_id: str
    number: int | None
    place: int
    rank: int = 0
    has_ended: bool = False
    has_more: bool = False
    """Whether there was more than the last look has told."""
    attempt_id: str | None = None
    over_since: float | None = None

    def look(self) -> Sequence[Said]:
        """The events since the last look."""
        with self.database.reading() as connection:
            if self.attempt_id is None and not self._find(connection):
                return self._not_begun(views.job(connection, self.job_id))
            assert self.attempt_id  # noqa: S101  # found
            if not logs.has_news(connection, self.attempt_id, self.place):
                return ()
            stretch = logs.read(connection, self.attempt_id, offset=self.place, limit=_PIECE)
            self.has_more = stretch.next_offset < stretch.size
            said = list(self._told(stretch))
            return [*said, *self._over(connection)] if stretch.is_last else said

    def _find(self, connection: Connection) -> bool:
        attempt = views.attempt(connection, self.job_id, self.number, rank=self.rank)
        if attempt:
            self.number, self.attempt_id = attempt["number"], attempt["id"]
        return attempt is not None

    def _not_begun(self, job: views.Row) -> Sequence[Said]:
        return self._end(job) if job["state"] in FINAL else ()

    def _told(self, stretch: Stretch) -> Iterator[Said]:
        if self.place < 0:
            self.place = stretch.offset
        if stretch.offset > self.place:
            yield Said("cut", {"from": self.place, "to": stretch.offset}, stretch.offset)
            self.place = stretch.offset
        for part in _parts(_whole_characters(stretch)):
            yield Said("log", {"offset": self.place, **_encoded(part)}, self.place + len(part))
            self.place += len(part)

    def _over(self, connection: Connection) -> Sequence[Said]:
        """The end, with the job's own state if this attempt decided it; beat needs a moment for that."""
        self.over_since = self.over_since or monotonic()
        attempt = views.attempt(connection, self.job_id, self.number, rank=self.rank)
        job = views.job(connection, self.job_id)
        if job["attempt"] == self.number and job["state"] in FINAL:
            return self._end(job)
        if attempt and (attempt["settled"] or monotonic() - self.over_since > _SETTLING_SECONDS):
            return self._end(attempt)
        return ()

    def _end(self, row: views.Row) -> Sequence[Said]:
        self.has_ended = True
        data = {name: row[name] for name in ("state", "exit_code", "reason")} | {"attempt": self.number or 0}
        return [Said("end", data, max(self.place, 0))]


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False)


def _whole_characters(stretch: Stretch) -> bytes:
    """What is there, without the beginning of a character whose rest is still to be read."""
    goes_on = len(stretch.data) == _PIECE or stretch.next_offset >= stretch.size
    if stretch.is_last or not goes_on:
        return stretch.data
    return stretch.data[: len(stretch.data) - _unfinished(stretch.data)]


def _unfinished(data: bytes) -> int:
    """How many bytes at the end are the beginning of a character; 0 if this is no UTF-8."""
    decoder = getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return 0
    return len(decoder.getstate()[0])


def _parts(data: bytes) -> list[bytes]:
    """The data, with an unfinished character at its end apart, so that the rest can go as text."""
    whole = len(data) - _unfinished(data)
    return [part for part in (data[:whole], data[whole:]) if part]


def _encoded(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}
