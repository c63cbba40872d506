"""Lists in pages: a cursor that stays right while rows come, and only the fields that are wanted."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any

from fastapi import Query
from pydantic import BaseModel
from starlette.responses import Response

from app import problems
from app.answers import listed
from levare.errors import Fault, InvalidRequest
from levare.manifest.patterns import NO_NUL

Row = Mapping[str, Any]
_LONGEST_NUMBER = 18
Limit = Annotated[int, Query(ge=1, le=500, description="The most items in one answer.", examples=[50])]
_CURSOR = "`next_cursor` of the page before; the other parameters stay the same."
Cursor = Annotated[str | None, Query(max_length=200, description=_CURSOR)]
NameCursor = Annotated[str, Query(max_length=400, pattern=NO_NUL, description=_CURSOR)]
"""Of a list by name: the last one of the page before."""
NumberCursor = Annotated[
    str | None, Query(max_length=_LONGEST_NUMBER, pattern="^[0-9]+$", description=_CURSOR, examples=["71"])
]
"""Of a list by a number: the last one of the page before."""


def fields_of(model: type[BaseModel]) -> Any:
    """The parameter that selects fields; its pattern is for the document, `selected` says what is wrong in words."""
    names = "|".join(model.model_fields)
    return Query(
        max_length=1000,
        description="Only these fields, with commas between; the others are then left out of the answer.",
        examples=[",".join(list(model.model_fields)[:2])],
        json_schema_extra={"pattern": f"^({names})(,({names}))*$"},
    )


def page(
    rows: Sequence[Row], limit: int, cursor: Callable[[Row], str], shown: Callable[[Row], Any] = dict, **more: Any
) -> Response:
    """Answer a list of which one row more than fits was read, if there is one: so there is another page."""
    following = cursor(rows[limit - 1]) if len(rows) > limit else None
    return listed([shown(row) for row in rows[:limit]], next_cursor=following, **more)


def picking(names: Iterable[str]) -> Callable[[Row], dict[str, Any]]:
    """Shows exactly these fields of a row."""
    return partial(picked, names=tuple(names))


def by(column: str) -> Callable[[Row], str]:
    """The cursor of a list by this column."""
    return lambda row: str(row[column])


def cursor_after(row: Row) -> str:
    """The place of a row in a list by time and id."""
    return urlsafe_b64encode(f"{row['created_at'].isoformat()} {row['id']}".encode()).decode().rstrip("=")


def by_number_and(time: str) -> Callable[[Row], str]:
    """As `cursor_after`, of a list by the time in this column and a number."""
    return lambda row: cursor_after({"created_at": row[time], "id": str(row["number"])})


def number_of(cursor: str | None) -> tuple[datetime, int] | None:
    """What the cursor of `by_number_and` tells; raise InvalidRequest for anything that it did not make."""
    place = place_of(cursor)
    if place is None:
        return None
    if not place[1].isdecimal() or len(place[1]) > _LONGEST_NUMBER:
        raise _no_cursor(cursor)
    return place[0], int(place[1])


def place_of(cursor: str | None) -> tuple[datetime, str] | None:
    """What `cursor_after` was given; raise InvalidRequest for anything that it did not make."""
    if cursor is None:
        return None
    place = _decoded(cursor)
    if place is None:
        raise _no_cursor(cursor)
    return place


def _no_cursor(cursor: str | None) -> InvalidRequest:
    fault = Fault("cursor", "is no cursor of this list", cursor, "a next_cursor")
    return InvalidRequest("The cursor is not one that this list gave.", "Begin without a cursor.", [fault])


def _decoded(cursor: str) -> tuple[datetime, str] | None:
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii")
        at = datetime.fromisoformat(text.partition(" ")[0])
    except ValueError:
        return None
    row_id = text.partition(" ")[2]
    is_clean = at.tzinfo == UTC and row_id.replace("_", "").isalnum()
    is_ours = is_clean and cursor_after({"created_at": at, "id": row_id}) == cursor
    return (at, row_id) if is_ours else None


def selected(model: type[BaseModel], fields: str | None) -> Sequence[str]:
    """The names of the fields that are wanted; all of them by default."""
    known = list(model.model_fields)
    wanted = [name.strip() for name in fields.split(",")] if fields is not None else known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise problems.invalid([problems.unknown(name, known, what="field of an item") for name in unknown])
    return wanted


def picked(row: Row, names: Iterable[str]) -> dict[str, Any]:
    """Exactly these fields; a field that the row lacks is an error of ours."""
    return {name: row[name] for name in names}
