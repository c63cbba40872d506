"""
Live pages: one WebSocket for each tab, a snapshot and then what has changed.

Tabs that show the same page to readers who may see the same share one reading, one rendering and one text. A page is
made anew once a second at most, and only when something may have changed: when anybody has written to SQL, when nodes
have said something (if the page shows that), and else every few seconds for what only time changes.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Annotated, Any

import structlog
from anyio import Event, create_task_group, sleep, to_thread
from fastapi import APIRouter, Query, WebSocket
from starlette.websockets import WebSocketDisconnect

from app.access import allow
from app.call import Parts, call_of
from app.dashboard.desk import Desk, View
from app.dashboard.pages import Address, found_at
from app.dashboard.sheet import Sheet, packed
from app.sockets import until_gone
from levare.errors import LevareError
from levare.store.audit import Actor
from levare.store.stirring import Stir

router = APIRouter()

EVERY_SECONDS = 1.0
STALE_SECONDS = 15.0
"""After so long a page is made anew though nothing was written: ages grow, and a node may have fallen silent."""
MOST_BEHIND = 4
"""So many messages wait for a tab that does not take them; then they are dropped for one snapshot."""
MOST_TABS = 500
_TOO_MANY, _GONE = 1013, 1008

log = structlog.get_logger()


class Tab:
    """One reader: what it is still to be sent."""

    def __init__(self) -> None:
        self._messages: deque[str] = deque()
        self._news = Event()
        self._is_behind = False

    def offer(self, message: str) -> None:
        if self._is_behind:
            return
        self._messages.append(message)
        self._is_behind = len(self._messages) > MOST_BEHIND
        self._news.set()

    async def next(self, channel: "Channel") -> str:
        """The next message; of one that is far behind, all there is now."""
        while not self._messages:
            self._news = Event()
            await self._news.wait()
        if self._is_behind:
            self._messages.clear()
            self._is_behind = False
            return channel.snapshot()
        return self._messages.popleft()


@dataclass(eq=False)
class Channel:
    """A page as readers of one kind see it, and who has it open."""

    address: Address
    actor: Actor
    tabs: set[Tab] = field(default_factory=set)
    number: int = 0
    sheet: Sheet = field(default_factory=Sheet)
    mark: object = None
    made_at: float = 0.0
    trouble: str = ""
    packed_snapshot: tuple[int, str] = (0, "")

    def snapshot(self) -> str:
        if self.packed_snapshot[0] != self.number:
            self.packed_snapshot = self.number, packed({"n": self.number, "whole": True, **self.sheet.whole()})
        return self.packed_snapshot[1]

    def take(self, sheet: Sheet) -> None:
        """This is the page now: tell all who have it open."""
        changed = sheet.since(self.sheet) | ({"trouble": ""} if self.trouble else {})
        self.sheet, self.trouble = sheet, ""
        if changed:
            self._tell(changed)

    def fail(self, trouble: str) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            self._tell({"trouble": trouble})

    def _tell(self, changed: Mapping[str, Any]) -> None:
        self.number += 1
        message = packed({"n": self.number, **changed})
        for tab in self.tabs:
            tab.offer(message)


class Hub:
    """All channels of this process."""

    def __init__(self, parts: Parts, desk: Desk) -> None:
        self._parts, self._desk = parts, desk
        self._stir = Stir(parts.database)
        self._channels: dict[object, Channel] = {}
        self._beats: Mapping[str, Mapping[str, float]] = {}
        self._heard = 0

    @property
    def tabs(self) -> int:
        return sum(len(channel.tabs) for channel in self._channels.values())

    async def run(self) -> None:
        """For as long as the process lives."""
        while True:
            begun = monotonic()
            if any(channel.address.page.beats for channel in self._channels.values()):
                await to_thread.run_sync(self._listen)
            for channel in list(self._channels.values()):
                await self._follow(channel)
            await sleep(max(0.1, EVERY_SECONDS - (monotonic() - begun)))

    @contextmanager
    def joined(self, address: Address, actor: Actor) -> Iterator[tuple[Channel, Tab]]:
        access = actor.access
        who = access.role, tuple(sorted(access.teams.items()))
        key = who, address.page.name, tuple(address.names.items()), tuple(sorted(address.params.items()))
        channel, tab = self._channels.setdefault(key, Channel(address, actor)), Tab()
        channel.tabs.add(tab)
        if channel.made_at:
            tab.offer(channel.snapshot())
        try:
            yield channel, tab
        finally:
            channel.tabs.discard(tab)
            if not channel.tabs:
                self._channels.pop(key, None)

    def close(self) -> None:
        self._stir.close()

    def _listen(self) -> None:
        heard = self._parts.pulse.heartbeats()
        if heard != self._beats:
            self._beats, self._heard = heard, self._heard + 1

    async def _follow(self, channel: Channel) -> None:
        try:
            made = await to_thread.run_sync(self._make, channel)
        except LevareError as error:
            channel.fail(f"{error.detail} {error.next_step}")
        except Exception as error:  # noqa: BLE001  # a page that cannot be made must not end the others
            log.warning("page.failed", page=channel.address.page.name, error=type(error).__name__, detail=str(error))
            channel.fail("levare cannot make this page just now; what it shows is old.")
        else:
            if made is not None:
                channel.made_at = channel.made_at or monotonic()
                channel.take(made)

    def _make(self, channel: Channel) -> Sheet | None:
        """The page as it is now, if it may be another than it was."""
        page = channel.address.page
        mark = self._stir.mark(), self._heard if page.beats else 0
        if mark == channel.mark and monotonic() - channel.made_at < STALE_SECONDS:
            return None
        call = call_of(self._parts, channel.actor)
        view = View(call, self._desk, channel.address.params, channel.address.names, self._beats)
        sheet = page.render(view)[1]
        channel.mark, channel.made_at = mark, monotonic()
        return sheet


@router.websocket("/v1/live")
async def follow_live(socket: WebSocket, page: Annotated[str, Query(max_length=1000)] = "/") -> None:
    """Send a page as it changes: `page` is its path with its parameters."""
    hub: Hub = socket.app.state.hub
    actor: Actor = socket.scope["levare.actor"]
    try:
        address = found_at(page)
        await allow(socket, address.page.operation, address.names)
    except LevareError as error:
        await socket.close(_GONE, error.title)
        return
    if hub.tabs >= MOST_TABS:
        await socket.close(_TOO_MANY, f"{MOST_TABS} pages are open already.")
        return
    await socket.accept()
    with hub.joined(address, actor) as (channel, tab):
        async with create_task_group() as group:
            group.start_soon(until_gone, socket, group.cancel_scope.cancel)
            group.start_soon(_send_all, socket, channel, tab, group.cancel_scope.cancel)


async def _send_all(socket: WebSocket, channel: Channel, tab: Tab, leave: Any) -> None:
    try:
        while True:
            await socket.send_text(await tab.next(channel))
    except WebSocketDisconnect:
        leave()
