"""Why a job has failed: its dossier."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.answers import At, AttemptState, Point, Sample, answer
from app.call import Asked, Call
from app.jobs import JobId
from app.metrics import AttemptNumber
from app.pages import picked
from app.samples import Asking, Series
from levare.manifest.values import FailureName
from levare.store import dossiers

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

BEFORE = timedelta(minutes=10)
_MOST_SAMPLES = 600
_LAST_BUCKET = timedelta(minutes=1)
Rank = Annotated[int | None, Query(ge=0, le=10_000, description="Which part of a gang.", examples=[0])]


class Evidence(BaseModel):
    """A line that speaks for the class."""

    source: str = Field(
        description="`log`, `kernel`, `metrics`, or the `ending` that levare saw itself.", examples=["log"]
    )
    text: str = Field(examples=["torch.OutOfMemoryError: CUDA out of memory."])
    offset: int | None = Field(description="Where it stands in the log, in bytes; null elsewhere.", examples=[40960])


class LastLine(BaseModel):
    offset: int = Field(description="Where it begins in the log, in bytes.", examples=[40960])
    text: str = Field(description="Without colours and what was overwritten.", examples=["step 1200 loss 0.31"])


class GoodRun(BaseModel):
    """The last run of the same family that succeeded before."""

    job: str = Field(examples=["a1b2c3d4e5"])
    attempt: str = Field(examples=["a1b2c3d4e5-1"])
    number: int = Field(examples=[1])
    node: str = Field(examples=["node-a"])
    ended_at: At


class FailureChange(BaseModel):
    """Something that was otherwise in the last good run."""

    kind: str = Field(
        description="`code`, `dependencies`, `configuration`, `data`, `node`, `driver` or `interpreter`.",
        examples=["dependencies"],
    )
    name: str = Field(examples=["numpy"])
    before: str | None = Field(description="null for what was not there.", examples=["1.26.4"])
    after: str | None = Field(description="null for what is not there any more.", examples=["2.1.0"])


class SameFailures(BaseModel):
    """How often the family has failed by the same lately."""

    days: int = Field(description="In so many days.", examples=[30])
    failures: int = Field(examples=[3])
    attempts: int = Field(description="Of so many attempts that ended.", examples=[20])


class Dossier(BaseModel):
    """All that is known of a failure."""

    job: str = Field(examples=["k3v9x2m1qa"])
    name: str = Field(examples=["resnet-50"])
    family: str = Field(examples=["vision/imagenet/resnet-50"])
    attempt: str = Field(examples=["k3v9x2m1qa-1"])
    number: int = Field(examples=[1])
    rank: int = Field(examples=[0])
    state: AttemptState = Field(examples=["failed"])
    node: str = Field(examples=["node-a"])
    reason: str | None = Field(examples=["Exited with code 1."])
    exit_code: int | None = Field(examples=[1])
    signal: int | None = Field(examples=[None])
    started_at: At | None
    ended_at: At | None
    peak_memory_mib: int | None = Field(description="MiB of main memory at most.", examples=[2048])
    gpu_memory_mib: int | None = Field(description="MiB of GPU memory at most.", examples=[18000])
    gpu_utilisation_percent: float | None = Field(description="Mean over its GPUs and its life.", examples=[87.5])
    failure: FailureName = Field(description="Its class.", examples=["gpu_memory"])
    title: str = Field(description="The class in words.", examples=["ran out of GPU memory"])
    exception: str | None = Field(description="Its type, if one ended it.", examples=["torch.OutOfMemoryError"])
    evidence: list[Evidence] = Field(description="What speaks for the class, strongest first.")
    next_step: str = Field(description="What to do.", examples=["Make the batch smaller."])
    last_lines: list[LastLine] = Field(description="Of its log, at most 20.")
    metrics: list[Point] = Field(description="The last lines of its metrics, at most 10.")
    samples: list[Sample] = Field(description="Of its last ten minutes, oldest first; empty if they are gone.")
    last_good: GoodRun | None = Field(description="null if none of its family has succeeded before.")
    changes: list[FailureChange] = Field(description="What differs from the last good run, as far as both are known.")
    provenance: dict[str, Any] = Field(
        description="What its node saw when it started: code, locks, script, packages, python, driver, kernel.",
        examples=[{"python_version": "3.11.9", "locks": {"uv.lock": "4be1a09c77d2"}}],
    )
    submitted_code: dict[str, Any] | None = Field(
        description="What the checkout held from which it was submitted.", examples=[{"commit": "3f2a9c1d0b7e"}]
    )
    same_failures: SameFailures


_FIELDS = tuple(Dossier.model_fields)
_POINT = tuple(Point.model_fields)


@router.get("/failure", response_model=Dossier)
def read_failure(job_id: JobId, call: Asked, attempt: AttemptNumber = None, rank: Rank = None) -> Response:
    """
    Why an attempt has failed, with the lines that say so, its end, and what has changed since the last good run.

    By default the last attempt that has failed, and of a gang the part that failed first.
    """
    with call.database.reading() as connection:
        found = dossiers.load(connection, job_id, number=attempt, rank=rank, now=call.now)
    points = [picked(row, _POINT) for row in found["metrics"]]
    return answer(picked({**found, "metrics": points, "samples": _samples(call, found)}, _FIELDS))


def _samples(call: Call, found: dossiers.Row) -> list[dict[str, Any]]:
    """Those of its last ten minutes: second by second as long as Redis has them, then as they are kept in SQL."""
    ended = found["ended_at"] or call.now
    newest = call.pulse.samples("attempt", found["attempt"], since=ended - BEFORE, limit=_MOST_SAMPLES)
    return newest or Series(call, "attempt", found["attempt"]).items(Asking(ended - BEFORE, ended + _LAST_BUCKET))
