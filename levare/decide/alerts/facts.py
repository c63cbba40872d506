"""What rules read: what runs, what has ended, the nodes, and what is known of each family of jobs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import takewhile

from levare.decide.alerts.pace import Pace

Key = tuple[str, str]
"""Stage and metric."""
Sample = Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Job:
    id: str
    name: str
    team: str
    project: str
    family: str
    user: str
    schedule: str | None = None
    trigger: str | None = None
    array: str | None = None
    """The array that it is an element of."""

    @property
    def title(self) -> str:
        return f"{self.name} ({self.id} of {self.user}, team {self.team})"


@dataclass(frozen=True)
class Activity:
    """What the processes of an attempt did over some time, by its samples."""

    is_idle: bool
    """No CPU, no GPU, no disk."""
    is_steady: bool
    """It computes, but nothing moves: same memory, same processes, no disk, and a GPU that is always the same."""
    words: str


@dataclass(frozen=True)
class Point:
    """A line of metrics; what is no finite number is NaN or an infinity."""

    at: datetime
    stage: str
    step: int | None
    values: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Live:
    """An attempt that runs, or (`is_over`) that has just ended and is looked at a last time."""

    job: Job
    attempt: str
    node: str
    started_at: datetime
    pace: Pace
    gpus: int = 0
    log_at: datetime | None = None
    """When its log last grew, as far as anybody saw it."""
    watched_since: datetime | None = None
    """When somebody began to look, if it had written something before: nobody knows when."""
    saved_at: datetime | None = None
    """When it last saved a checkpoint."""
    activity: Activity | None = None
    """None where that is not known."""
    points: Sequence[Point] = ()
    """The newest of each kind, oldest first."""
    unread_before: datetime | None = None
    """Of what it told before then not all was read; None if all was."""
    gpu_percent: float | None = None
    """How busy its GPUs are now, on average."""
    lines: Mapping[str, str] = field(default_factory=dict)
    """Rule -> the first new line of its log that the pattern of this rule matches."""
    is_over: bool = False
    ended_at: datetime | None = None

    @property
    def told_at(self) -> datetime:
        """When it last gave any sign of life: a step, a line, a checkpoint, its start."""
        signs = (self.started_at, self.pace.seen_at, self.log_at, self.watched_since, self.saved_at)
        return max(at for at in signs if at is not None)


@dataclass(frozen=True)
class Summary:
    """What is kept of a run that has succeeded: its pace, and what its metrics came to."""

    startup: float | None = None
    """Seconds to the first step."""
    gap: float = 0.0
    """The longest time between two steps."""
    intervals: Mapping[str, float] = field(default_factory=dict)
    """Stage -> the median of seconds between two steps."""
    metrics: Mapping[Key, tuple[float, float, float]] = field(default_factory=dict)
    """Last, least and greatest value."""


@dataclass(frozen=True)
class Profile:
    """What is known of a family: how many seconds its successful runs took, and their summaries, oldest first."""

    seconds: Sequence[float] = ()
    runs: Sequence[Summary] = ()

    @property
    def startup(self) -> float:
        return max((run.startup for run in self.runs if run.startup is not None), default=0.0)

    @property
    def gap(self) -> float:
        return max((run.gap for run in self.runs), default=0.0)

    def intervals(self, stage: str) -> list[float]:
        return [run.intervals[stage] for run in self.runs if stage in run.intervals]


@dataclass(frozen=True, kw_only=True)
class Over:
    """A job that has ended."""

    job: Job
    state: str
    reason: str
    at: datetime
    attempts: int = 1
    seconds: float | None = None
    exit_code: int | None = None
    node: str | None = None
    failure: str | None = None
    """The class of it, where that is known."""
    summary: Summary | None = None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    job: Job
    since: datetime
    asks: str
    """Such as `2 GPUs, 8 CPUs`."""


@dataclass(frozen=True, kw_only=True)
class Node:
    name: str
    state: str
    renewed_at: datetime
    silent: timedelta = timedelta()
    """Since its lease was last renewed, by the watch of whoever looks."""
    renews: bool = True
    """Whether it has renewed its lease since somebody looks."""
    sample: Sample | None = None
    """Its last heartbeat; None if there is none."""
    heartless: timedelta | None = None
    """How long it has had no heartbeat though its lease is fresh; None where nothing can be known of heartbeats."""
    jobs: Sequence[str] = ()
    """What runs there, by id."""


@dataclass(frozen=True)
class Filling:
    """How full a disk is, by the last hour: samples of time in seconds and percent, oldest first."""

    points: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, kw_only=True)
class Facts:
    now: datetime
    live: Sequence[Live] = ()
    over: Sequence[Over] = ()
    """That have ended since the last look, in their order."""
    settling: Collection[str] = ()
    """Jobs, by id, whose attempt has ended, and of which nobody has decided yet what becomes of them."""
    waiting: Sequence[Waiting] = ()
    """Those that have waited longest."""
    nodes: Sequence[Node] = ()
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    """By family."""
    filling: Mapping[tuple[str, str], Filling] = field(default_factory=dict)
    """By node and name of the sample."""
    series: Mapping[tuple[str, str], Sequence[float]] = field(default_factory=dict)
    """By node and name of the sample: the last values, oldest first."""
    last_success: Mapping[str, datetime] = field(default_factory=dict)
    """Rule about an absence -> when it last was not so."""
    away_since: datetime | None = None
    """When somebody last looked before this, if that is longer ago than it should be."""
    undecided: timedelta = timedelta()
    """Since beat last decided."""

    def profile(self, family: str) -> Profile:
        return self.profiles.get(family, Profile())

    def profile_before(self, over: Over) -> Profile:
        """With the runs of its family that have ended since the last look, but before it."""
        profile = self.profile(over.job.family)
        earlier = takewhile(lambda each: each is not over, self.over)
        news = [each.summary for each in earlier if each.job.family == over.job.family and each.summary is not None]
        return replace(profile, runs=[*profile.runs, *news])
