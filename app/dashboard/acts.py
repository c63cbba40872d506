"""What buttons do: as the API does it, and then back to the page."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response

from app.call import Asked
from app.forms import PROVEN, Proven, local
from app.jobs import JobId, places_of, wake
from levare.pulse import beat_bell
from levare.store import jobs, resubmitting
from levare.store.ids import new_id

router = APIRouter(include_in_schema=False, prefix="/act")


@router.post("/jobs/{job_id}/cancel")
def cancel_on_page(job_id: JobId, call: Asked, form: Proven) -> Response:
    """Ask to cancel a job."""
    with call.writing() as connection:
        job = jobs.wish_cancel(connection, job_id, actor=call.actor, now=call.now)
        where = places_of(connection, job)
    wake(call, where)
    return RedirectResponse(local(form.get("back", ""), f"/jobs/{job_id}"), 303)


@router.post("/jobs/{job_id}/resubmit", dependencies=[PROVEN])
def resubmit_on_page(job_id: JobId, call: Asked) -> Response:
    """Submit what was asked for again, as a new job."""
    with call.writing() as connection:
        wish = resubmitting.wish_of(connection, job_id, now=call.now)
        job = jobs.submit(connection, wish, job_id=new_id(), actor=call.actor, now=call.now, rules=call.rules)
    call.pulse.ring_soon(beat_bell())
    return RedirectResponse(f"/jobs/{job['id']}", 303)
