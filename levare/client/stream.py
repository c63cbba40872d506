"""Server-sent events of a log: bytes to events, and one attempt's log across any number of connections."""

import base64
import json
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from levare.client.answers import LogCut, LogEnd, LogEvent, LogText, News
from levare.client.wire import Patience, Wire, unreachable
from levare.errors import Unavailable

_LASTING_SECONDS = 5.0
_OF_LOG = ("log", "cut", "end")
_OF_CONNECTION = ("revoked", "message")
"""Tell of the connection, and not of what is followed."""


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    kind: str
    data: Any
    id: str | None


def follow_attempt(
    wire: Wire, job: str, number: int, *, rank: int = 0, offset: int | None = None, patience: float
) -> Iterator[LogEvent]:
    """
    What an attempt writes, from `offset` on, until its end.

    A connection that breaks is made again from where it broke, so that no byte is lost or given
    twice; Unavailable is raised when nothing has been heard for `patience`.
    """
    path = f"/v1/jobs/{job}/logs"
    params = {"attempt": number, "follow": "true", "offset": offset or 0} | ({"rank": rank} if rank else {})
    for event in _followed(wire, path, params, patience=patience):
        if event.kind in _OF_LOG:
            yield _log_event(event, number)
        if event.kind == "end":
            return


def follow_news(wire: Wire, wanted: Mapping[str, str], *, since: str | None, patience: float) -> Iterator[News]:
    """What happens as it happens, behind the id `since`; a connection that breaks is made again where it broke."""
    for event in _followed(wire, "/v1/events", {"follow": "true", **wanted}, place=since, patience=patience):
        yield event.data


def _followed(
    wire: Wire, path: str, params: Mapping[str, Any], *, place: str | None = None, patience: float
) -> Iterator[Event]:
    """The events of a stream over any number of connections; Unavailable once nothing was heard for `patience`."""
    patient = Patience(patience)
    while True:
        try:
            with wire.stream(path, params=params, last_event_id=place) as response:
                for event in _heard(wire, response, patient):
                    place = event.id or place
                    yield event
        except Unavailable:
            if not patient.pause():
                raise
        else:
            if not patient.pause():
                raise Unavailable(f"{wire.url} ends what is told of {path} again and again.", "Ask `levare doctor`.")


def parse(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events in a stream of bytes, however it was cut into chunks; comments and unfinished events are dropped."""
    kind, data, last_id = "message", [], None
    for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(kind, json.loads("\n".join(data)), last_id)
            kind, data = "message", []
        elif name == "event":
            kind = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            last_id = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines end at a line feed only: a line separator of Unicode may stand inside JSON."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.removesuffix(b"\r").decode() for line in lines)


def _heard(wire: Wire, response: httpx.Response, patient: Patience) -> Iterator[Event]:
    try:
        for event in parse(_lasting(response, patient)):
            if event.kind not in _OF_CONNECTION:
                patient.restore()
                yield event
    except httpx.RequestError as error:
        raise unreachable(wire.url, error) from None


def _lasting(response: httpx.Response, patient: Patience) -> Iterator[bytes]:
    """The bytes of an answer; once it has lasted, a break is a new one, even if the job has been silent."""
    begun = time.monotonic()
    for chunk in response.iter_bytes():
        if time.monotonic() - begun > _LASTING_SECONDS:
            patient.restore()
        yield chunk


def _log_event(event: Event, number: int) -> LogEvent:
    data = event.data
    if event.kind == "log":
        return LogText(event="log", attempt=number, offset=data["offset"], data=_bytes(data))
    if event.kind == "cut":
        return LogCut(event="cut", attempt=number, start=data["from"], end=data["to"])
    return LogEnd(
        event="end", attempt=number, state=data["state"], exit_code=data.get("exit_code"), reason=data.get("reason")
    )


def _bytes(data: dict[str, str]) -> bytes:
    return base64.b64decode(data["base64"]) if "base64" in data else data["text"].encode()
