"""`/metrics`: the fleet as Prometheus reads it."""

from fastapi import APIRouter, Request
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from app.call import Asked
from app.gauges import families
from levare.store import telemetry

router = APIRouter(tags=["metrics"])

_TEXT = {"schema": {"type": "string"}}
_MEDIA = {"text/plain": _TEXT, "application/openmetrics-text": _TEXT}


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"description": "Metrics of the whole fleet, as text.", "content": _MEDIA}},
)
def read_metrics(call: Asked, request: Request) -> Response:
    """
    Nodes, GPUs under the names that DCGM gives them, jobs, the queue, schedules and the conductor.

    In Prometheus's own format, or in OpenMetrics if that is accepted. What Redis knows is of the last second, and left
    out while Redis is away. A token of the role `metrics` is enough.
    """
    with call.database.reading() as connection:
        facts = telemetry.load(connection, now=call.now)
    found = families(facts, call.pulse.heartbeats(), call.pulse.beat_told(), now=call.now)
    encode, media = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(found), media_type=media)
