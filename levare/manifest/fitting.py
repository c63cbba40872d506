"""Whether any pool could run a job. What a pool does not say, it has."""

from collections.abc import Mapping

from levare.decide.placement import can_never_run
from levare.manifest.jobs import JobRequest
from levare.manifest.pools import OffersRequest, PoolRequest
from levare.model import Device, Node, Request
from levare.written import simulated_devices

_PLENTY = 1 << 40
_MOST_CPUS, _MOST_GPUS = 65536, 64
_FIELDS = {"too-many-gpus": "gpus", "too-much-cpus": "cpus", "too-much-memory": "memory_mib"}


def unfit(job: JobRequest, pools: Mapping[str, PoolRequest]) -> tuple[str, str] | None:
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


def _node(name: str, pool: PoolRequest, request: Request) -> Node:
    """The best worker that the pool can have: what it says, and whatever else the request asks for."""
    offers = pool.offers or OffersRequest.model_validate({"cpus": _MOST_CPUS, "gpus": _MOST_GPUS})
    sizes = simulated_devices(offers.simulated_gpus) if offers.simulated_gpus else [_PLENTY] * offers.gpus
    model = "" if offers.simulated_gpus else request.gpu_model or ""
    devices = [Device(f"{name}-{index}", index, size, model) for index, size in enumerate(sizes)]
    labels = {**dict(request.require), **pool.select, **pool.labels, "pool": name}
    return Node(name, "ready", offers.cpus, offers.memory_mib or _PLENTY, devices, labels=labels)
