"""Who asks: a token, or the session of a browser, on everything but the few paths that tell nothing."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime
from hashlib import sha256
from hmac import compare_digest
from time import monotonic

from anyio import CancelScope
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import problems, rates
from app.access import is_open
from app.keys import Holder, Keys
from app.limits import SAFE_METHODS, is_form
from app.rates import STRANGERS_AT_ONCE, STRANGERS_PER_SECOND, Buckets
from app.watches import Shown, Watches
from levare.errors import Fault, Forbidden, LevareError, Unauthorized
from levare.settings import Settings, kept_secret
from levare.store import tokens
from levare.store.audit import Actor
from levare.store.engine import Database
from levare.store.ids import new_id

COOKIES = ("__Host-levare", "levare_session")
"""The cookie of a session, over TLS and without: a browser takes the first over TLS only, and only for this host."""
CSRF_HEADER = "X-Levare-CSRF"
_POLICY_VIOLATION = 1008
_HANDSHAKE = "of a WebSocket"


class Auth:
    """
    Lets a request through only with a token or a session that is valid, and no more often than is fair.

    A new path is closed until `is_open` names it. What is answered as a stream is cut when the token ends.
    """

    def __init__(self, app: ASGIApp, *, keys: Keys, per_second: int) -> None:
        self.app, self.keys, self.watches = app, keys, Watches(keys)
        self.holders = Buckets(per_second, 2 * per_second)
        self.strangers = Buckets(STRANGERS_PER_SECOND, STRANGERS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_open(scope["path"]):
            self._take(self.strangers, rates.stranger(_address(scope)), "This address")
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            shown = await self._let_in(scope)
            await self._answer(scope, receive, send, shown)
        elif scope["type"] == "websocket":
            await self._connect(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _connect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As a request; what is wrong with a handshake is told by a code alone."""
        try:
            shown = await self._let_in(scope)
            await self._answer(scope, receive, send, shown)
        except LevareError as error:
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": error.title})

    async def _let_in(self, scope: Scope) -> Shown:
        headers = Headers(scope=scope)
        shown = shown_by(headers)
        if shown is None:
            raise self._of_stranger(scope, _without_token())
        holder = self.keys.at_hand(shown.secret) or await self._look_up(scope, shown)
        self._take(self.holders, holder.token_id, f"Token {holder.name!r}")
        if shown.is_cookie:
            refuse_forged(headers, scope.get("method", _HANDSHAKE), scope["path"], shown.secret)
        scope["levare.actor"] = Actor(holder.token_id, holder.name, holder.access, _address(scope))
        return shown

    async def _look_up(self, scope: Scope, shown: Shown) -> Holder:
        """Whoever shows nothing that is known pays for the look at it, by his address."""
        is_known = self.keys.is_known(shown.secret)
        if not is_known and self.strangers.is_empty(rates.stranger(_address(scope)), monotonic()):
            raise self._of_stranger(scope, _without_token())
        try:
            return await self.keys.look_up(shown.secret, is_cookie=shown.is_cookie)
        except Unauthorized as error:
            raise self._of_stranger(scope, error) from None

    def _of_stranger(self, scope: Scope, error: LevareError) -> LevareError:
        """What an address without a token is told: that it asks too much, or else this."""
        wait = self.strangers.take(rates.stranger(_address(scope)), monotonic())
        return rates.refuse(wait, self.strangers.per_second, who="This address") if wait else error

    def _take(self, buckets: Buckets, key: str, who: str) -> None:
        wait = buckets.take(key, monotonic())
        if wait:
            raise rates.refuse(wait, buckets.per_second, who=who)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, shown: Shown) -> None:
        """Answer; what has no length is a stream, and is watched."""
        is_stream = is_of_events = False

        async def watched(message: Message) -> None:
            nonlocal is_stream, is_of_events
            if not is_stream and _begins_stream(message):
                is_stream, is_of_events = True, _is_of_events(message)
                watch.enter_context(self.watches.over(shown, cut))
            await send(message)

        with CancelScope() as cut, ExitStack() as watch:
            await self.app(scope, receive, watched)
        if cut.cancelled_caught:
            await _end(scope, send, is_of_events=is_of_events)


