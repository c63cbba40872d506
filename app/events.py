"""Events: what happened elsewhere, as CloudEvents 1.0, for the triggers that are about it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.responses import Response, StreamingResponse

from app.answers import At, NextCursor, answer
from app.call import Asked, Call, DryRun
from app.cloudevents import BATCH, MOST_IN_BATCH, STRUCTURED, received
from app.document import Responses, refusals
from app.follow import EVENTS, UNBUFFERED, Accept, Follow
from app.news import Reader, as_server_sent
from app.once import OnceOnly
from app.pages import Cursor, Limit, by_number_and, number_of, page, picked, picking
from app.problems import BadRequest, RequestTimeout, UnsupportedMedia
from levare.errors import TooLarge, UnfitEvent
from levare.manifest.patterns import NEWS_ID
from levare.pulse import beat_bell
from levare.store import events
from levare.store.news import Place

router = APIRouter(prefix="/v1/events", tags=["events"])


class Event(BaseModel):
    """An event that was received; its source and id name it."""

    number: int = Field(description="Grows with each event.", examples=[17])
    id: str = Field(examples=["a1"])
    source: str = Field(examples=["/lake/churn"])
    type: str = Field(examples=["dataset.ready"])
    subject: str | None = Field(examples=["2030-01-01"])
    event: dict[str, Any] = Field(description="The CloudEvent as it came.", examples=[{"specversion": "1.0"}])
    received_at: At
    sender: str = Field(description="The name of the token that sent it.", examples=["lake"])


class Events(BaseModel):
    items: list[Event]
    next_cursor: NextCursor


class Received(BaseModel):
    """The events of a batch, in its order."""

    items: list[Event]


Wanted = r"^[^\x00]*$"
Type = Annotated[
    str | None, Query(max_length=250, pattern=Wanted, description="Only of this type.", examples=["dataset.ready"])
]
Source = Annotated[
    str | None, Query(max_length=500, pattern=Wanted, description="Only of this source.", examples=["/lake/churn"])
]
LastNews = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=NEWS_ID,
        description="The `id` of the last event; goes on behind it.",
        examples=["0-17"],
    ),
]
_FIELDS = tuple(Event.model_fields)
_EVENT = {"$ref": "#/components/schemas/CloudEvent"}
_LISTING: Responses = {
    200: {
        "description": "The events that were received, or what happens as it happens.",
        "content": {EVENTS: {"schema": {"type": "string"}}},
    }
}
_BODY = {
    "required": True,
    "content": {
        STRUCTURED: {"schema": _EVENT},
        BATCH: {"schema": {"type": "array", "items": _EVENT, "minItems": 1, "maxItems": MOST_IN_BATCH}},
    },
}


async def _raw(request: Request) -> bytes:
    return await request.body()


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=Event | Received,
    responses={200: {"model": Event | Received, "description": "All of it was known already, or this was a dry run."}}
    | refusals(TooLarge, UnfitEvent, BadRequest, RequestTimeout, UnsupportedMedia),
    openapi_extra={"requestBody": _BODY},
)
def send_event(
    request: Request, call: Asked, once: OnceOnly, body: Annotated[bytes, Depends(_raw)], dry_run: DryRun = False
) -> Response:
    """
    Send an event, or a batch of them; the same source and id again is the same event, and happens once.

    Structured, in batches, or binary: with the attributes in `ce-` headers and the data as the body, of whatever
    type. An event has at most 64 KiB. It is answered when it is safe; what triggers make of it is in their activations.
    """
    found, is_batch = received(request.headers, body)
    response = once.answer(
        lambda connection: _received(connection, found, call, is_batch=is_batch, dry_run=dry_run), dry_run=dry_run
    )
    if response.status_code == HTTPStatus.CREATED:
        call.pulse.ring(beat_bell())
    return response


def _received(
    connection: Connection, found: Sequence[Mapping[str, Any]], call: Call, *, is_batch: bool, dry_run: bool
) -> Response:
    kept = [events.receive(connection, event, actor=call.actor, now=call.now) for event in found]
    is_new = not dry_run and any(new for _, new in kept)
    items = [picked(row, _FIELDS) for row, _ in kept]
    return answer({"items": items} if is_batch else items[0], HTTPStatus.CREATED if is_new else HTTPStatus.OK)


@router.get("", response_model=Events, responses=_LISTING)
def list_events(
    call: Asked,
    *,
    type: Type = None,  # noqa: A002  # as CloudEvents call it
    source: Source = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    follow: Follow = False,
    accept: Accept = None,
    last_event_id: LastNews = None,
) -> Response:
    """
    List the events that were received, newest first; or follow what happens, with `follow` or as `text/event-stream`.

    What happens is every change of a state: of jobs, nodes and alerts, and each event that comes. Each is a CloudEvent
    of a type such as `levare.job.running`, with `before` and `after` in its data; its id is what `Last-Event-ID` takes.
    It begins now, or behind that. News are kept for 7 days; where some are left out, for they are older or more than
    10,000, the event `resync` says from where to where: read anew what you keep.
    """
    if follow or EVENTS in (accept or ""):
        place = Place.at(last_event_id) if last_event_id else None
        wanted = {name: said for name, said in (("type", type), ("source", source)) if said is not None}
        reader = Reader(call.database, call.seen, place, wanted)
        return StreamingResponse(as_server_sent(reader, call.writes), headers=UNBUFFERED, media_type=EVENTS)
    place = number_of(cursor)
    with call.database.reading() as connection:
        rows = events.find(connection, limit=limit + 1, type=type, source=source, after=place)
    return page(rows, limit, by_number_and("received_at"), picking(_FIELDS))
