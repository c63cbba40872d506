"""What a training tells of itself, and what its processes use."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from app import samples
from app.answers import Point, Samples, Usage, answer
from app.call import Asked
from app.document import refusals
from app.jobs import JobId
from app.metric_answers import Metrics
from app.pages import NumberCursor, by, page, picked, picking
from app.samples import Newest, Since, Step, Until
from levare.decide.summaries import Direction
from levare.errors import Contradiction
from levare.manifest.patterns import NO_NUL, WAY
from levare.pulse import SAMPLES_KEPT
from levare.store import trends, views

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

MOST_OFFSET = (1 << 63) - 1
AttemptNumber = Annotated[
    int | None, Query(ge=1, le=1_000_000, description="Which attempt; the latest by default.", examples=[1])
]
Rank = Annotated[int, Query(ge=0, le=10_000, description="Which part of a gang; 0 is the first.", examples=[0])]
Stage = Annotated[str | None, Query(max_length=128, pattern=NO_NUL, description="Only this stage.", examples=["train"])]
Name = Annotated[str | None, Query(max_length=128, pattern=NO_NUL, description="Only this metric.", examples=["loss"])]
Lines = Annotated[int, Query(ge=1, le=10_000, description="The most lines in one answer.", examples=[1000])]
Points = Annotated[
    int | None,
    Query(
        ge=2,
        le=10_000,
        description="Answer with `curves` instead of lines, each in at most so many points that look like all of them.",
        examples=[500],
    ),
]
Best = Annotated[
    list[Annotated[str, Query(max_length=140, pattern=WAY)]] | None,
    Query(
        max_length=100,
        description="Which way is better where no name says it: METRIC:min or METRIC:max. Repeat it for several.",
        examples=[["score:max"]],
    ),
]
_POINT, _USAGE = tuple(Point.model_fields), tuple(Usage.model_fields)


@router.get("/metrics", response_model=Metrics, responses=refusals(Contradiction))
def list_metrics(
    job_id: JobId,
    call: Asked,
    *,
    attempt: AttemptNumber = None,
    rank: Rank = 0,
    stage: Stage = None,
    name: Name = None,
    cursor: NumberCursor = None,
    limit: Lines = 1000,
    points: Points = None,
    best: Best = None,
) -> Response:
    """
    Lines of an attempt's metrics, oldest first, or curves for a plot; and a summary of all of them.

    The summary is exact also where points were thinned because there are very many; `thinned` says then how.
    """
    beyond, goals = int(cursor) if cursor else -1, goals_of(best)
    with call.database.reading() as connection:
        found = views.attempt(connection, job_id, attempt, rank=rank)
        if found is None:
            return answer(_NOTHING | {"curves": None if points is None else []})
        told = {
            "summary": trends.summary(connection, found["id"], stage=stage, name=name, goals=goals),
            "params": trends.params(connection, found["id"]),
            "thinned": trends.thinning(connection, found),
        }
        if points is not None:
            curves = trends.plotted(connection, found["id"], stage=stage, name=name, most=points)
            return answer({"items": [], "next_cursor": None, "curves": curves} | told)
        rows = views.points(connection, found["id"], stage=stage, name=name, after=beyond, limit=limit + 1)
    return page(rows, limit, by("offset"), picking(_POINT), curves=None, **told)


_NOTHING: dict[str, Any] = {"items": [], "next_cursor": None, "summary": {}, "params": {}, "thinned": None}


def goals_of(said: list[str] | None) -> dict[str, Direction]:
    """`["score:max"]` as a mapping; raise Contradiction where one metric was said to go both ways."""
    goals: dict[str, Direction] = {}
    for each in said or ():
        name, _, way = each.rpartition(":")
        if goals.setdefault(name, "min" if way == "min" else "max") != way:
            raise Contradiction(f"best says both ways of {name!r}.", f"Say {name}:min or {name}:max.")
    return goals


@router.get("/samples", response_model=Samples, responses=refusals(Contradiction))
def list_samples(
    job_id: JobId,
    call: Asked,
    *,
    attempt: AttemptNumber = None,
    rank: Rank = 0,
    since: Since = None,
    until: Until = None,
    step: Step = None,
    limit: Newest = SAMPLES_KEPT,
) -> Response:
    """
    What the processes of an attempt and its GPUs used, and what in all.

    Without a time or a step it is second by second, of the last 24 hours at most; what ended before that, and whatever
    is asked with a time or a step, comes in buckets of 10 s, 1 min or 15 min, as fine as it is still kept.
    """
    with call.database.reading() as connection:
        found = views.attempt(connection, job_id, attempt, rank=rank)
    if found is None:
        return answer({"items": [], "usage": dict.fromkeys(_USAGE)})
    asking = samples.Asking(since, until, step, limit)
    items = samples.Series(call, "attempt", found["id"]).items(asking, ended=found["ended_at"])
    return answer({"items": items, "usage": picked(found, _USAGE)})
