"""Pools: how many workers are to run on which machines, how many do, and why."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.answers import At, answer, listed
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.pages import fields_of, picked, selected
from levare.errors import Contradiction, InvalidSchedule
from levare.manifest.pools import PoolName, PoolRequest
from levare.pulse import beat_bell
from levare.store import pools, versions

router = APIRouter(prefix="/v1/pools", tags=["pools"])

WorkerState = Literal["starting", "ready", "draining", "stopping", "lost"]


class PoolWorker(BaseModel):
    """A worker of a pool on a machine. Its name is that of its node."""

    name: str = Field(examples=["atlas-small-3"])
    machine: str = Field(examples=["atlas"])
    state: WorkerState = Field(
        description="`starting` until it has joined; `draining` takes nothing new; `stopping` is being ended.",
        examples=["ready"],
    )
    attempts: int = Field(description="How many live on it.", examples=[2])
    since: At = Field(description="Since when it is wanted, or drains, or stops.")
    reason: str = Field(description="Why.", examples=["The pool wants fewer."])
    note: str | None = Field(
        description="What its machine says of it, if anything is wrong.",
        examples=["It ended with exit code 1; it starts again in 5 s."],
    )


class Pool(BaseModel):
    """A pool, what it is to have, and what it has."""

    name: str = Field(examples=["small"])
    definition: dict[str, Any] = Field(
        description="As it was declared.", examples=[{"workers": 4, "offers": {"cpus": 8, "gpus": 1}}]
    )
    revision: int = Field(description="The revision that declared it so.", examples=[12])
    owner: str = Field(description="The name of the token that did.", examples=["ada"])
    changed_at: At
    wanted: int = Field(description="How many workers it is to have now.", examples=[4])
    why: str = Field(description="Why so many, and why there are not as many, if so.", examples=["4 are asked for."])
    decided_at: At | None = Field(description="When the number changed last.")
    workers: list[PoolWorker]


class Pools(BaseModel):
    items: list[Pool]


PathName = Annotated[PoolName, Path(description="The name of a pool.", examples=["small"])]
PoolFields = Annotated[str | None, fields_of(Pool)]
_FIELDS, _WORKER = tuple(Pool.model_fields), tuple(PoolWorker.model_fields)


@router.get("", response_model=Pools)
def list_pools(call: Asked, fields: PoolFields = None) -> Response:
    """List the pools by name, each with its workers."""
    names = selected(Pool, fields)
    with call.database.reading() as connection:
        rows = pools.every(connection)
    return listed([picked(_shown(row), names) for row in rows])


@router.get("/{name}", response_model=Pool)
def read_pool(name: PathName, call: Asked, fields: PoolFields = None) -> Response:
    """Look at a pool."""
    names = selected(Pool, fields)
    with call.database.reading() as connection:
        row, version = pools.one(connection, name), versions.of(connection, versions.POOL, name)
    return call.conditions.told(picked(_shown(row), names), version)


@router.put("/{name}", response_model=Pool, responses=refusals(Contradiction, InvalidSchedule))
def set_pool(name: PathName, body: PoolRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """
    Declare a pool, or declare it anew, as a revision; the same again changes nothing.

    What runs on a worker that goes is left alone: the worker takes nothing new, and ends when the last has ended.
    """
    definition = body.definition()
    with call.writing(dry_run=dry_run) as connection:
        row = pools.put(connection, name, definition, actor=call.actor, now=call.now)
    _ring(call, dry_run=dry_run)
    return answer(picked(_shown(row), _FIELDS))


@router.delete("/{name}", response_model=Pool)
def remove_pool(name: PathName, call: Asked, dry_run: DryRun = False) -> Response:
    """Remove a pool, as a revision. Its workers drain, and end."""
    with call.writing(dry_run=dry_run) as connection:
        row = pools.remove(connection, name, actor=call.actor, now=call.now)
    _ring(call, dry_run=dry_run)
    return answer(picked(_shown(row), _FIELDS))


def _shown(row: pools.Row) -> dict[str, Any]:
    return {**row, "workers": [picked(each, _WORKER) for each in row["workers"]]}


def _ring(call: Call, *, dry_run: bool) -> None:
    if not dry_run:
        call.pulse.ring(beat_bell())
