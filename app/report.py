"""What was asked for and used, what failed and what stood idle; and how the runs of a family went."""

from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field
from starlette.responses import Response

from app.answers import At, AttemptState, answer, listed
from app.call import Asked, Call
from app.document import refusals
from app.pages import picked
from levare.decide.report import FamilyUse, proposals
from levare.errors import Contradiction, Fault
from levare.manifest.patterns import NO_NUL
from levare.manifest.values import FailureName, Time
from levare.store import family_runs, reports

router = APIRouter(prefix="/v1", tags=["reports"])

USUAL = timedelta(days=30)
Since = Annotated[
    Time | None,
    Query(description="What ended from then on; of the last 30 days by default.", examples=["2030-01-01T00:00:00Z"]),
]
Until = Annotated[Time | None, Query(description="What ended before; now by default.")]
OfTeam = Annotated[str | None, Query(max_length=63, pattern=NO_NUL, description="Only of this team.")]
OfFamily = Annotated[str | None, Query(max_length=400, pattern=NO_NUL, description="Only this family.")]
OfSchedule = Annotated[str | None, Query(max_length=200, pattern=NO_NUL, description="Only runs of this schedule.")]
FamilyName = Annotated[str, Path(max_length=400, description="team/project/name.", examples=["vision/imagenet/resnet"])]
Most = Annotated[int, Query(ge=1, le=200, description="At most so many runs, the newest.", examples=[30])]


class AskedFor(BaseModel):
    """What the newest run asked for."""

    cpus: int = Field(examples=[8])
    memory_mib: int = Field(description="MiB; 0 for nothing.", examples=[65536])
    gpus: int = Field(examples=[1])
    gpu_memory_mib: int | None = Field(description="MiB of each; null for whole GPUs.", examples=[None])
    gpu_total_mib: int | None = Field(description="MiB that it held of a GPU; null without one.", examples=[81920])
    timeout_seconds: int | None = Field(examples=[86400])


class UsedAtMost(BaseModel):
    """What all but one in a hundred of the runs that succeeded used at most; null where nothing was measured."""

    cpus: float | None = Field(description="CPUs that were kept busy on average.", examples=[2.1])
    memory_mib: float | None = Field(description="MiB at its peak.", examples=[11264.0])
    gpu_memory_mib: float | None = Field(description="MiB of all its GPUs at its peak.", examples=[18000.0])
    gpu_utilisation_percent: float | None = Field(description="Half of the runs were busier.", examples=[71.5])
    seconds: float | None = Field(description="From start to end.", examples=[7200.0])


class FamilyReport(BaseModel):
    name: str = Field(examples=["vision/imagenet/resnet-50"])
    team: str = Field(examples=["vision"])
    attempts: int = Field(description="That ended in this time.", examples=[34])
    succeeded: int = Field(examples=[30])
    failed: int = Field(examples=[4])
    gpu_hours: float = Field(description="That it held.", examples=[120.5])
    idle_hours: float = Field(description="GPU-hours of those in which its GPUs were not busy.", examples=[31.2])
    wait_seconds: float | None = Field(description="From submit to placement, on average.", examples=[340.0])
    typical_seconds: float | None = Field(description="Half of the runs took less.", examples=[6100.0])
    cost: float | None = Field(description="In LEVARE_CURRENCY; null without prices.", examples=[55.1])
    energy_joules: float | None = Field(description="Of its GPUs.", examples=[36000000.0])
    asked: AskedFor
    used: UsedAtMost
    failures: dict[str, int] = Field(description="Class -> how often.", examples=[{"gpu_memory": 3, "nan": 1}])


class ProposalAnswer(BaseModel):
    """What to ask for instead."""

    family: str = Field(examples=["vision/imagenet/resnet-50"])
    what: str = Field(examples=["memory"])
    text: str = Field(description="Why.", examples=["asks 64GiB, p99 of 30 runs uses 11GiB"])
    option: str = Field(description="For `levare submit`.", examples=["--memory 14GiB"])
    patch: dict[str, int] = Field(description="For a request or a schedule.", examples=[{"memory_mib": 14336}])


class ReportTotals(BaseModel):
    attempts: int = Field(examples=[34])
    succeeded: int = Field(examples=[30])
    failed: int = Field(examples=[4])
    gpu_hours: float = Field(examples=[120.5])
    idle_hours: float = Field(description="GPU-hours held, not used.", examples=[31.2])
    cost: float | None = Field(examples=[55.1])
    energy_joules: float | None = Field(examples=[36000000.0])
    failures: dict[str, int] = Field(description="Class -> how often.", examples=[{"gpu_memory": 3, "nan": 1}])


