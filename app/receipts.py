"""Receipts: why a job started when it did, and why another did not start before it."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.answers import At, answer
from app.call import Asked
from app.jobs import JobId
from levare.model.access import VIEWER
from levare.store import decisions, ownership, views
from levare.store.audit import Actor

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Before = Annotated[str | None, Query(max_length=64, description="Another job, which did not start before this one.")]


class Turn(BaseModel):
    """A job's turn in a decision, and what came of it."""

    job: str = Field(examples=["k3v9x2m1qa"])
    outcome: str = Field(
        description="`started`, `no-room`, `borrows` (it came again after all that do not), or the code of a reason.",
        examples=["started"],
    )
    level: int = Field(description="Its priority, with what age and a near deadline added.", examples=[6])
    team: str = Field(examples=["vision"])
    team_gpu_hours: float = Field(
        description="What its team had used, faded, for its weight; up to an hour of each start counts at once.",
        examples=[12.5],
    )
    team_part_percent: float | None = Field(
        description="What its team held, of its share then: below 50 came first, above 200 last; between, use decided.",
        examples=[87.5],
    )
    user: str = Field(examples=["ada"])
    user_gpu_hours: float = Field(
        description="What its user had used, faded, counted likewise: less comes first.", examples=[3.0]
    )
    user_part_percent: float | None = Field(
        description="What its user held, of its share of what the team held.", examples=[120.0]
    )


class Start(BaseModel):
    """One start of a job, with what was decided before it in the same decision."""

    at: At
    node: str = Field(examples=["node-a"])
    digest: str = Field(
        description="Of all that was decided upon: one reading, one digest.", examples=["9f1c3a520b6e4c1e"]
    )
    turn: int = Field(description="Where its own turn came in that decision, from 1.", examples=[3])
    turns: int = Field(description="How many turns the decision had.", examples=[5])
    own: Turn
    before: list[Turn] = Field(
        description=f"The turns before it, the last {decisions.MOST_TURNS} of them; of teams that the token sees."
    )


class Receipt(BaseModel):
    job: str = Field(examples=["k3v9x2m1qa"])
    starts: list[Start] = Field(description=f"First to last; kept for {decisions.KEPT.days} days.")
    compared: str | None = Field(description="With `before`: what became of that job when this one started last.")


@router.get("/{job_id}/receipt", response_model=Receipt)
def read_receipt(job_id: JobId, call: Asked, before: Before = None) -> Response:
    """Why a job started when it did: whose turn it was, with which claims, and who was passed over for what."""
    with call.database.reading() as connection:
        ownership.refuse_hidden(connection, filter(None, (before,)), call.seen)
        for job in filter(None, (job_id, before)):
            views.job(connection, job)
        starts = decisions.of_job(connection, job_id)
        compared = decisions.compared(connection, job_id, before) if before else None
    return answer({"job": job_id, "starts": [start_told(row, call.actor) for row in starts], "compared": compared})


def start_told(row: decisions.Row, actor: Actor) -> dict[str, Any]:
    detail = row["detail"]
    return {
        **{name: row[name] for name in ("at", "node", "digest")},
        **{name: detail[name] for name in ("turn", "turns")},
        "own": _turn(detail["own"]),
        "before": [_turn(turn) for turn in detail["before"] if actor.access.has(VIEWER, turn["team"])],
    }


def _turn(turn: dict[str, Any]) -> dict[str, Any]:
    return {
        "job": turn["job_id"],
        "outcome": turn["outcome"],
        "level": turn["level"],
        "team": turn["team"],
        "team_gpu_hours": round(turn["team_use"] / 3600, 2),
        "team_part_percent": _percent(turn.get("team_part")),
        "user": turn["user"],
        "user_gpu_hours": round(turn["user_use"] / 3600, 2),
        "user_part_percent": _percent(turn.get("user_part")),
    }


def _percent(part: float | None) -> float | None:
    """None of a start that is older than this figure."""
    return None if part is None else round(100 * part, 1)
