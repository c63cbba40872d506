"""What holds for every request, whatever it asks: under which name, from which page, how large, how long."""

import socket
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

import anyio
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from levare.errors import Fault, Forbidden, LevareError, NotFound, TooLarge, Unavailable

MOST_BODY_BYTES = 1 << 20
MOST_PLAN_BYTES = 1 << 26
LARGE = ("/v1/plan", "/v1/revisions")
"""Paths that take all that is declared at once."""
BODY_SECONDS = 30
ANY_MEDIA = ("/v1/events",)
"""Paths that read bodies of several types, and refuse the others themselves."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

log = structlog.get_logger()


class Shield:
    """Adds the security headers to every answer, and makes one of every error that nothing else has answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def guarded(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                _add_headers(message)
            await send(message)

        try:
            await self.app(scope, receive, guarded)
        except ClientDisconnect:
            return
        except Exception as error:
            answer = problems.response(_told(error, scope), scope["path"])
            if has_begun:
                raise
            await answer(scope, receive, guarded)


def _add_headers(message: Message) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)


def _told(error: Exception, scope: Scope) -> LevareError:
    """The error to answer with; what is no error of ours is logged, and only its kind is told."""
    if isinstance(error, LevareError):
        return error
    log.error("request.failed", method=scope["method"], path=scope["path"], error=traceback.format_exc(limit=-8))
    if isinstance(error, PoolTimeout | DBAPIError):
        return Unavailable(
            "The database does not answer.", "Try again in a moment; `levare doctor` shows what is wrong."
        )
    return LevareError(f"levare failed with {type(error).__name__}.", "The log of process web has the details.")


class Door:
    """
    Refuses a Host that is not ours, and unsafe requests of foreign web pages.

    Loopback is no boundary: a web page can have its own name resolve to 127.0.0.1 and then read
    the answers (DNS rebinding), or simply post to it.
    """

    def __init__(self, app: ASGIApp, *, host: str, names: Sequence[str] = ()) -> None:
        self.app = app
        self.names = our_names(host) | {name.lower() for name in names}
        self.takes_any_address = not _is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._check(Headers(scope=scope), scope["method"])
            if "\0" in scope["path"]:  # PostgreSQL knows no text with it
                raise NotFound("There is nothing at a path with a NUL in it.", "/docs lists every path.")
        await self.app(scope, receive, send)

    def _check(self, headers: Headers, method: str) -> None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._is_ours(host):
            fault = Fault("Host", "is no name of this server", host, ", ".join(sorted(self.names)))
            raise problems.Misdirected(
                f"This server does not answer as {problems.shown(host)!r}.",
                "Use one of its names, or add the name you use to LEVARE_NAMES of web.",
                [fault],
            )
        if origin is not None and method not in SAFE_METHODS and urlsplit(origin).netloc.lower() != host.lower():
            fault = Fault("Origin", "is another site", origin, host)
            raise Forbidden(
                f"A page of {problems.shown(origin)!r} may change nothing here.",
                "Send no Origin from programs.",
                [fault],
            )

    def _is_ours(self, host: str) -> bool:
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or (self.takes_any_address and _is_address(name))
        return False


def our_names(host: str) -> frozenset[str]:
    """The names under which a server that listens on `host` is reached: loopback's, its own, what that resolves to."""
    names = {*_LOOPBACK, host.lower()}
    if not _is_loopback(host):
        names.add(socket.gethostname().lower())
    with suppress(OSError):
        names |= {str(address[4][0]) for address in socket.getaddrinfo(host, None)}
    return frozenset(names)


def _is_loopback(host: str) -> bool:
    return host in _LOOPBACK or (_is_address(host) and ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    """No page can make its own name of an address, so one is safe where we listen beyond loopback."""
    with suppress(ValueError):
        return bool(ip_address(name))
    return False


class Body:
    """Reads the body before anything else runs: JSON, or what an event may be, at most 1 MiB, a plan 64, in 30 s."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if "content-length" in headers or "transfer-encoding" in headers:
                receive = _replay(await _read(headers, receive, scope["path"]), receive)
        await self.app(scope, receive, send)


async def _read(headers: Headers, receive: Receive, path: str) -> bytes:
    told, most = headers.get("content-length", "0"), MOST_PLAN_BYTES if path in LARGE else MOST_BODY_BYTES
    if int(told) > most:
        raise _too_large(int(told), most)
    try:
        with anyio.fail_after(BODY_SECONDS):
            body = await _all(receive, most)
    except TimeoutError:
        raise problems.RequestTimeout(
            f"The body did not arrive within {BODY_SECONDS} s.", "Send it again, faster."
        ) from None
    if path not in ANY_MEDIA:
        _check_media(headers, body)
    return body


async def _all(receive: Receive, most: int) -> bytes:
    body, more = bytearray(), True
    while more:
        message: Mapping = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > most:
            raise _too_large(len(body), most)
    return bytes(body)


def _too_large(size: int, most: int) -> TooLarge:
    fault = Fault("body", "is too large", size, most)
    return TooLarge(
        f"The body has {size} bytes or more; at most {most} are taken.",
        "Put large inputs into files and name them in the command.",
        [fault],
    )


def _check_media(headers: Headers, body: bytes) -> None:
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and media != "application/json":
        fault = Fault("Content-Type", "is not JSON", media, "application/json")
        raise problems.UnsupportedMedia(
            f"The body is {problems.shown(media)!r}.", "Send JSON with Content-Type: application/json.", [fault]
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body at once, and from then on what the connection gives."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return parts.pop() if parts else await receive()

    return replayed
