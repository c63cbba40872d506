"""Nodes: the machines, what is free on them, whether they take new attempts."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlalchemy import Connection
from starlette.responses import Response

from app import samples, veil
from app.answers import Device, Node, Nodes, NodeSamples, Orphan, Reap, Reaped, answer
from app.bodies import WantedNodeState
from app.call import Asked, Call, DryRun
from app.document import refusals
from app.pages import fields_of, picked, selected
from app.samples import Newest, Since, Step, Until
from levare.errors import Conflict, Contradiction
from levare.pulse import SAMPLES_KEPT, beat_bell, node_bell
from levare.store import audit, health, nodes, pool_workers, reaping, versions, views

router = APIRouter(prefix="/v1/nodes", tags=["nodes"])

NodeName = Annotated[str, Path(max_length=63, description="The name of a node.", examples=["node-a"])]
NodeFields = Annotated[str | None, fields_of(Node)]
_FIELDS = tuple(Node.model_fields)
_DEVICE = tuple(Device.model_fields)
_ORPHAN, _REAPED = tuple(Orphan.model_fields), tuple(Reaped.model_fields)
_REAPING = {200: {"model": Reap, "description": "A dry run: these would be ended."}} | refusals(Conflict)


@router.get("", response_model=Nodes)
def list_nodes(call: Asked, fields: NodeFields = None) -> Response:
    """List the nodes with what is free, what runs, and their last heartbeat."""
    names = selected(Node, fields)
    with call.database.reading() as connection:
        rows = veil.nodes(connection, views.find_nodes(connection), call.seen)
    beats = call.pulse.heartbeats()
    return answer({"items": [picked(_with_sample(row, beats.get(row["name"])), names) for row in rows]})


@router.get("/{name}", response_model=Node)
def read_node(name: NodeName, call: Asked, fields: NodeFields = None) -> Response:
    """Look at a node."""
    names = selected(Node, fields)
    with call.database.reading() as connection:
        [row] = veil.nodes(connection, [views.node(connection, name)], call.seen)
        version = versions.of(connection, versions.NODE, name)
    return call.conditions.told(picked(_with_sample(row, call.pulse.heartbeat_of(name)), names), version)


@router.get("/{name}/samples", response_model=NodeSamples, responses=refusals(Contradiction))
def list_node_samples(
    name: NodeName,
    call: Asked,
    *,
    since: Since = None,
    until: Until = None,
    step: Step = None,
    limit: Newest = SAMPLES_KEPT,
) -> Response:
    """
    What the node measured of itself.

    Without a time or a step it is second by second, of the last hour at most; with one it comes in buckets of 10 s,
    1 min or 15 min, as fine as it is still kept: for months.
    """
    with call.database.reading() as connection:
        views.node(connection, name)
    return answer({"items": samples.Series(call, "node", name).items(samples.Asking(since, until, step, limit))})


@router.put("/{name}/state", response_model=Node, responses=refusals(Conflict))
def set_node_state(name: NodeName, body: WantedNodeState, call: Asked, dry_run: DryRun = False) -> Response:
    """
    Drain a node, or have it take new attempts again, also on what was excluded for failing.

    A node that is lost comes back by itself.
    """
    with call.writing(dry_run=dry_run) as connection:
        row = _set_state(connection, name, body.state, call)
    if not dry_run:
        call.pulse.ring(beat_bell())
        call.pulse.ring(node_bell(name))
    return answer(picked(_with_sample(row, call.pulse.heartbeat_of(name)), _FIELDS))


@router.get("/{name}/reap", response_model=Reap)
def read_reap(name: NodeName, call: Asked) -> Response:
    """Look at what ended attempts have left behind on the GPUs of a node, and what became of what was to be ended."""
    with call.database.reading() as connection:
        row = views.node(connection, name)
    return answer(_reap(row))


@router.post("/{name}/reap", status_code=HTTPStatus.ACCEPTED, response_model=Reap, responses=_REAPING)
def reap_orphans(name: NodeName, call: Asked, dry_run: DryRun = False) -> Response:
    """Have a node end what ended attempts left behind on its GPUs, after proving it again; nothing else is touched."""
    with call.writing(dry_run=dry_run) as connection:
        row = reaping.wish(connection, name, actor=call.actor, now=call.now)
    if dry_run:
        return answer(_reap(row) | {"requested_at": None})
    call.pulse.ring(node_bell(name))
    return answer(_reap(row), HTTPStatus.ACCEPTED)


def _reap(row: views.Row) -> dict[str, Any]:
    return {
        "node": row["name"],
        "requested_at": row["reap_requested_at"],
        "orphans": [picked(each, _ORPHAN) for each in row["orphans"]],
        "reaped": [picked(each, _REAPED) for each in row["reaped"]],
    }


def _set_state(connection: Connection, name: str, state: str, call: Call) -> views.Row:
    before = views.node(connection, name)
    if state == "ready" and health.readmit(connection, name, now=call.now):
        was = {"before": {"excluded_reason": before["excluded_reason"]}, "after": None}
        audit.record(connection, call.actor, "node.readmitted", name, now=call.now, **was)
    if state == "ready":
        pool_workers.refuse_resume(connection, name)
    if before["state"] == state:
        return views.node(connection, name)
    if not nodes.set_state(connection, name, state):
        raise Conflict(f"Node {name} is lost.", "Start its worker again; then it is ready, or still draining.")
    audit.record(connection, call.actor, "node.state_set", name, now=call.now, before=before["state"], after=state)
    return views.node(connection, name)


def _with_sample(row: views.Row, sample: Mapping[str, float] | None) -> views.Row:
    return {**row, "sample": sample or None, "devices": [picked(each, _DEVICE) for each in row["devices"]]}
