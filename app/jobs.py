"""Jobs: submit, list, look at, cancel, and why one waits."""

from collections.abc import Iterable
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from sqlalchemy import Connection
from starlette.responses import Response

from app import veil
from app.answers import ArrayWish, Attempt, Attempts, Job, Jobs, JobState, answer, listed
from app.bodies import PriorityRequest
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.once import OnceOnly
from app.pages import Cursor, Limit, cursor_after, fields_of, page, picked, place_of, selected
from app.why import Verdict, Why
from levare.errors import (
    CanNeverRun,
    Conflict,
    Contradiction,
    InvalidArray,
    InvalidRequest,
    QuotaQueued,
    UnknownNeeds,
)
from levare.intake import submission
from levare.manifest.jobs import JobRequest
from levare.manifest.patterns import NO_NUL
from levare.manifest.values import FailureName
from levare.model import FINAL
from levare.pulse import beat_bell, node_bell
from levare.store import arrays, attempts, explain, job_lists, jobs, priorities, trends, versions, views
from levare.store.ids import new_id
from levare.store.job_lists import JobFilter

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

JobId = Annotated[str, Path(max_length=64, description="The id of a job.", examples=["k3v9x2m1qa"])]
Exactly = Annotated[str | None, Query(max_length=200, pattern=NO_NUL, description="Only jobs with exactly this.")]
States = Annotated[list[JobState] | None, Query(description="Only these states; repeat it for several.")]
Failures = Annotated[
    list[FailureName] | None, Query(description="Only jobs whose latest attempt has failed so; repeat it for several.")
]
OfArray = Annotated[str | None, Query(max_length=64, description="Only elements of this array, by their index.")]
Order = Annotated[Literal["newest", "oldest"], Query(description="What comes first.")]
JobFields = Annotated[str | None, fields_of(Job)]
AttemptFields = Annotated[str | None, fields_of(Attempt)]
_FIELDS = tuple(Job.model_fields)
JOB_REFUSALS = (
    *(InvalidRequest, Contradiction, InvalidArray, UnknownNeeds, CanNeverRun, Conflict),
    QuotaQueued,
)
"""Why a submit may be refused."""


@router.post(
    "",
    status_code=HTTPStatus.CREATED,
    response_model=Job,
    responses={200: {"model": Verdict, "description": "A dry run: what would happen."}} | refusals(*JOB_REFUSALS),
)
def submit_job(body: JobRequest, call: Asked, once: OnceOnly, dry_run: DryRun = False) -> Response:
    """
    Submit a command.

    It starts when what it needs has succeeded, its time has come and there is room. A job that no node
    could ever run, that contradicts itself, that needs a job which has failed, or that is one too many for
    the quota of its team, is refused.
    """
    if dry_run:
        return answer(_verdict(body, call))
    response = once.answer(lambda connection: made_job(_submit(connection, body, call), call))
    call.pulse.ring_soon(beat_bell())
    return response


def made_job(job: views.Row, call: Call) -> Response:
    return answer(shown_job(job, call), HTTPStatus.CREATED, {"Location": f"/v1/jobs/{job['id']}"})


def shown_job(job: views.Row, call: Call, names: Iterable[str] = _FIELDS) -> dict[str, Any]:
    return picked({**job, "currency": call.rules.currency}, names)


def _submit(connection: Connection, body: JobRequest, call: Call) -> views.Row:
    return jobs.submit(connection, submission(body), job_id=new_id(), actor=call.actor, now=call.now, rules=call.rules)


def _verdict(body: JobRequest, call: Call) -> dict[str, Any]:
    with call.writing(dry_run=True) as connection:
        job = _submit(connection, body, call)
        case = explain.load(connection, job["id"], now=call.now, rules=call.rules)
    return {"accepted": True} | veil.why(call.database, case.tell(), call.seen) | {"job": None}


