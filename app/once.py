"""
Requests that may be sent again: with an `Idempotency-Key` the second is answered as the first, and makes nothing.

What is kept of an answer holds no secret: a secret in it comes from what the request was sent with, by a one-way
function, so whoever sends it again gets the same one, and whoever reads the database gets none.
"""

import hmac
import json
from base64 import urlsafe_b64encode
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from secrets import token_bytes
from threading import Lock
from typing import Annotated

from fastapi import Depends, Header, Request
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import answer
from app.auth import shown_by
from app.call import Asked, Call
from levare.manifest.patterns import KEY
from levare.store import answered
from levare.store.answered import Answered, Key

WAIT_SECONDS = 2.0
"""So long a repeat waits for the first to be answered."""
REPLAYED = "Idempotency-Replayed"

Given = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=KEY,
        description="Makes it safe to send again: for 24 hours the same request with the same key of the same token is "
        "answered as the first was, and makes nothing. At most 255 visible characters.",
        examples=["9f1c3a52-0b6e-4c1e-8f57-2a41d9c0be11"],
    ),
]
Make = Callable[[Connection], Response]


class Flights:
    """The keys whose requests this process is answering."""

    def __init__(self) -> None:
        self._turns: dict[tuple[str, str], Lock] = defaultdict(Lock)
        self._waiting: dict[tuple[str, str], int] = defaultdict(int)
        self._guard = Lock()

    @contextmanager
    def turn(self, key: Key) -> Iterator[None]:
        """Raise InFlight if another request with the key is not answered soon."""
        place = key.token_id, key.name
        with self._guard:
            turn = self._turns[place]
            self._waiting[place] += 1
        try:
            if not turn.acquire(timeout=WAIT_SECONDS):
                raise answered.in_flight(key.name)
            try:
                yield
            finally:
                turn.release()
        finally:
            with self._guard:
                self._waiting[place] -= 1
                if not self._waiting[place]:
                    del self._turns[place], self._waiting[place]


_FLIGHTS = Flights()


@dataclass(frozen=True)
class Hidden:
    """Where in an answer there is a secret, and how that begins."""

    field: str
    prefix: str


@dataclass(frozen=True)
class Once:
    """One request that makes something, and its key if it has one. `sent_with` is what opened the door for it."""

    call: Call
    key: Key | None
    sent_with: bytes

    def answer(self, make: Make, *, dry_run: bool = False, hides: Hidden | None = None) -> Response:
        """What `make` answers in a transaction, or was answered with this key before. A dry run uses no key."""
        if self.key is None or dry_run:
            with self.call.writing(dry_run=dry_run) as connection:
                return make(connection)
        with _FLIGHTS.turn(self.key), self.call.writing() as connection:
            known = answered.claim(connection, self.key, now=self.call.now)
            if known is not None:
                return self._again(known, hides)
            response = make(connection)
            answered.keep(connection, self.key, _kept(response, hides, self.call.now))
        return response

    def secret(self, prefix: str, at: datetime | None = None) -> str:
        """A new secret of 256 bits; with a key always the same one."""
        if self.key is None:
            return _written(prefix, token_bytes(32))
        said = f"{prefix} {self.key.name} {(at or self.call.now).isoformat()}"
        return _written(prefix, hmac.digest(self.sent_with, said.encode(), "sha256"))

    def _again(self, known: Answered, hides: Hidden | None) -> Response:
        content = json.loads(known.body)
        if hides:
            content[hides.field] = self.secret(hides.prefix, known.created_at)
        headers = {REPLAYED: "true"} | ({"Location": known.location} if known.location else {})
        return answer(content, known.status, headers)


def without_key(call: Call) -> Once:
    """What is asked without a key, as the forms of the pages do."""
    return Once(call, None, b"")


async def _once(request: Request, call: Asked, idempotency_key: Given = None) -> Once:
    if idempotency_key is None:
        return without_key(call)
    shown = shown_by(request.headers)
    key = Key(call.actor.token_id, idempotency_key, _digest(request, await request.body()))
    return Once(call, key, shown.secret.encode() if shown else b"")


OnceOnly = Annotated[Once, Depends(_once)]


def _digest(request: Request, body: bytes) -> str:
    """Equal requests have equal digests, however their JSON is written."""
    try:
        said = json.dumps(json.loads(body), sort_keys=True).encode()
    except ValueError:
        said = body
    return sha256(b"\n".join((request.method.encode(), request.url.path.encode(), said))).hexdigest()


def _kept(response: Response, hides: Hidden | None, now: datetime) -> Answered:
    body = bytes(response.body).decode()
    if hides:
        body = json.dumps({**json.loads(body), hides.field: None})
    return Answered(response.status_code, body, response.headers.get("Location"), now)


def _written(prefix: str, secret: bytes) -> str:
    return prefix + urlsafe_b64encode(secret).decode().rstrip("=")
