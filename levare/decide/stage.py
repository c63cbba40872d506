"""The nodes and the queue of a replay as beat would see them: what is as it was stays the same object."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from levare.decide.learned import Durations
from levare.model import Decision, Held, Node, Placement, Waiting
from levare.model.past import PastJob

CHECKPOINT_EVERY = timedelta(minutes=30)


@dataclass(eq=False)
class Run:
    """A job on its nodes, one placement for each."""

    job: PastJob
    placements: Sequence[Placement]
    began: datetime
    ends: datetime
    stops: datetime | None = None
    """When it has ended at the latest, once it was told to make room for the job `ends_for`."""
    ends_for: str | None = None

    def saved(self, now: datetime) -> timedelta:
        """What it keeps if it has to make room now."""
        return (now - self.began) // CHECKPOINT_EVERY * CHECKPOINT_EVERY if self.job.saves else timedelta()


@dataclass
class Crew:
    """The nodes with what runs on them."""

    nodes: Sequence[Node]
    durations: Durations

    def __post_init__(self) -> None:
        self._on: dict[str, dict[str, tuple[Run, Placement]]] = {node.name: {} for node in self.nodes}
        self._seen: dict[str, Node] = {}
        self._held: dict[tuple[str, int], tuple[tuple[object, ...], Held]] = {}

    def add(self, run: Run) -> None:
        for placement in run.placements:
            self._on[placement.node][run.job.id] = run, placement

    def remove(self, run: Run) -> None:
        for placement in run.placements:
            del self._on[placement.node][run.job.id]
            self._held.pop((run.job.id, placement.rank), None)

    def seen(self, now: datetime) -> list[Node]:
        return [self._as_seen(node, now) for node in self.nodes]

    def _as_seen(self, node: Node, now: datetime) -> Node:
        held = [self._as_held(run, placement, now) for run, placement in self._on[node.name].values()]
        known = self._seen.get(node.name)
        if (
            known is None
            or len(known.held) != len(held)
            or any(a is not b for a, b in zip(known.held, held, strict=True))
        ):
            known = self._seen[node.name] = replace(node, held=held)
        return known

    def _as_held(self, run: Run, placement: Placement, now: datetime) -> Held:
        saved = run.saved(now)
        state = (run, self.durations.versions[run.job.family], saved, run.stops)
        known = self._held.get((run.job.id, placement.rank))
        if known is None or known[0] != state:
            known = self._held[run.job.id, placement.rank] = (state, self._read(run, placement, saved))
        return known[1]

    def _read(self, run: Run, placement: Placement, saved: timedelta) -> Held:
        job, request = run.job, run.job.request
        return Held(
            f"{job.id}.{placement.rank}",
            job.id,
            placement.devices,
            request.cpus,
            request.memory_mib,
            request.scratch_mib,
            request.resources,
            team=job.team,
            project=job.project,
            user=job.user,
            priority=job.priority,
            preemptible=job.preemptible,
            min_runtime=job.min_runtime,
            placed_at=run.began,
            safe_at=run.began + saved if saved else None,
            expected=self.durations.expected(job.family, job.limit),
            limit=self.durations.limit(job.family, job.limit),
            is_ending=run.stops is not None,
            ending_for=run.ends_for,
        )


@dataclass
class Wishes:
    """What waits, as placement sees it."""

    durations: Durations

    def __post_init__(self) -> None:
        self._owed: dict[str, datetime] = {}
        """When others were last told to make room for a job that has not started since."""
        self._promised: Mapping[str, datetime] = {}
        self._known: dict[str, tuple[tuple[object, ...], Waiting]] = {}

    def of(self, job: PastJob) -> Waiting:
        """The same object as long as nothing of it has changed."""
        state = (self.durations.versions[job.family], self._owed.get(job.id), self._promised.get(job.id))
        known = self._known.get(job.id)
        if known is None or known[0] != state:
            known = self._known[job.id] = (state, self._read(job))
        return known[1]

    def note(self, decision: Decision, now: datetime) -> None:
        for placement in decision.placements:
            self._owed.pop(placement.job_id, None)
            self._known.pop(placement.job_id, None)
        self._owed |= {preemption.for_job: now for preemption in decision.preemptions}
        made = decision.promises.items()
        self._promised = {job_id: self._promised.get(job_id, promise.at) for job_id, promise in made}

    def _read(self, job: PastJob) -> Waiting:
        return Waiting(
            job.id,
            job.request,
            job.priority,
            job.came_at,
            team=job.team,
            project=job.project,
            user=job.user,
            family=job.family,
            expected=self.durations.expected(job.family, job.limit),
            only_between=job.only_between,
            owed_since=self._owed.get(job.id),
            promised_at=self._promised.get(job.id),
        )
