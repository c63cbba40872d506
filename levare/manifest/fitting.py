"""Whether any pool could run a job. What a pool does not say, it has."""

from collections.abc import Mapping
from typing import Any

from levare.decide.placement import can_never_run
from levare.manifest.jobs import JobRequest
from levare.model import Device, Node, Request

_PLENTY = 1 << 40
_MOST_GPUS = 64
_FIELDS = {"too-many-gpus": "gpus", "too-much-cpus": "cpus", "too-much-memory": "memory_mib"}


def unfit(job: JobRequest, pools: Mapping[str, Any]) -> tuple[str, str] | None:
    """The field that asks for too much and why, where no pool could ever run this job."""
    request = request_of(job)
    reason = can_never_run(request, [_node(name, pool, request) for name, pool in pools.items()])
    if reason is None:
        return None
    return _FIELDS.get(reason.code, "require"), reason.message.rstrip(".")


def request_of(job: JobRequest) -> Request:
    """On one node: how many there are nobody knows before they join."""
    gpus = job.gpus or int((job.gpu_memory_mib or job.gpu_model) is not None)
    require, avoid = tuple(job.require.items()), tuple(job.avoid.items())
    amounts = (gpus, job.gpu_memory_mib, job.cpus, job.memory_mib)
    return Request(*amounts, gpu_model=job.gpu_model, require=require, avoid=avoid)


def _node(name: str, pool: Any, request: Request) -> Node:
    gpus = _MOST_GPUS if pool.gpus is None else pool.gpus
    model = (request.gpu_model or "") if pool.gpu_model is None else pool.gpu_model
    devices = [Device(f"{name}-{index}", index, pool.gpu_memory_mib or _PLENTY, model) for index in range(gpus)]
    labels = {**dict(request.require), **pool.select}
    return Node(name, "ready", pool.cpus or _PLENTY, pool.memory_mib or _PLENTY, devices, labels=labels)