def _begins_stream(message: Message) -> bool:
    kind = message["type"]
    if kind == "http.response.start":
        return not any(name.lower() == b"content-length" for name, _ in message["headers"])
    return kind == "websocket.accept"


def _is_of_events(message: Message) -> bool:
    return message["type"] == "http.response.start" and b"text/event-stream" in dict(message["headers"]).get(
        b"content-type", b""
    )


async def _end(scope: Scope, send: Send, *, is_of_events: bool) -> None:
    """End a stream that was cut; one of bytes must not look whole."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": "The token is no longer valid."})
        return
    if not is_of_events:
        raise ClientDisconnect
    error = Unauthorized("The token is no longer valid.", "Ask an admin for a new token.")
    said = json.dumps(problems.document(error, scope["path"]))
    body = f"event: revoked\ndata: {said}\n\n".encode()
    await send({"type": "http.response.body", "body": body, "more_body": False})


def shown_by(headers: Headers) -> Shown | None:
    """The token of a request, or else the cookie of a session; a token that is malformed is none."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme:
        return Shown(secret.strip()) if scheme.lower() == "bearer" and secret.strip() else None
    cookie = cookie_of(headers)
    return Shown(cookie, is_cookie=True) if cookie else None


def cookie_of(headers: Headers) -> str | None:
    """The cookie of a session, unless a page of another site has had it sent."""
    cookies: Mapping[str, str] = cookie_parser(headers["cookie"]) if "cookie" in headers else {}
    found = next((cookies[name] for name in COOKIES if cookies.get(name)), None)
    is_foreign = headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
    return None if is_foreign and headers.get("sec-fetch-mode") != "navigate" else found


def refuse_forged(headers: Headers, method: str, path: str, cookie: str) -> None:
    """
    Raise Forbidden for a change by a cookie that no page of ours has asked for.

    A browser must say that the page is of this origin, and the page must know a secret of the session.
    """
    if method in SAFE_METHODS:
        return
    has_origin = "origin" in headers  # the Door has compared it
    if not has_origin and headers.get("sec-fetch-site") != "same-origin":
        raise _forged("Origin", "is missing", "the origin of this server")
    if not is_form(path) and method != _HANDSHAKE and not is_ours(headers.get(CSRF_HEADER), cookie):
        raise _forged(CSRF_HEADER, "is not that of this session", "what the page was given")


def is_ours(proof: str | None, cookie: str) -> bool:
    """Whether a page of ours has sent this proof."""
    return proof is not None and compare_digest(proof.encode(), proof_of(cookie).encode())


def proof_of(cookie: str) -> str:
    """What pages of a session send with what they change. It does not tell the cookie."""
    return sha256(f"levare-csrf:{cookie}".encode()).hexdigest()


def _forged(field: str, message: str, limit: str) -> Forbidden:
    return Forbidden(
        "Nothing shows that a page of levare has asked for this.",
        "Use the page itself, or a token instead of a session.",
        [Fault(field, message, None, limit)],
    )


def _without_token() -> Unauthorized:
    return Unauthorized(
        "The request carries no token.",
        "Send `Authorization: Bearer TOKEN`; the first admin token is in LEVARE_HOME/admin.token.",
    )


def _address(scope: Scope) -> str:
    return (scope.get("client") or ("",))[0]


def register_admin(settings: Settings, database: Database) -> bool:
    """Make the secret in the token file valid in this database; the file is made at the first start."""
    secret = kept_secret(settings.token_file)
    with database.writing() as connection:
        return tokens.register_admin(connection, secret, token_id=new_id(), now=datetime.now(UTC))
