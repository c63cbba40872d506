"""
What happens, as it happens: every change of a state as a CloudEvent, over server-sent events or a WebSocket.

Nothing is kept for a reader but his place: the next news are read from SQL when he has taken those before. Whoever is
too far behind, or asks for what is no longer kept, is told so by `resync`, and goes on with what happens now.
"""

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from anyio import CapacityLimiter, to_thread

from app.answers import text_of
from app.follow import KEEP_ALIVE_SECONDS, RESUME
from app.writes import Writes
from levare.store import news
from levare.store.engine import Database
from levare.store.news import Place

MOST_BEHIND = 10_000
"""Whoever has so many news before him reads what there is now instead."""
SPECVERSION = "1.0"
_AT_ONCE = 200
_SOURCES = {"job": "/v1/jobs/", "node": "/v1/nodes/", "alert": "/v1/alerts/", "event": "/v1/events/"}
_threads = CapacityLimiter(4)


@dataclass
class Reader:
    """Where somebody is, and of which teams he is told: None for all."""

    database: Database
    seen: Collection[str] | None
    place: Place | None = None
    wanted: Mapping[str, str] = field(default_factory=dict)
    """Attributes that an event must have."""
    has_more: bool = False
    """Whether the last look has told all that there was room for."""

    def look(self) -> list[dict[str, Any]]:
        """The next events; `resync` first where some are left out."""
        with self.database.reading() as connection:
            if self.place is None:
                self.place = news.end(connection)
                return []
            rows = news.after(connection, self.place, limit=_AT_ONCE)
            self.has_more = len(rows) == _AT_ONCE
            if not rows:
                return []
            if self._is_lost(connection, rows):
                was, self.place = self.place, news.end(connection)
                return [_resync(was, self.place)]
        self.place = news.place_of(rows[-1])
        told = [_told(row) for row in rows if self._may_see(row)]
        return [each for each in told if all(each.get(name) == value for name, value in self.wanted.items())]

    def _is_lost(self, connection: Any, rows: Any) -> bool:
        """Whether news behind the place were forgotten, or there are too many."""
        assert self.place is not None  # noqa: S101  # looked for above
        is_gone = self.place.number and rows[0]["number"] > self.place.number + 1 and _starts(connection, rows[0])
        return bool(is_gone) or (len(rows) == _AT_ONCE and news.has_more(connection, self.place, MOST_BEHIND))

    def _may_see(self, row: news.Row) -> bool:
        return self.seen is None or row["team"] is None or row["team"] in self.seen


def _starts(connection: Any, row: news.Row) -> bool:
    return news.begin(connection) == news.place_of(row)


def _told(row: news.Row) -> dict[str, Any]:
    """As CloudEvents have it."""
    team = {"team": row["team"]} if row["team"] else {}
    return {
        "specversion": SPECVERSION,
        "id": str(news.place_of(row)),
        "source": _SOURCES[row["kind"]] + row["name"],
        "type": f"levare.{row['kind']}.{row['after']}",
        "subject": row["name"],
        "time": row["at"],
        **team,
        "data": {"before": row["before"], "after": row["after"]},
    }


def _resync(was: Place, now: Place) -> dict[str, Any]:
    return {"type": "resync", "id": str(now), "data": {"from": str(was), "to": str(now)}}


async def as_server_sent(reader: Reader, writes: Writes) -> AsyncIterator[bytes]:
    """The stream of one reader, until he goes or the process is about to end."""
    async for event in _follow(reader, writes):
        yield b": still here\n\n" if event is None else _frame(event)
    yield RESUME


async def as_texts(reader: Reader, writes: Writes, send: Callable[[str], Any]) -> None:
    """The same, each event a text."""
    async for event in _follow(reader, writes):
        if event is not None:
            await send(text_of(event))


async def _follow(reader: Reader, writes: Writes) -> AsyncIterator[dict[str, Any] | None]:
    """Events as they come, and None where there was none for a while."""
    spoke_at = monotonic()
    while not writes.stopping.is_set():
        number = writes.number
        events = await to_thread.run_sync(reader.look, limiter=_threads)
        for event in events:
            spoke_at = monotonic()
            yield event
        if reader.has_more:
            continue
        if monotonic() - spoke_at >= KEEP_ALIVE_SECONDS:
            spoke_at = monotonic()
            yield None
        await writes.after(number, within=spoke_at + KEEP_ALIVE_SECONDS - monotonic())


def _frame(event: Mapping[str, Any]) -> bytes:
    return f"event: {event['type']}\nid: {event['id']}\ndata: {text_of(event)}\n\n".encode()
