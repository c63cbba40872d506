"""The audit: who changed what, when, from where, and whether the record of that is whole."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.answers import At, NextCursor, answer
from app.call import Asked
from app.document import refusals
from app.pages import Limit, NumberCursor, by, page, picked, picking
from levare.errors import Contradiction, Fault
from levare.manifest.patterns import ANCHOR, NO_NUL
from levare.manifest.values import Time
from levare.store import audit, seal
from levare.store.seal import OVERDUE, Verdict

router = APIRouter(prefix="/v1/audit", tags=["audit"])

Exactly = Annotated[str | None, Query(max_length=400, pattern=NO_NUL, description="Only rows with exactly this.")]
Action = Annotated[
    str | None,
    Query(
        max_length=100, pattern=NO_NUL, description="Only this action, or all of this noun.", examples=["job.submitted"]
    ),
]
Since = Annotated[Time | None, Query(description="Only rows from then on.", examples=["2030-01-01T00:00:00Z"])]
Anchor = Annotated[
    str | None,
    Query(
        pattern=ANCHOR,
        description="PLACE:HASH of an earlier `head` that was noted elsewhere; the hash may be shortened.",
        examples=["120:9f86d081884c"],
    ),
]


class AuditRow(BaseModel):
    """One write."""

    id: int = Field(examples=[120])
    at: At
    actor: str = Field(description="The name of the token, or `beat` for what nobody asked for.", examples=["anna"])
    action: str = Field(description="What, as `noun.past`.", examples=["team.set"])
    object: str = Field(description="The name or id of what it was done to.", examples=["vision"])
    source: str = Field(description="The address that it came from; empty for levare itself.", examples=["10.0.0.7"])
    detail: dict[str, Any] = Field(
        description="`before` and `after`, where something was replaced, and what else belongs to it.",
        examples=[{"before": {"weight": 1.0}, "after": {"weight": 2.0}}],
    )
    place: int | None = Field(description="In the chain; null until it is sealed.", examples=[118])
    hash: str | None = Field(description="SHA-256 of its content and of the hash before it.", examples=["9f86d081..."])


class AuditRows(BaseModel):
    items: list[AuditRow]
    next_cursor: NextCursor


class BrokenRow(BaseModel):
    """The first row of which the chain is not true."""

    place: int = Field(examples=[57])
    row: int | None = Field(description="Its id; null for one that is gone.", examples=[61])
    reason: str = Field(examples=["row 57 of the chain is gone"])


class Verification(BaseModel):
    """What a look at the whole audit has found."""

    ok: bool = Field(description="Whether it is whole, and beat seals what comes.")
    sealed: int = Field(description="How many rows are in the chain.", examples=[1200])
    open: int = Field(description="How many are not sealed yet.", examples=[1])
    open_since: At | None = Field(description="The oldest of them.")
    head: str = Field(description="PLACE:HASH of the last row: note it elsewhere, as an anchor.", examples=["1200:9f8"])
    broken: BrokenRow | None = Field(description="null if nothing is.")
    message: str = Field(examples=["All 1200 rows are as they were written."])


_FIELDS, _VERDICT = tuple(AuditRow.model_fields), tuple(Verification.model_fields)


@router.get("", response_model=AuditRows)
def list_audit(
    call: Asked,
    *,
    object: Exactly = None,  # noqa: A002  # as the rows call it
    actor: Exactly = None,
    action: Action = None,
    since: Since = None,
    cursor: NumberCursor = None,
    limit: Limit = 50,
) -> Response:
    """List who changed what, when, from where, newest first; for admins."""
    behind = int(cursor) if cursor else None
    asked: dict[str, Any] = {"about": object, "actor": actor, "action": action, "since": since, "behind": behind}
    with call.database.reading() as connection:
        rows = audit.find(connection, limit=limit + 1, **asked)
    return page(rows, limit, by("id"), picking(_FIELDS))


@router.get("/verification", response_model=Verification, responses=refusals(Contradiction))
def verify_audit(call: Asked, anchor: Anchor = None) -> Response:
    """Look whether any row was changed, removed, slipped in or moved since it was sealed; for admins."""
    place, _, noted = (anchor or "0:").partition(":")
    with call.database.reading() as connection:
        verdict = seal.verify(connection, {int(place): noted} if anchor else {})
    if int(place) > verdict.sealed and not verdict.broken:
        fault = Fault("anchor", "is a place that the chain does not have", int(place), verdict.sealed)
        raise Contradiction(f"The chain has {verdict.sealed} rows.", "Is it of another database?", [fault])
    return answer(picked(_told(verdict, call.now), _VERDICT))


def _told(verdict: Verdict, now: datetime) -> dict[str, Any]:
    is_late = verdict.open_since is not None and now - verdict.open_since > OVERDUE
    return {
        "ok": verdict.broken is None and not is_late,
        "sealed": verdict.sealed,
        "open": verdict.open,
        "open_since": verdict.open_since,
        "head": f"{verdict.sealed}:{verdict.head}",
        "broken": verdict.broken and vars(verdict.broken),
        "message": _message(verdict, is_late=is_late),
    }


def _message(verdict: Verdict, *, is_late: bool) -> str:
    if verdict.broken:
        row = "" if verdict.broken.row is None else f" (row {verdict.broken.row})"
        return f"The audit was changed at place {verdict.broken.place}{row}: {verdict.broken.reason}."
    if is_late:
        return f"{verdict.open} rows are not sealed, the oldest of {verdict.open_since:%Y-%m-%d %H:%M:%S} UTC."
    waiting = f", and {verdict.open} more are about to be sealed" if verdict.open else ""
    return f"All {verdict.sealed} rows are as they were written{waiting}."
