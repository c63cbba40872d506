"""
What a run costs: the price of its node for the time that it holds its part of it.

The part is its dominant share (Ghodsi et al. 2011), the greatest of its parts of the GPUs, the CPUs and the memory: who
holds all GPUs of a node keeps others from it, however many CPUs are left. Prices are per node and hour, in whatever
currency the team uses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from levare.decide.use import gpus_held
from levare.model import Node, Request, Waiting

_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Bill:
    """What a run is expected to cost: typically, and at most if it takes as long as is promised."""

    typical: float
    most: float


def share(node: Node, devices: Mapping[str, int], request: Request) -> float:
    """The part of a node that a run with these devices (UUID -> MiB) takes: from 0 to 1."""
    memory_mib = {device.uuid: device.memory_mib for device in node.devices}
    gpus = gpus_held(devices, memory_mib) / len(memory_mib) if memory_mib else 0.0
    memory = request.memory_mib / node.memory_mib if node.memory_mib else 0.0
    return min(1.0, max(gpus, request.cpus / node.cpus, memory))


def cost(price: float, part: float, elapsed: timedelta) -> float:
    """Of a part of a node for a time, at a price per hour of the whole node."""
    return price * part * (max(elapsed, timedelta()) / _HOUR)


def expected_cost(job: Waiting, nodes: Sequence[Node]) -> Bill | None:
    """
    What one run will cost on one of these nodes (a gang: on as many of them as it asks for).

    Typically as long as is usual on the cheapest of them, at most as long as promised on the dearest. A node without a
    price costs nothing. None if none of them has a price, or nothing tells how long it takes.
    """
    if job.expected is None or all(node.price is None for node in nodes):
        return None
    rates = sorted(_per_hour(node, job.request) for node in nodes)
    count = job.request.nodes
    return Bill(
        cost(sum(rates[:count]), 1.0, job.expected.typical),
        cost(sum(rates[-count:]), 1.0, job.expected.promised),
    )


def _per_hour(node: Node, request: Request) -> float:
    """Of what the request would hold of the node, on any devices of it that are large enough."""
    fitting = [device for device in node.devices if device.memory_mib >= (request.gpu_memory_mib or 0)]
    devices = {each.uuid: request.gpu_memory_mib or each.memory_mib for each in fitting[: request.gpus]}
    return (node.price or 0.0) * share(node, devices, request)
