"""Windows: times for which nodes are kept, for maintenance or for a team."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.answers import At, answer, listed
from app.call import Asked, DryRun
from app.pages import fields_of, picked, selected
from app.wishes import window_wish
from levare.manifest.values import Label
from levare.manifest.windows import WindowRequest
from levare.pulse import beat_bell
from levare.store import versions, windows

router = APIRouter(prefix="/v1/windows", tags=["windows"])


class Window(BaseModel):
    """A time for which nodes are kept."""

    name: str = Field(examples=["driver-upgrade"])
    nodes: list[str] = Field(examples=[["node-a"]])
    starts: At
    ends: At
    team: str | None = Field(description="Who may use them meanwhile; null for nobody.", examples=["vision"])
    user: str | None = Field(description="The only user of the team who may; null for all.", examples=["ada"])
    reason: str = Field(examples=["A new driver."])
    created_by: str = Field(description="The name of the token that made it.", examples=["admin"])
    created_at: At


class Windows(BaseModel):
    items: list[Window]


WindowName = Annotated[Label, Path(description="The name of a window.", examples=["driver-upgrade"])]
WindowFields = Annotated[str | None, fields_of(Window)]
_FIELDS = tuple(Window.model_fields)


@router.get("", response_model=Windows)
def list_windows(call: Asked, fields: WindowFields = None) -> Response:
    """List the windows that are not over, by their start."""
    names = selected(Window, fields)
    with call.database.reading() as connection:
        rows = windows.find(connection, now=call.now)
    shown = [row for row in rows if call.seen is None or row["team"] is None or row["team"] in call.seen]
    return listed([picked(row, names) for row in shown])


@router.get("/{name}", response_model=Window)
def read_window(name: WindowName, call: Asked, fields: WindowFields = None) -> Response:
    """Look at a window, even if it is over."""
    names = selected(Window, fields)
    with call.database.reading() as connection:
        row, version = windows.one(connection, name), versions.of(connection, versions.WINDOW, name)
    return call.conditions.told(picked(row, names), version)


@router.put("/{name}", response_model=Window)
def set_window(name: WindowName, body: WindowRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """
    Keep nodes for a time, or change a window.

    What runs there runs on; a job that would run into it, by its limit or by what is known of its kind, does not
    start there.
    """
    with call.writing(dry_run=dry_run) as connection:
        row = windows.put(connection, name, window_wish(body), actor=call.actor, now=call.now)
    if not dry_run:
        call.pulse.ring(beat_bell())
    return answer(picked(row, _FIELDS))


@router.delete("/{name}", response_model=Window)
def remove_window(name: WindowName, call: Asked, dry_run: DryRun = False) -> Response:
    """Give the nodes of a window back."""
    with call.writing(dry_run=dry_run) as connection:
        row = windows.remove(connection, name, actor=call.actor, now=call.now)
    if not dry_run:
        call.pulse.ring(beat_bell())
    return answer(picked(row, _FIELDS))
