"""What holds for every request, whatever it asks: under which name, from which page, how large, how long."""

import socket
import traceback
from asyncio import timeout
from collections.abc import Collection, Mapping
from contextlib import suppress
from ipaddress import ip_address
from threading import Event
from urllib.parse import urlsplit

import anyio
import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems
from app.deprecation import headers_of
from levare.errors import Fault, Forbidden, LevareError, NotFound, TooLarge, Unavailable
from levare.settings import is_loopback

MOST_BODY_BYTES = 1 << 20
MOST_PLAN_BYTES = 1 << 26
LARGE = ("/v1/plan", "/v1/revisions")
"""Paths that take all that is declared at once."""
BODY_SECONDS = 30
ANY_MEDIA = ("/v1/events",)
"""Paths that read bodies of several types, and refuse the others themselves."""
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_FORM_PATHS, _FORM_FOLDER = ("/login", "/logout"), "/act/"
_FORM = "application/x-www-form-urlencoded"
SEND_SECONDS = 60
"""Whoever takes nothing of an answer for so long is left."""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # without any, browsers say of our own forms that they come from `null`
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_OVER_TLS = {"Strict-Transport-Security": "max-age=31536000"}

log = structlog.get_logger()


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


_RAW_HEADERS, _RAW_OVER_TLS = _raw(_HEADERS), _raw(_OVER_TLS)


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
                _add_headers(message, over_tls=scope.get("scheme") == "https")
                message["headers"] += _raw(headers_of(scope))
                await send(message)
            else:
                await _sent(send, message)

        try:
            await self.app(scope, receive, guarded)
        except ClientDisconnect:
            return
        except Exception as error:
            answer = problems.response(_told(error, scope), scope["path"])
            if has_begun:
                raise
            await answer(scope, receive, guarded)


class Head:
    """Answers HEAD as GET, without a body: of a stream nothing is made but its head."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def bodiless(message: Message) -> None:
            if message["type"] != "http.response.body":
                await send(message)
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            raise ClientDisconnect  # whoever asks for a head reads no further

        await self.app({**scope, "method": "GET"}, receive, bodiless)


async def _sent(send: Send, message: Message) -> None:
    try:
        async with timeout(SEND_SECONDS):
            await send(message)
    except TimeoutError:
        raise ClientDisconnect from None


def _add_headers(message: Message, *, over_tls: bool) -> None:
    there = {name.lower() for name, _ in message["headers"]}
    added = [*_RAW_HEADERS, *_RAW_OVER_TLS] if over_tls else _RAW_HEADERS
    message["headers"] = [*message["headers"], *(pair for pair in added if pair[0] not in there)]


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
    Refuses a Host that is not ours, and unsafe requests and handshakes of foreign web pages.

    Loopback is no boundary: a web page can have its own name resolve to 127.0.0.1 and then read
    the answers (DNS rebinding), or simply post to it, or open a WebSocket, which no rule of browsers forbids.
    It is closed as soon as the process is about to end: what has begun is finished, and nothing else begins.
    """

    def __init__(self, app: ASGIApp, *, host: str, names: Collection[str], stopping: Event) -> None:
        self.app, self.names, self.stopping = app, names, stopping
        self.takes_any_address = not is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if self.stopping.is_set():
                raise problems.Stopping("This process is about to end.", "Ask again: another one takes its place.")
            self.check(Headers(scope=scope), is_safe=scope["method"] in SAFE_METHODS)
            if "\0" in scope["path"]:  # PostgreSQL knows no text with it
                raise NotFound("There is nothing at a path with a NUL in it.", "/docs lists every path.")
        elif scope["type"] == "websocket" and self._refuses(scope):
            await send({"type": "websocket.close", "code": 1008, "reason": "Not from there."})
            return
        await self.app(scope, receive, send)

    def _refuses(self, scope: Scope) -> bool:
        try:
            self.check(Headers(scope=scope), is_safe=False)
        except LevareError:
            return True
        return self.stopping.is_set()

    def check(self, headers: Headers, *, is_safe: bool) -> None:
        """Raise Misdirected for another server's name, and Forbidden for a page of another site, unless it is safe."""
        host = headers.get("host", "")
        if not self._is_ours(host):
            fault = Fault("Host", "is no name of this server", host, ", ".join(sorted(self.names)))
            raise problems.Misdirected(
                f"This server does not answer as {problems.shown(host)!r}.",
                "Use one of its names, or add yours to LEVARE_NAMES.",
                [fault],
            )
        if not is_safe:
            _refuse_foreign(headers, host)

    def _is_ours(self, host: str) -> bool:
        with suppress(ValueError):
            name = urlsplit(f"//{host}").hostname or ""
            return name in self.names or (self.takes_any_address and _is_address(name))
        return False


def _refuse_foreign(headers: Headers, host: str) -> None:
    """By what browsers say, and programs do not: the origin of the page, and whether it is of another site."""
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
        fault = Fault("Origin", "is another site", origin, host)
    elif site not in ("same-origin", "none"):
        fault = Fault("Sec-Fetch-Site", "is another site", site, "same-origin")
    else:
        return
    raise Forbidden(
        f"A page of {problems.shown(origin or 'another site')!r} may change nothing here.",
        "Send no Origin from programs.",
        [fault],
    )


def is_form(path: str) -> bool:
    """Whether pages post a form there, which proves by a field of its own that one of ours has sent it."""
    return path in _FORM_PATHS or path.startswith(_FORM_FOLDER)


def our_names(host: str, others: Collection[str] = ()) -> frozenset[str]:
    """The names under which a server that listens on `host` is reached: loopback's, its own, what that resolves to."""
    names = {*_LOOPBACK, host.lower(), *others}
    if not is_loopback(host):
        names.add(socket.gethostname().lower())
    with suppress(OSError):
        names |= {str(address[4][0]) for address in socket.getaddrinfo(host, None)}
    return frozenset(names)


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
        _check_media(headers, body, _FORM if is_form(path) else "application/json")
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


def _check_media(headers: Headers, body: bytes, wanted: str) -> None:
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and media != wanted:
        fault = Fault("Content-Type", f"is not {wanted}", media, wanted)
        raise problems.UnsupportedMedia(
            f"The body is {problems.shown(media)!r}.", f"Send it with Content-Type: {wanted}.", [fault]
        )


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the whole body at once, and from then on what the connection gives."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return parts.pop() if parts else await receive()

    return replayed
