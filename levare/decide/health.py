"""Whether a machine is to blame: nodes and GPUs on which different work fails soon after its start."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import takewhile

from levare.model import FAILED, SUCCEEDED, Node

SOON = timedelta(seconds=60)
"""What fails within this time of its start has hardly begun its work."""
ENOUGH = 3
"""So many different families of jobs that fail in a row are no accident."""
LOOK_BACK = timedelta(hours=1)
REST = timedelta(minutes=30)


def failed_soon(outcome: str, started_at: datetime | None, ended_at: datetime | None) -> bool:
    """Whether it failed within `SOON` of its start, or could not even be started."""
    return outcome == FAILED and is_soon(started_at, ended_at)


def is_soon(started_at: datetime | None, ended_at: datetime | None) -> bool:
    return started_at is None or ended_at is None or ended_at - started_at < SOON


@dataclass(frozen=True)
class Run:
    """An attempt that has ended, and where it ran."""

    job_id: str
    family: str
    user: str
    node: str
    devices: frozenset[str]
    outcome: str
    started_at: datetime | None
    ended_at: datetime


@dataclass(frozen=True)
class Exclusion:
    """This node, or only this GPU of it, takes nothing new until then."""

    node: str
    device: str | None
    until: datetime
    reason: str
    jobs: tuple[str, ...]


def suspects(
    runs: Iterable[Run], nodes: Sequence[Node], *, cleared: Mapping[str, datetime], now: datetime
) -> list[Exclusion]:
    """
    The nodes and GPUs on which jobs of three families, or of three users, failed soon in a row without a success.

    A GPU is judged by the jobs on it, its node by all others. `cleared` says of a node or GPU until when it was
    excluded last: what ended before does not count again. If nothing would be left that takes jobs, the
    cause is not in the machines, and none is excluded.
    """
    recent = [run for run in runs if now - run.ended_at <= LOOK_BACK]
    found = [
        exclusion
        for node in nodes
        if not node.note
        for exclusion in _of_node(node, [run for run in recent if run.node == node.name], cleared, now)
    ]
    return _spared(found, nodes)


def _of_node(node: Node, runs: Sequence[Run], cleared: Mapping[str, datetime], now: datetime) -> list[Exclusion]:
    usable = [device for device in node.devices if not device.blocked]
    bad = {
        device.uuid: (device.index, blamed)
        for device in usable
        if (blamed := _blamed([run for run in runs if device.uuid in run.devices], cleared.get(device.uuid)))
    }
    gpus = [_exclusion(node, uuid, f"GPU {index} of {node.name}", jobs, now) for uuid, (index, jobs) in bad.items()]
    others = _blamed([run for run in runs if not bad.keys() & run.devices], cleared.get(node.name))
    return [*gpus, _exclusion(node, None, node.name, others, now)] if others else gpus


def _blamed(runs: Sequence[Run], cleared: datetime | None) -> list[Run]:
    """The failures, newest first, for which this place is to blame; none if it is not."""
    newest_first = sorted(
        (run for run in runs if cleared is None or run.ended_at > cleared),
        key=lambda run: (run.ended_at, run.job_id),
        reverse=True,
    )
    since_success = takewhile(lambda run: run.outcome != SUCCEEDED, newest_first)
    failures = [run for run in since_success if failed_soon(run.outcome, run.started_at, run.ended_at)]
    return failures if _differ(failures) else []


def _differ(failures: Sequence[Run]) -> bool:
    families, users = {run.family for run in failures}, {run.user for run in failures}
    return len(families) >= ENOUGH or (len(families) == 1 and len(users) >= ENOUGH)


def _exclusion(node: Node, device: str | None, place: str, failures: Sequence[Run], now: datetime) -> Exclusion:
    jobs = tuple(dict.fromkeys(run.job_id for run in failures))
    named = ", ".join(jobs[:ENOUGH]) + (f" and {len(jobs) - ENOUGH} more" if len(jobs) > ENOUGH else "")
    until, soon = now + REST, f"{SOON.total_seconds():g} s"
    reason = (
        f"Different jobs failed within {soon} of their start on {place}, with no success between them: {named}. "
        f"It takes jobs again at {until:%Y-%m-%d %H:%M:%S} UTC, or by `levare resume {node.name}`."
    )
    return Exclusion(node.name, device, until, reason, jobs)


def _spared(found: Sequence[Exclusion], nodes: Sequence[Node]) -> list[Exclusion]:
    """Without the exclusions after which no node, or no GPU, were left."""
    ready = [node for node in nodes if node.state == "ready" and not node.note]
    bad_nodes = {each.node for each in found if each.device is None}
    if bad_nodes >= {node.name for node in ready}:
        bad_nodes = set[str]()
    gpus = {
        device.uuid for node in ready if node.name not in bad_nodes for device in node.devices if not device.blocked
    }
    bad_gpus = {each.device for each in found if each.device}
    return [each for each in found if (not bad_gpus >= gpus if each.device else each.node in bad_nodes)]
