"""What runs, as decisions about fairness weigh it, and which runs are parts of one job."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple

from levare.decide.once import instant, once, span
from levare.decide.use import GPUS_PER_CPU, gpus_held
from levare.model import Duration, Held, Node

ENTRY = timedelta(hours=1)
"""What starts counts at once as if it had run for so long, or for its typical time if that is shorter."""
Owner = tuple[str, str, str]
"""Team, project and user."""
_NOT_YET = 1 << 63
"""After any instant: what has not been placed has run for no time."""


class Run(NamedTuple):
    """One attempt: its job, the GPUs that it holds, its rate in weighted GPUs, and two times in microseconds."""

    job_id: str
    gpus: float
    rate: float
    placed: int
    entry: int
    """For so long it counts at least."""


@once
def memory_of(node: Node) -> Mapping[str, int]:
    """The MiB of each of its GPUs."""
    return {device.uuid: device.memory_mib for device in node.devices}


@once
def runs_on(node: Node) -> Sequence[tuple[Owner, Run]]:
    return [((held.team, held.project, held.user), _as_run(held, memory_of(node))) for held in node.held]


@once
def ending_on(node: Node) -> Sequence[Held]:
    """What has been told to end."""
    return [held for held in node.held if held.is_ending]


def by_owner(nodes: Iterable[Node]) -> list[tuple[Owner, list[Run]]]:
    """What runs, by whose it is, in their order."""
    found: dict[Owner, list[Run]] = defaultdict(list)
    for node in nodes:
        for owner, run in runs_on(node):
            found[owner].append(run)
    return sorted(found.items(), key=lambda entry: entry[0])


def entry(expected: Duration | None) -> timedelta:
    return min(expected.typical, ENTRY) if expected else ENTRY


def _as_run(held: Held, memory_mib: Mapping[str, int]) -> Run:
    gpus = gpus_held(held.devices, memory_mib)
    placed = instant(held.placed_at) if held.placed_at else _NOT_YET
    return Run(held.job_id, gpus, gpus + GPUS_PER_CPU * held.cpus, placed, span(entry(held.expected)))


class Parts:
    """What each job holds: of a gang one part on each of its nodes."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._held: dict[str, Held] = {}
        for node in nodes:
            self._held.update(_by_job(node))
        has_gangs = sum(len(node.held) for node in nodes) > len(self._held)
        self._gangs = self._gangs_of(nodes) if has_gangs else {}

    def of(self, job_id: str) -> Sequence[Held]:
        return self._gangs.get(job_id) or (self._held[job_id],)

    def _gangs_of(self, nodes: Sequence[Node]) -> Mapping[str, Sequence[Held]]:
        everything = [held for node in nodes for held in node.held]
        gangs = {held.job_id for held in everything if self._held[held.job_id] is not held}
        parts: dict[str, list[Held]] = defaultdict(list)
        for held in everything:
            if held.job_id in gangs:
                parts[held.job_id].append(held)
        return parts


@once
def _by_job(node: Node) -> Mapping[str, Held]:
    return {held.job_id: held for held in node.held}
