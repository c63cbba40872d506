"""Pipelines: several jobs in one submit, each a step that may need others of them."""

from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import At, JobState, Need, NextCursor, answer
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.jobs import JOB_REFUSALS, places_of, wake
from app.once import OnceOnly
from app.pages import Cursor, Limit, cursor_after, page, picked, picking, place_of
from app.wishes import pipeline_wish
from levare.errors import InvalidPipeline
from levare.manifest.pipelines import PipelineRequest
from levare.model import FINAL
from levare.store import pipelines, versions, views
from levare.store.ids import new_id

router = APIRouter(prefix="/v1/pipelines", tags=["pipelines"])

PipelineId = Annotated[str, Path(max_length=64, description="The id of a pipeline.", examples=["p7d2m9x4ka"])]


class Step(BaseModel):
    step: str = Field(examples=["train"])
    job: str = Field(description="The id of its job.", examples=["k3v9x2m1qa"])
    state: JobState
    needs: list[str | Need] = Field(
        description="Steps by their names, other jobs by their ids.", examples=[["prepare"]]
    )
    reason: str | None = Field(examples=["Exited with code 0."])
    started_at: At | None
    finished_at: At | None


class Pipeline(BaseModel):
    """Jobs that were submitted together."""

    id: str = Field(examples=["p7d2m9x4ka"])
    name: str = Field(examples=["nightly"])
    user: str = Field(description="The name of the token that submitted it.", examples=["admin"])
    state: Literal["waiting", "running", "succeeded", "failed", "cancelled"] = Field(
        description="`succeeded` when no step has failed; one that was skipped is no failure."
    )
    created_at: At
    steps: list[Step]


class Pipelines(BaseModel):
    items: list[Pipeline]
    next_cursor: NextCursor


_FIELDS = tuple(Pipeline.model_fields)


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=Pipeline,
    responses={200: {"model": Pipeline, "description": "A dry run: as it would be."}}
    | refusals(InvalidPipeline, *JOB_REFUSALS),
)
def submit_pipeline(body: PipelineRequest, call: Asked, once: OnceOnly, dry_run: DryRun = False) -> Response:
    """
    Submit several jobs at once, all or none.

    `needs` of a step names other steps or jobs. A cycle is refused. Each job finds the output folders of the steps
    that it needs in `LEVARE_INPUT_<STEP>`.
    """
    response = once.answer(lambda connection: _submitted(connection, body, call, dry_run), dry_run=dry_run)
    if not dry_run:
        wake(call, ())
    return response


def _submitted(connection: Connection, body: PipelineRequest, call: Call, dry_run: bool) -> Response:
    ids, wish = [new_id() for _ in range(len(body.jobs) + 1)], pipeline_wish(body)
    made = pipelines.submit(connection, wish, ids=ids, actor=call.actor, now=call.now, rules=call.rules)
    if dry_run:
        return answer(picked(made, _FIELDS))
    return answer(picked(made, _FIELDS), HTTPStatus.CREATED, {"Location": f"/v1/pipelines/{made['id']}"})


@router.get("", response_model=Pipelines)
def list_pipelines(call: Asked, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """List pipelines, newest first."""
    with call.database.reading() as connection:
        rows = pipelines.find(connection, limit=limit + 1, after=place_of(cursor), seen=call.seen)
    return page(rows, limit, cursor_after, picking(_FIELDS))


@router.get("/{pipeline_id}", response_model=Pipeline)
def read_pipeline(pipeline_id: PipelineId, call: Asked) -> Response:
    """Look at a pipeline and its steps."""
    with call.database.reading() as connection:
        row = pipelines.pipeline(connection, pipeline_id)
        version = versions.of(connection, versions.PIPELINE, pipeline_id)
    return call.conditions.told(picked(row, _FIELDS), version)


@router.delete(
    "/{pipeline_id}",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Pipeline,
    responses={200: {"model": Pipeline, "description": "It is over, or this was a dry run: nothing was changed."}},
)
def cancel_pipeline(pipeline_id: PipelineId, call: Asked, dry_run: DryRun = False) -> Response:
    """Ask to cancel every job of a pipeline that is not over."""
    with call.writing(dry_run=dry_run) as connection:
        found = pipelines.wish_cancel(connection, pipeline_id, actor=call.actor, now=call.now)
        jobs = [views.job(connection, step["job"]) for step in found["steps"]]
        nodes = {node for job in jobs for node in places_of(connection, job)}
    if dry_run or found["state"] in FINAL:
        return answer(picked(found, _FIELDS))
    wake(call, nodes)
    return answer(picked(found, _FIELDS), HTTPStatus.ACCEPTED)
