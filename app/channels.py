"""Channels: ways to tell people of alerts, and what became of each message."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import At, NextCursor, answer, listed
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.once import OnceOnly
from app.pages import Cursor, Limit, cursor_after, fields_of, page, picked, picking, place_of, selected
from levare.errors import Conflict, Contradiction
from levare.manifest.channels import ChannelRequest
from levare.manifest.values import Label
from levare.store import alert_rules, channels, deliveries, versions
from levare.store.ids import new_id

router = APIRouter(prefix="/v1/channels", tags=["alerts"])


class Channel(BaseModel):
    """A way to tell people."""

    name: str = Field(examples=["ops"])
    kind: Literal["webhook", "email", "apprise"] = Field(examples=["webhook"])
    definition: dict[str, Any] = Field(
        description="As it was declared; of secrets only the names.",
        examples=[{"webhook": {"url": "https://hooks.example.org/levare", "key": {"secret": "OPS_KEY"}}}],
    )
    revision: int = Field(description="The revision that declared it so.", examples=[12])
    owner: str = Field(description="The name of the token that did.", examples=["ada"])
    changed_at: At


class Channels(BaseModel):
    items: list[Channel]


class Delivery(BaseModel):
    """A message that a channel is to say: at least once, always with the same id."""

    id: str = Field(description="By which a receiver knows it again.", examples=["5f1d7a9c0b3e4f6a8d2c1b0e"])
    channel: str = Field(examples=["ops"])
    rule: str = Field(examples=["hang"])
    news: Literal["begin", "recovery", "test"] = Field(examples=["begin"])
    alerts: list[int] = Field(description="The numbers of the alerts that it is about.", examples=[[17]])
    state: Literal["pending", "sent", "failed"] = Field(examples=["sent"])
    attempts: int = Field(description="How often it was tried.", examples=[1])
    next_at: At = Field(description="When it is tried next, while it is pending.")
    created_at: At
    sent_at: At | None
    last_error: str | None = Field(description="Why the last try failed.", examples=["It answered 503."])


class Deliveries(BaseModel):
    items: list[Delivery]
    next_cursor: NextCursor


ChannelName = Annotated[Label, Path(description="The name of a channel.", examples=["ops"])]
ChannelFields = Annotated[str | None, fields_of(Channel)]
_TRYING: Any = {200: {"model": Delivery, "description": "A dry run: as it would be."}}
_FIELDS, _DELIVERY = tuple(Channel.model_fields), tuple(Delivery.model_fields)


@router.get("", response_model=Channels)
def list_channels(call: Asked, fields: ChannelFields = None) -> Response:
    """List the channels by name."""
    names = selected(Channel, fields)
    with call.database.reading() as connection:
        rows = channels.every(connection)
    return listed([picked(row, names) for row in rows])


@router.get("/{name}", response_model=Channel)
def read_channel(name: ChannelName, call: Asked, fields: ChannelFields = None) -> Response:
    """Look at a channel."""
    names = selected(Channel, fields)
    with call.database.reading() as connection:
        row, version = channels.one(connection, name), versions.of(connection, versions.CHANNEL, name)
    return call.conditions.told(picked(row, names), version)


@router.put("/{name}", response_model=Channel, responses=refusals(Contradiction))
def set_channel(name: ChannelName, body: ChannelRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """Declare a channel, or declare it anew, as a revision; the same again changes nothing."""
    definition = body.definition()
    with call.writing(dry_run=dry_run) as connection:
        row = channels.put(connection, name, definition, actor=call.actor, now=call.now)
    return answer(picked(row, _FIELDS))


@router.delete("/{name}", response_model=Channel, responses=refusals(Conflict))
def remove_channel(name: ChannelName, call: Asked, dry_run: DryRun = False) -> Response:
    """Remove a channel that no rule names, as a revision. What it was still to say is never said."""
    with call.writing(dry_run=dry_run) as connection:
        _refuse_named(name, alert_rules.every(connection))
        row = channels.remove(connection, name, actor=call.actor, now=call.now)
    return answer(picked(row, _FIELDS))


def _refuse_named(channel: str, rules: Sequence[Mapping[str, Any]]) -> None:
    naming = [rule["name"] for rule in rules if channel in rule["definition"].get("channels", ())]
    if naming:
        what = f"Channel {channel!r} is named by the rules {', '.join(naming)}, which would tell nobody then."
        raise Conflict(what, "Let them name another one: `levare alerts set`.")


@router.post("/{name}/test", response_model=Delivery, status_code=202, responses=_TRYING)
def try_channel(name: ChannelName, call: Asked, once: OnceOnly, dry_run: DryRun = False) -> Response:
    """Have a channel say that it works. The deliveries tell whether it did."""
    return once.answer(lambda connection: _tried(connection, name, call, dry_run), dry_run=dry_run)


def _tried(connection: Connection, name: str, call: Call, dry_run: bool) -> Response:
    channels.one(connection, name)
    row = deliveries.enqueue_test(connection, name, delivery_id=new_id(), actor=call.actor, now=call.now)
    return answer(picked(row, _DELIVERY), HTTPStatus.OK if dry_run else HTTPStatus.ACCEPTED)


@router.get("/{name}/deliveries", response_model=Deliveries)
def list_deliveries(name: ChannelName, call: Asked, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List what a channel was to say and what became of it, newest first; also of one that was removed."""
    place = place_of(cursor)
    with call.database.reading() as connection:
        rows = deliveries.find(connection, name, limit=limit + 1, after=place)
        if not rows and place is None:
            channels.one(connection, name)
    return page(rows, limit, cursor_after, picking(_DELIVERY))
