"""From a request for a job, however it came, to what the store records: by the API, or by a plain Celery message."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from levare.errors import Fault, InvalidRequest
from levare.manifest.faults import in_words
from levare.manifest.jobs import JobRequest
from levare.store.jobs import Submission

GPU, CPU = "gpu", "cpu"
_USUAL_PRIORITY = 5


def submission(body: JobRequest) -> Submission:
    fields: dict[str, Any] = {name: getattr(body, name) for name in JobRequest.model_fields}
    needs = {need.job: need.on for need in body.needs}
    code = body.code and body.code.model_dump()
    env = {name: value if isinstance(value, str) else value.model_dump() for name, value in body.env.items()}
    more = {"env": env, "needs": needs, "array": body.array and body.array.elements(), "code": code}
    return Submission(**{**fields, **more})


def request_of(
    args: Sequence[Any], kwargs: Mapping[str, Any], *, queue: str, priority: int | None, eta: str | None
) -> JobRequest:
    """
    What a message of `levare.submit` wishes: its command, and the fields of a submit by their names.

    What the message itself says stands in for what these leave out: its queue for a GPU, its priority (0, which is
    what Celery sends for none, is none), its time. Raises InvalidRequest.
    """
    wish = {**_from_message(queue, priority, eta, kwargs), **kwargs}
    if args:
        wish = {"command": args[0], **wish}
    if len(args) > 1:
        wish["args"] = list(args)  # which no field is called
    try:
        return JobRequest.model_validate(wish)
    except ValidationError as error:
        raise _refused(error) from None


def _from_message(queue: str, priority: int | None, eta: str | None, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    asks_for_gpus = any(kwargs.get(name) for name in ("gpus", "gpu_memory_mib", "gpu_model"))
    told = {"priority": priority or _USUAL_PRIORITY} | ({"start_after": eta} if eta else {})
    return told | ({"gpus": 1} if queue == GPU and not asks_for_gpus else {})


def _refused(error: ValidationError) -> InvalidRequest:
    faults = [_fault(each) for each in error.errors()]
    said = "; ".join(f"{fault.field}: {fault.message}" for fault in faults[:5])
    return InvalidRequest(f"{said}.", "Send what POST /v1/jobs takes.", faults)


def _fault(error: Mapping[str, Any]) -> Fault:
    message, limit = in_words(error)
    return Fault(".".join(str(part) for part in error["loc"]) or "message", message, error.get("input"), limit)
