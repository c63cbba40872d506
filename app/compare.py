"""Runs beside each other."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from app.answers import answer
from app.call import Asked
from app.document import refusals
from app.metric_answers import Comparison
from app.metrics import Best, Name, Stage, goals_of
from levare.errors import Contradiction, NotFound
from levare.manifest.patterns import NO_NUL, RUN
from levare.store import comparing, ownership

router = APIRouter(prefix="/v1/compare", tags=["jobs"])

Jobs = Annotated[
    list[Annotated[str, Query(max_length=72, pattern=RUN)]] | None,
    Query(
        max_length=50,
        description="A job, by its latest attempt, or an attempt as k3v9x2m1qa-1. Repeat it for several.",
        examples=[["k3v9x2m1qa"]],
    ),
]
Schedule = Annotated[
    str | None, Query(max_length=200, pattern=NO_NUL, description="The last runs of it.", examples=["nightly"])
]
Family = Annotated[
    str | None,
    Query(max_length=400, pattern=NO_NUL, description="The last runs of it.", examples=["vision/imagenet/resnet-50"]),
]
Last = Annotated[int, Query(ge=1, le=100, description="So many runs of a schedule or family.", examples=[20])]


@router.get("", response_model=Comparison, responses=refusals(Contradiction, NotFound))
def compare_runs(
    call: Asked,
    *,
    job: Jobs = None,
    schedule: Schedule = None,
    family: Family = None,
    last: Last = 20,
    stage: Stage = None,
    name: Name = None,
    best: Best = None,
) -> Response:
    """
    Compare jobs or attempts, or the last runs of a schedule or of a family, which come oldest first.

    Of a job it is the latest attempt, and of a gang rank 0.
    """
    if (bool(job), schedule is not None, family is not None).count(True) != 1:
        raise Contradiction(
            "One of job, schedule and family says what is compared, and only one of them.",
            "Ask for job=A&job=B, or schedule=NAME, or family=TEAM/PROJECT/NAME.",
        )
    goals, jobs = goals_of(best), [_attempt(each) for each in job or ()]
    with call.database.reading() as connection:
        ownership.refuse_hidden(connection, [name for name, _ in jobs], call.seen)
        if job:
            found = comparing.of_jobs(connection, jobs)
        else:
            found = comparing.of_work(connection, schedule=schedule, family=family, most=last, seen=call.seen)
        compared = comparing.compared(connection, found, stage=stage, name=name, goals=goals)
    return answer({"runs": compared.runs, "metrics": compared.metrics})


def _attempt(wanted: str) -> tuple[str, int | None]:
    """A job and the number of an attempt of it."""
    job, dash, number = wanted.partition("-")
    return job, int(number) if dash else None
