"""What schedules will take, by their definitions and by what their families have taken: the facts of an outlook."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from itertools import chain
from math import ceil
from typing import Any

from sqlalchemy import Connection

from levare.decide.durations import expected
from levare.decide.families import Family
from levare.decide.outlook import Plan, Stage
from levare.decide.pipelines import in_order
from levare.decide.timing import timing_of
from levare.model import LOST, Duration, Node
from levare.store import families, pool_workers, windows
from levare.store.fleet import load_emptied
from levare.store.jobs import Submission, name_of
from levare.store.work import pipeline_of, submission_of

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Outlook:
    """Schedules with what they take, and the fleet as if nothing ran on it, with its windows."""

    plans: Sequence[Plan]
    nodes: Sequence[Node]

    @property
    def fleet(self) -> int:
        """How many GPUs there are."""
        return sum(len(node.devices) for node in self.nodes if node.state != LOST)

    def plan_of(self, name: str) -> Plan:
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> Mapping[str, Plan]:
        return {plan.name: plan for plan in self.plans}


def load(connection: Connection, schedules: Sequence[Row], *, now: datetime) -> Outlook:
    """What these schedules take, each by its `name`, `owner` and `definition`."""
    kept = windows.by_node(connection, now=now)
    fleet = pool_workers.with_prospects(connection, load_emptied(connection), now=now)
    nodes = [replace(node, windows=kept.get(node.name, ())) for node in fleet]
    works = {row["name"]: _jobs_of(row["definition"]) for row in schedules}
    names = [_family(step, job) for step, job in chain.from_iterable(works.values())]
    reckoner = _Reckoner(nodes, families.known(connection, names))
    plans = [
        Plan(row["name"], timing_of(row["definition"]), reckoner.stages(works[row["name"]]), row["owner"])
        for row in schedules
    ]
    return Outlook(plans, nodes)


def _jobs_of(definition: Row) -> Sequence[tuple[str, Submission]]:
    if "pipeline" in definition:
        return pipeline_of(definition["pipeline"]).steps
    return [("", submission_of(definition["job"]))]


def _family(step: str, job: Submission) -> str:
    return f"{job.team}/{job.project}/{job.name or step or name_of(job.command)}"


class _Reckoner:
    """What jobs hold of a fleet, and how long, as far as their families tell."""

    def __init__(self, nodes: Iterable[Node], known: Mapping[str, Family]) -> None:
        devices = [device for node in nodes for device in node.devices]
        self._gpus = len(devices)
        self._largest = max((device.memory_mib for device in devices), default=0)
        self._known = known

    def stages(self, jobs: Sequence[tuple[str, Submission]]) -> list[Stage]:
        """The jobs of a work, each from when the last that it needs has typically ended."""
        found = {step: self._stage(step, job) for step, job in jobs}
        needed = {step: [name for name in job.needs if name in found] for step, job in jobs}
        for step in in_order(needed) or ():
            ends = (found[name].after + found[name].taken.typical for name in needed[step])
            found[step] = replace(found[step], after=max(ends, default=timedelta()))
        return list(found.values())

    def _stage(self, step: str, job: Submission) -> Stage:
        """An array has as many elements at once as its cap and the fleet allow."""
        each, size = self._gpus_of(job), job.array.size if job.array else 1
        room = int(self._gpus // each) if each else size
        at_once = max(1, min(size, (job.array and job.array.cap) or size, room))
        duration = self._duration(step, job)
        turns = ceil(size / at_once)
        whole = duration and Duration(duration.typical * turns, duration.promised * turns)
        return Stage(job.request, job.team, each * at_once, whole)

    def _gpus_of(self, job: Submission) -> float:
        """Of all its nodes; a part of a GPU counts as the part of the largest that there is."""
        request = job.request
        part = 1.0
        if request.gpu_memory_mib is not None and self._largest:
            part = min(1.0, request.gpu_memory_mib / self._largest)
        return request.gpus * request.nodes * part

    def _duration(self, step: str, job: Submission) -> Duration | None:
        family = self._known.get(_family(step, job))
        limit = timedelta(seconds=job.timeout_seconds) if job.timeout_seconds else None
        return expected(family.seconds if family else (), limit)
