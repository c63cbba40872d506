"""What streams over server-sent events, over WebSockets too: of the others a browser allows six at a time."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from anyio import create_task_group, to_thread
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from app import follow, news
from app.access import allow
from app.call import Parts
from app.follow import Follower
from app.jobs import JobId
from app.logs import Offset
from app.metrics import AttemptNumber, Rank
from app.news import Reader
from levare.errors import LevareError
from levare.store import views

router = APIRouter()

REFUSED, STOPPING = 1008, 1012
SendAll = Callable[[Callable[[str], Awaitable[None]]], Awaitable[None]]


@router.websocket("/v1/events")
async def follow_news(socket: WebSocket) -> None:
    """Send what happens as it happens, each event a text; docs/api.md says which."""
    parts: Parts = socket.app.state.parts
    seen = socket.scope["levare.actor"].access.seen
    await _answer(socket, lambda: partial(news.as_texts, Reader(parts.database, seen), parts.writes))


@router.websocket("/v1/jobs/{job_id}/logs")
async def follow_log(
    socket: WebSocket, job_id: JobId, attempt: AttemptNumber = None, rank: Rank = 0, offset: Offset = None
) -> None:
    """Send the log of an attempt as it comes, each event a text; docs/api.md says which."""
    parts: Parts = socket.app.state.parts

    def begun() -> SendAll:
        with parts.database.reading() as connection:
            found = views.attempt(connection, job_id, attempt, rank=rank)
        number = found["number"] if found else None
        return partial(follow.as_texts, Follower(parts.database, job_id, number, offset or 0, rank), parts.writes)

    await _answer(socket, begun)


async def _answer(socket: WebSocket, begin: Callable[[], SendAll]) -> None:
    """Send all there is to send, until that ends, the reader goes or the process is about to end."""
    try:
        await allow(socket, socket.scope["endpoint"].__name__, socket.path_params)
        send_all = await to_thread.run_sync(begin)
    except LevareError as error:
        await socket.close(REFUSED, error.title)
        return
    await socket.accept()
    parts: Parts = socket.app.state.parts
    async with create_task_group() as group:
        group.start_soon(until_gone, socket, group.cancel_scope.cancel)
        with suppress(WebSocketDisconnect):
            await send_all(socket.send_text)
            await socket.close(STOPPING if parts.writes.stopping.is_set() else 1000)
        group.cancel_scope.cancel()


async def until_gone(socket: WebSocket, leave: Callable[[], None]) -> None:
    """Nothing is expected of a reader but that he goes."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    leave()
