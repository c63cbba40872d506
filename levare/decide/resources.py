"""What heartbeats say of the resource that a trigger is about, in percent."""

from collections.abc import Mapping

from levare.decide.declared import Resource

Sample = Mapping[str, float]


def readings(when: Resource, heartbeats: Mapping[str, Sample]) -> dict[str, float]:
    """Of each node, or GPU as `node/gpu0`, that is meant and says anything of it."""
    found: dict[str, float] = {}
    for node, sample in sorted(heartbeats.items()):
        if when.node in (None, node):
            found |= _of_gpus(node, sample) if when.resource == "gpu" else _of_node(when, node, sample)
    return found


def _of_node(when: Resource, node: str, sample: Sample) -> dict[str, float]:
    if when.resource == "memory":
        used, total = sample.get("memory_used_mib"), sample.get("memory_total_mib")
        return {node: 100 * used / total} if used is not None and total else {}
    value = sample.get({"cpu": "cpu_percent", "disk": "disk_used_percent"}[when.resource])
    return {} if value is None else {node: value}


def _of_gpus(node: str, sample: Sample) -> dict[str, float]:
    return {
        f"{node}/{name.removesuffix(_BUSY)}": value
        for name, value in sample.items()
        if name.startswith("gpu") and name.endswith(_BUSY)
    }


_BUSY = "_utilisation_percent"