@router.get("", response_model=Jobs)
def list_jobs(
    call: Asked,
    *,
    state: States = None,
    team: Exactly = None,
    project: Exactly = None,
    name: Exactly = None,
    user: Exactly = None,
    array: OfArray = None,
    failure: Failures = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    order: Order = "newest",
    fields: JobFields = None,
) -> Response:
    """
    List jobs, in an order that no new job disturbs.

    An array is one job here; its elements are listed with `array`, and among others where a `state` or a `failure` is
    asked for.
    """
    names = selected(Job, fields)
    wanted = JobFilter(state or (), team, project, name, user, array, failure or (), call.seen)
    after, is_newest_first = place_of(cursor), order == "newest"
    with call.database.reading() as connection:
        rows = job_lists.find(
            connection, wanted, limit=limit + 1, after=after, newest_first=is_newest_first, names=names
        )
        rows = trends.with_left(connection, rows, now=call.now)
    return page(rows, limit, cursor_after, partial(shown_job, call=call, names=names))


@router.get("/{job_id}", response_model=Job)
def read_job(job_id: JobId, call: Asked, fields: JobFields = None) -> Response:
    """Look at a job."""
    names = selected(Job, fields)
    with call.database.reading() as connection:
        [job] = trends.with_left(connection, [views.job(connection, job_id)], now=call.now)
    return call.conditions.told(shown_job(job, call, names), versions.of_job(job))


@router.delete(
    "/{job_id}",
    status_code=HTTPStatus.ACCEPTED,
    response_model=Job,
    responses={200: {"model": Job, "description": "The job is final, or this was a dry run: nothing was changed."}},
)
def cancel_job(job_id: JobId, call: Asked, dry_run: DryRun = False) -> Response:
    """
    Ask to cancel a job.

    The wish is recorded at once; a process that runs gets SIGTERM, and SIGKILL after its grace.
    Asking again changes nothing.
    """
    with call.writing(dry_run=dry_run) as connection:
        job = jobs.wish_cancel(connection, job_id, actor=call.actor, now=call.now)
        where = places_of(connection, job)
    if dry_run or job["state"] in FINAL:
        return answer(shown_job(job, call))
    wake(call, where)
    return answer(shown_job(job, call), HTTPStatus.ACCEPTED)


def places_of(connection: Connection, job: views.Row) -> list[str]:
    """The nodes on which something of a job runs."""
    find = arrays.nodes_of if job["array"] else attempts.live_nodes
    return find(connection, job["id"])


def wake(call: Call, nodes: Iterable[str]) -> None:
    """Tell beat and these nodes that there is something to do."""
    for bell in (beat_bell(), *map(node_bell, nodes)):
        call.pulse.ring(bell)


@router.put("/{job_id}/priority", response_model=Job, responses=refusals(Conflict))
def set_priority(job_id: JobId, body: PriorityRequest, call: Asked, dry_run: DryRun = False) -> Response:
    """Let a job that has not begun come earlier or later; of an array that is for the elements still to begin."""
    with call.writing(dry_run=dry_run) as connection:
        job = priorities.put(connection, job_id, body.priority, actor=call.actor, now=call.now)
    if not dry_run:
        wake(call, ())
    return answer(shown_job(job, call))


@router.get("/{job_id}/array", response_model=ArrayWish)
def read_array(job_id: JobId, call: Asked) -> Response:
    """What tells the elements of an array apart, as a submit takes it."""
    with call.database.reading() as connection:
        return answer(views.array(connection, job_id))


@router.get("/{job_id}/attempts", response_model=Attempts)
def list_attempts(job_id: JobId, call: Asked, fields: AttemptFields = None) -> Response:
    """List the attempts of a job, first to last."""
    names = selected(Attempt, fields)
    with call.database.reading() as connection:
        rows = views.job_attempts(connection, job_id)
        rows = veil.attempts(connection, rows, call.seen)
    return listed([picked({**row, "job": job_id}, names) for row in rows])


@router.get("/{job_id}/why", response_model=Why)
def explain_job(job_id: JobId, call: Asked) -> Response:
    """
    Why a job waits, with numbers; when it will start, who comes first, what would start it now.

    Of a job that does not wait, what became of it. Estimates hold as long as nothing more urgent is submitted.
    """
    with call.database.reading() as connection:
        case = explain.load(connection, job_id, now=call.now, rules=call.rules)
    return answer(veil.why(call.database, case.tell(), call.seen))
