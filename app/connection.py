"""One connection: the head of each request comes within a time and a size, or the connection ends."""

import asyncio
import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app import problems
from app.problems import HeadTooLarge, RequestTimeout
from levare.errors import LevareError

HEAD_SECONDS = 10.0
MOST_HEAD_BYTES = 64 * 1024


class Connection(HttpToolsProtocol):
    """uvicorn waits for ever for the head of a first request, and takes one of any size."""

    _deadline: asyncio.TimerHandle | None = None
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._deadline is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                said = f"The head of the request has more than {MOST_HEAD_BYTES} bytes."
                self._refuse(HeadTooLarge(said, "Send a shorter address and fewer headers."))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._deadline is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._deadline = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_slow)

    def _head_came(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        said = f"The head of the request did not arrive within {HEAD_SECONDS:.0f} s."
        self._refuse(RequestTimeout(said, "Send it again, faster."))

    def _refuse(self, error: LevareError) -> None:
        """Answer without having read the request, and hang up."""
        self._head_came()
        body = json.dumps(problems.document(error, "")).encode()
        head = (
            f"HTTP/1.1 {error.status} {error.title}\r\nContent-Type: {problems.MEDIA_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
