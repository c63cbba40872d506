"""What buttons and forms do: what the API does, and then back to the page."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path
from pydantic import ValidationError
from starlette.responses import RedirectResponse, Response

from app import alert_rules, alerts, jobs, nodes, pipelines, plans, problems, schedules
from app.alerts import Acknowledgement, Number, SilenceNumber, SilenceRequest
from app.bodies import Activity, PriorityRequest, RunRequest, WantedNodeState
from app.call import Asked
from app.forms import PROVEN, Proven, local
from app.jobs import JobId
from app.once import without_key
from app.plan_bodies import ApplyRequest, PlanRequest, SavedPlan
from levare.errors import Fault, StalePlan
from levare.manifest.faults import in_words
from levare.manifest.values import Body
from levare.pulse import beat_bell
from levare.store import jobs as jobs_store
from levare.store import resubmitting
from levare.store.ids import new_id

router = APIRouter(include_in_schema=False, prefix="/act")

B = TypeVar("B", bound=Body)
_SEE_OTHER = 303
_LONGEST_NUMBER = 7


@router.post("/jobs/{job_id}/cancel")
def cancel_on_page(job_id: JobId, call: Asked, form: Proven) -> Response:
    """Ask to cancel a job."""
    jobs.cancel_job(job_id, call)
    return _back(form, f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/priority")
def set_priority_on_page(job_id: JobId, call: Asked, form: Proven) -> Response:
    """Let a job come earlier or later."""
    jobs.set_priority(job_id, _body(PriorityRequest, priority=_whole(form.get("priority", ""))), call)
    return _back(form, f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/resubmit", dependencies=[PROVEN])
def resubmit_on_page(job_id: JobId, call: Asked) -> Response:
    """Submit what was asked for again, as a new job."""
    with call.writing() as connection:
        wish = resubmitting.wish_of(connection, job_id, now=call.now)
        job = jobs_store.submit(connection, wish, job_id=new_id(), actor=call.actor, now=call.now, rules=call.rules)
    call.pulse.ring_soon(beat_bell())
    return RedirectResponse(f"/jobs/{job['id']}", _SEE_OTHER)


@router.post("/pipelines/{pipeline_id}/cancel")
def cancel_pipeline_on_page(pipeline_id: pipelines.PipelineId, call: Asked, form: Proven) -> Response:
    """Ask to cancel all that is left of a pipeline."""
    pipelines.cancel_pipeline(pipeline_id, call)
    return _back(form, f"/pipelines/{pipeline_id}")


@router.post("/schedules/{name}/state")
def set_schedule_state_on_page(name: schedules.ScheduleName, call: Asked, form: Proven) -> Response:
    """Pause a schedule, or have it go on."""
    schedules.set_schedule_state(name, _activity(form), call)
    return _back(form, f"/schedules/{name}")


@router.post("/schedules/{name}/run")
def run_schedule_on_page(name: schedules.ScheduleName, call: Asked, form: Proven) -> Response:
    """Submit the work of a schedule now."""
    schedules.run_schedule(name, RunRequest(), call, without_key(call))
    return _back(form, f"/schedules/{name}")


@router.post("/nodes/{name}/state")
def set_node_state_on_page(name: nodes.NodeName, call: Asked, form: Proven) -> Response:
    """Give a node nothing new, or let it take jobs again."""
    nodes.set_node_state(name, _body(WantedNodeState, state=form.get("state", "")), call)
    return _back(form, "/nodes")


@router.post("/alerts/{number}/acknowledge")
def acknowledge_on_page(number: Number, call: Asked, form: Proven) -> Response:
    """Say that somebody looks after it."""
    alerts.acknowledge_alert(number, _body(Acknowledgement, note=form.get("note", "")), call)
    return _back(form, "/alerts")


@router.post("/silences")
def add_silence_on_page(call: Asked, form: Proven) -> Response:
    """Have nobody told of some alerts for some hours."""
    said = {name: form[name].strip() or None for name in ("rule", "job", "team", "node") if name in form}
    ends_at = call.now + timedelta(hours=_whole(form.get("hours", "")) or 0)
    reason = form.get("reason", "")
    alerts.add_silence(
        _body(SilenceRequest, **said, ends_at=ends_at.isoformat(), reason=reason), call, without_key(call)
    )
    return _back(form, "/alerts")


@router.post("/silences/{number}/end")
def end_silence_on_page(number: SilenceNumber, call: Asked, form: Proven) -> Response:
    """End a silence now."""
    alerts.remove_silence(number, call)
    return _back(form, "/alerts")


@router.post("/alert-rules/{name}/state")
def set_rule_state_on_page(name: alert_rules.RuleName, call: Asked, form: Proven) -> Response:
    """Switch a rule off, or on again."""
    alert_rules.set_alert_rule_state(name, _activity(form), call)
    return _back(form, f"/alerts/rules/{name}")


@router.post("/revisions/{number}/rollback")
def roll_back_on_page(
    number: Annotated[int, Path(ge=0, le=1 << 31, description="The revision to go back to.", examples=[11])],
    call: Asked,
    form: Proven,
) -> Response:
    """Apply the plan that was shown, exactly as it was shown."""
    wanted = _body(PlanRequest, rollback_to=number, in_flight=form.get("in_flight", "keep"), effect=False)
    document = plans.planned(wanted, call)
    if document["digest"] != form.get("digest"):
        fault = Fault("digest", "is not that of the plan as it is now", form.get("digest"), document["digest"])
        raise StalePlan(
            "What is declared has changed since this plan was shown.",
            "Look at the new plan, and confirm that.",
            [fault],
        )
    plan = SavedPlan.model_validate({**document, "changes": list(document["changes"])})
    plans.apply_plan(_body(ApplyRequest, plan=plan, reason=form.get("reason", "")), call, without_key(call))
    return RedirectResponse("/revisions", _SEE_OTHER)


def _back(form: Mapping[str, str], otherwise: str) -> Response:
    return RedirectResponse(local(form.get("back", ""), otherwise), _SEE_OTHER)


def _activity(form: Mapping[str, str]) -> Activity:
    return _body(Activity, state=form.get("state", ""), reason=form.get("reason", ""))


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _LONGEST_NUMBER else None


def _body(model: type[B], **values: Any) -> B:
    """What a program would send; raise InvalidRequest for what it may not say, as the API does."""
    try:
        return model(**values)
    except ValidationError as error:
        raise problems.invalid([_fault(each) for each in error.errors(include_url=False)]) from None


def _fault(error: Mapping[str, Any]) -> Fault:
    message, limit = in_words(error)
    return Fault(".".join(map(str, error["loc"])), message, error.get("input"), limit)
