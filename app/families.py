"""Families of jobs: how long their runs take, and whether they are held after failing at once."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from app.answers import Families, Family, answer
from app.call import Asked, DryRun
from app.pages import Limit, NameCursor, by, fields_of, page, picked, picking, selected
from levare.pulse import beat_bell
from levare.store import families, versions

router = APIRouter(prefix="/v1/families", tags=["families"])

FamilyName = Annotated[
    str, Path(max_length=400, description="team/project/name of its jobs.", examples=["vision/imagenet/resnet-50"])
]
FamilyFields = Annotated[str | None, fields_of(Family)]
Held = Annotated[bool, Query(description="Only families that are held now.", examples=[True])]
_FIELDS = tuple(Family.model_fields)


@router.get("", response_model=Families)
def list_families(
    call: Asked, cursor: NameCursor = "", limit: Limit = 50, held: Held = False, fields: FamilyFields = None
) -> Response:
    """List families of which a job has ended, by name."""
    names = selected(Family, fields)
    with call.database.reading() as connection:
        rows = families.find_families(
            connection, after=cursor, limit=limit + 1, only_held=held, now=call.now, seen=call.seen
        )
    return page(rows, limit, by("name"), picking(names))


@router.delete("/{name:path}/hold", response_model=Family)
def release_family(name: FamilyName, call: Asked, dry_run: DryRun = False) -> Response:
    """Let the jobs of a family start again that is held after a burst of fast failures, and forget those."""
    with call.writing(dry_run=dry_run) as connection:
        row = families.release(connection, name, actor=call.actor, now=call.now)
    if not dry_run:
        call.pulse.ring(beat_bell())
    return answer(picked(row, _FIELDS))


@router.get("/{name:path}", response_model=Family)
def read_family(name: FamilyName, call: Asked) -> Response:
    """Look at a family."""
    with call.database.reading() as connection:
        row, version = families.family(connection, name, now=call.now), versions.of(connection, versions.FAMILY, name)
    return call.conditions.told(picked(row, _FIELDS), version)
