"""The log of an attempt: whole, in part, or as it comes."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Header, Query
from starlette.responses import Response, StreamingResponse

from app.call import Asked, Call
from app.document import Responses, refusals
from app.follow import EVENTS, UNBUFFERED, Accept, Follow, Follower, as_server_sent
from app.jobs import JobId
from app.metrics import MOST_OFFSET, AttemptNumber, Rank
from app.problems import RangeNotSatisfiable
from levare.errors import Fault
from levare.manifest.patterns import EVENT_ID
from levare.model import FINAL
from levare.store import logs, views
from levare.store.logs import Stretch

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

MOST_BYTES = 16 << 20
_USUAL_BYTES = 1 << 20
_TEXT = "text/plain; charset=utf-8"

Offset = Annotated[
    int | None,
    Query(
        ge=-MOST_OFFSET, le=MOST_OFFSET, description="The first byte; negative counts from the end.", examples=[-4096]
    ),
]
Bytes = Annotated[int | None, Query(ge=1, le=MOST_BYTES, description="The most bytes in the answer.", examples=[65536])]
Range = Annotated[str | None, Header(max_length=100, description="One range of bytes.", examples=["bytes=0-1023"])]
IfRange = Annotated[str | None, Header(max_length=200, description="Nothing ever matches it: a log grows.")]
LastEvent = Annotated[
    str | None, Header(pattern=EVENT_ID, description="The `id` of the last event; goes on behind it.")
]

_NUMBERS = {
    "Levare-Offset": "Offset of the first byte given.",
    "Levare-Next-Offset": "Offset of the byte behind the last one given.",
    "Levare-Size": "Bytes written in all, cuts included.",
}
_HEADERS = {name: {"description": text, "schema": {"type": "integer"}} for name, text in _NUMBERS.items()} | {
    "Levare-Cut": {
        "description": "`a-b` when the bytes [a, b) just before the first byte given are no longer kept.",
        "schema": {"type": "string"},
    },
    "Levare-Complete": {
        "description": "`true` when nothing will come after the bytes given.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
}
_RESPONSES: Responses = {
    200: {
        "description": "The log: its bytes exactly, or events.",
        "headers": _HEADERS,
        "content": {_TEXT: {"schema": {"type": "string"}}, EVENTS: {"schema": {"type": "string"}}},
    },
    206: {
        "description": "The range, or what is kept of it up to a cut.",
        "headers": _HEADERS | {"Content-Range": {"schema": {"type": "string"}}},
        "content": {_TEXT: {"schema": {"type": "string"}}},
    },
} | refusals(RangeNotSatisfiable)


@router.get("/logs", response_class=Response, responses=_RESPONSES)
def read_log(
    job_id: JobId,
    call: Asked,
    *,
    attempt: AttemptNumber = None,
    rank: Rank = 0,
    offset: Offset = None,
    limit: Bytes = None,
    follow: Follow = False,
    range: Range = None,  # noqa: A002  # the name of the header
    if_range: IfRange = None,
    accept: Accept = None,
    last_event_id: LastEvent = None,
) -> Response:
    """
    Read what an attempt has written, stdout and stderr together; the latest attempt by default.

    Without `offset`, `limit` and `Range` it is the whole kept log, with a line wherever a part of it is
    no longer kept. Otherwise it is the bytes exactly, from `offset` on and never across such a cut.

    As events: `log` has `offset` and `text` (`base64` where the bytes are not UTF-8), `cut` has `from` and
    `to`, `end` has `state`, `exit_code` and `reason`. The id of each is the offset behind it. Pages get the same over
    a WebSocket at the same address, each event a text.
    """
    with call.database.reading() as connection:
        found = views.attempt(connection, job_id, attempt, rank=rank)
    if follow or EVENTS in (accept or ""):
        place = int(last_event_id) if last_event_id else offset or 0
        number = found["number"] if found else None
        return _stream(call, Follower(call.database, job_id, number, place, rank))
    if found is None:
        return _nothing_yet(call, job_id)
    wanted = _range(range) if range and not if_range else None
    if wanted:
        return _partial(call, found["id"], *wanted)
    if offset is not None or limit is not None:
        return _bytes(_read(call, found["id"], offset or 0, limit or _USUAL_BYTES))
    return _whole(call, found["id"])


def _stream(call: Call, follower: Follower) -> Response:
    return StreamingResponse(as_server_sent(follower, call.writes), headers=UNBUFFERED, media_type=EVENTS)


def _nothing_yet(call: Call, job_id: str) -> Response:
    with call.database.reading() as connection:
        is_final = views.job(connection, job_id)["state"] in FINAL
    return _bytes(Stretch(0, b"", None, 0, is_final))


def _whole(call: Call, attempt_id: str) -> Response:
    with call.database.reading() as connection:
        extent = logs.read(connection, attempt_id, offset=MOST_OFFSET, limit=1)
    headers = {"Levare-Size": str(extent.size), "Levare-Complete": _truth(extent.is_last), "Accept-Ranges": "bytes"}
    return StreamingResponse(logs.whole(call.database, attempt_id), headers=headers, media_type=_TEXT)


def _partial(call: Call, attempt_id: str, first: int, most: int) -> Response:
    """A range, or what is kept of it from its first kept byte to the next cut."""
    stretch = _read(call, attempt_id, first, min(most, MOST_BYTES))
    missed = stretch.offset - first if first >= 0 else 0
    data = stretch.data[: max(most - missed, 0)]
    if not data:
        fault = Fault("Range", "has nothing that is kept", None, f"0-{stretch.size - 1}")
        raise RangeNotSatisfiable(
            f"The log has {stretch.size} bytes.", "Ask for a range within them.", [fault], stretch.size
        )
    kept = Stretch(stretch.offset, data, stretch.cut_from, stretch.size, stretch.is_last and data == stretch.data)
    content_range = f"bytes {kept.offset}-{kept.next_offset - 1}/{kept.size}"
    return _bytes(kept, HTTPStatus.PARTIAL_CONTENT, {"Content-Range": content_range})


def _read(call: Call, attempt_id: str, offset: int, limit: int) -> Stretch:
    with call.database.reading() as connection:
        return logs.read(connection, attempt_id, offset=offset, limit=limit)


def _range(text: str) -> tuple[int, int] | None:
    """First byte and number of bytes of a single range; None, which gives all, for what is no such range."""
    match = re.fullmatch(r"bytes=(\d{0,18})-(\d{0,18})", text.replace(" ", ""))
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return -int(last), int(last)
    most = int(last) - int(first) + 1 if last else MOST_BYTES
    return (int(first), most) if most > 0 else None


def _bytes(stretch: Stretch, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    told = {
        "Levare-Offset": str(stretch.offset),
        "Levare-Next-Offset": str(stretch.next_offset),
        "Levare-Size": str(stretch.size),
        "Levare-Complete": _truth(stretch.is_last),
        "Accept-Ranges": "bytes",
    }
    if stretch.cut_from is not None:
        told["Levare-Cut"] = f"{stretch.cut_from}-{stretch.offset}"
    return Response(stretch.data, status, told | dict(headers or {}), _TEXT)


def _truth(value: bool) -> str:
    return "true" if value else "false"