class Report(BaseModel):
    since: At
    until: At
    team: str | None = Field(examples=["vision"])
    currency: str = Field(examples=["EUR"])
    totals: ReportTotals
    teams: dict[str, ReportTotals] = Field(description="By the names of the teams.")
    families: list[FamilyReport] = Field(description="Those with the most GPU-hours first, 500 at most.")
    proposals: list[ProposalAnswer]


class FamilyRun(BaseModel):
    """An attempt that has ended."""

    attempt: str = Field(examples=["k3v9x2m1qa-1"])
    job: str = Field(examples=["k3v9x2m1qa"])
    number: int = Field(examples=[1])
    schedule: str | None = Field(examples=["nightly"])
    due_at: At | None
    state: AttemptState = Field(examples=["succeeded"])
    failure: FailureName | None = Field(examples=[None])
    node: str = Field(examples=["node-a"])
    ended_at: At
    wait_seconds: float | None = Field(description="From submit to placement.", examples=[12.0])
    seconds: float | None = Field(description="From start to end; null if it never started.", examples=[6100.0])
    cost: float | None = Field(examples=[1.2])
    energy_joules: float | None = Field(examples=[3600000.0])
    peak_memory_mib: int | None = Field(examples=[11264])
    gpu_memory_mib: int | None = Field(examples=[18000])
    gpu_utilisation_percent: float | None = Field(examples=[71.5])
    metrics: dict[str, dict[str, dict[str, float | None]]] = Field(
        description="Stage -> metric -> its least and greatest value.",
        examples=[{"val": {"accuracy": {"best_min": 0.1, "best_max": 0.93}}}],
    )


class FamilyRuns(BaseModel):
    items: list[FamilyRun]


_RUN = tuple(FamilyRun.model_fields)


@router.get("/report", response_model=Report, responses=refusals(Contradiction))
def read_report(
    call: Asked, since: Since = None, until: Until = None, team: OfTeam = None, family: OfFamily = None
) -> Response:
    """Asked against used, GPU-hours that stood idle, failures by class, waits, and right sizes to ask for instead."""
    end = until or call.now
    begin = since or end - USUAL
    _refuse_backwards(begin, end)
    return answer(reported(call, begin, end, team=team, family=family))


def reported(
    call: Call, begin: datetime, end: datetime, *, team: str | None = None, family: str | None = None
) -> dict[str, Any]:
    """A report as it is answered."""
    with call.database.reading() as connection:
        found = reports.use_of_families(connection, since=begin, until=end, team=team, family=family, seen=call.seen)
    told = {"since": begin, "until": end, "team": team, "currency": call.rules.currency, "totals": _totals(found)}
    names = sorted({each.team for each in found})
    teams = {name: _totals([each for each in found if each.team == name]) for name in names}
    proposed = [asdict(each) for each in proposals(found)]
    return {**told, "teams": teams, "families": [asdict(each) for each in found], "proposals": proposed}


def _refuse_backwards(since: datetime, until: datetime) -> None:
    if since >= until:
        fault = Fault("since", "is not before until", since.isoformat(), until.isoformat())
        raise Contradiction("The time of the report is empty.", "Give a `since` that is before `until`.", [fault])


def _totals(found: list[FamilyUse]) -> dict[str, Any]:
    counted = ("attempts", "succeeded", "failed", "gpu_hours", "idle_hours")
    failures: dict[str, int] = {}
    for each in found:
        for name, times in each.failures.items():
            failures[name] = failures.get(name, 0) + times
    return {
        **{name: sum(getattr(each, name) for each in found) for name in counted},
        **{name: _sum_of_known(found, name) for name in ("cost", "energy_joules")},
        "failures": dict(sorted(failures.items(), key=lambda item: (-item[1], item[0]))),
    }


def _sum_of_known(found: list[FamilyUse], name: str) -> float | None:
    known = [value for each in found if (value := getattr(each, name)) is not None]
    return sum(known) if known else None


@router.get("/families/{name:path}/history", response_model=FamilyRuns)
def list_family_runs(
    name: FamilyName, call: Asked, since: Since = None, schedule: OfSchedule = None, limit: Most = 30
) -> Response:
    """How the runs of a family went: how long they waited and took, their best metrics, cost, energy and failures."""
    with call.database.reading() as connection:
        rows = family_runs.runs(connection, name, since=since, schedule=schedule, limit=limit)
    return listed([picked(row, _RUN) for row in rows])
