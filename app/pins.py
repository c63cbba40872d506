"""What a run was pinned to, what differs between two, and to repeat one."""

from dataclasses import asdict
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import Connection
from starlette.responses import Response

from app.answers import answer
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.jobs import JOB_REFUSALS, JobId, shown_job
from app.metrics import AttemptNumber
from app.once import OnceOnly
from app.pin_answers import Diff, Pins, Repeated, RerunRequest
from levare.errors import NotFound
from levare.manifest.patterns import RUN
from levare.pulse import beat_bell
from levare.store import again, jobs, ownership, pinned
from levare.store.ids import new_id

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["jobs"])

With = Annotated[
    str,
    Query(
        alias="with",
        max_length=72,
        pattern=RUN,
        description="A job, by its latest attempt, or an attempt as k3v9x2m1qa-1.",
        examples=["k3v9x2m1qa"],
    ),
]
WithPatch = Annotated[bool, Query(description="With the uncommitted changes themselves.", examples=[True])]


@router.get("/pins", response_model=Pins, responses=refusals(NotFound))
def read_pins(job_id: JobId, call: Asked, *, attempt: AttemptNumber = None, patch: WithPatch = False) -> Response:
    """
    What an attempt was pinned to: code with its uncommitted changes, dependencies, environment, seed, data, node.

    Its node looks when it has started, so it may take a moment until it is there; `missing` says what is not.
    """
    with call.database.reading() as connection:
        return answer(pinned.of_job(connection, job_id, attempt, with_patch=patch))


@router.get("/diff", response_model=Diff, responses=refusals(NotFound))
def compare_pins(job_id: JobId, call: Asked, *, other: With, attempt: AttemptNumber = None) -> Response:
    """What differs between an attempt and another one: code, dependencies, parameters, seed, data, machine, results."""
    job, dash, number = other.partition("-")
    with call.database.reading() as connection:
        ownership.refuse_hidden(connection, [job], call.seen)
        found = pinned.between(connection, (job_id, attempt), (job, int(number) if dash else None))
    return answer(found)


@router.post(
    "/reruns",
    status_code=HTTPStatus.CREATED,
    response_model=Repeated,
    responses={200: {"model": Repeated, "description": "A dry run: nothing was submitted."}} | refusals(*JOB_REFUSALS),
)
def rerun_job(job_id: JobId, body: RerunRequest, call: Asked, once: OnceOnly, dry_run: DryRun = False) -> Response:
    """
    Submit a job again, with the code, environment, seed and data that one of its attempts was pinned to.

    Its code is checked out in a folder of its own on the node that runs it, from the repository of then; where that
    cannot be reached the new job fails before it starts. What was not pinned is taken as it is now, and `missing`
    says so.
    """
    response = once.answer(lambda connection: _repeated(connection, job_id, body, call, dry_run), dry_run=dry_run)
    if not dry_run:
        call.pulse.ring_soon(beat_bell())
    return response


def _repeated(connection: Connection, job_id: str, body: RerunRequest, call: Call, dry_run: bool) -> Response:
    wish = again.again(connection, job_id, number=body.attempt, pinned=body.pinned, strict=body.strict, now=call.now)
    if body.strict:
        wish.refuse_missing()
    job = jobs.submit(connection, wish.wish, job_id=new_id(), actor=call.actor, now=call.now, rules=call.rules)
    told = {
        "job": shown_job(job, call),
        "repeats": wish.attempt,
        "code_restored": wish.restores_code,
        "missing": [asdict(each) for each in wish.missing],
    }
    if dry_run:
        return answer(told)
    return answer(told, HTTPStatus.CREATED, {"Location": f"/v1/jobs/{job['id']}"})
