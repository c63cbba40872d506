"""Plain frozen values that decisions read and return. Times are aware, sizes are MiB."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

BLOCKED, WAITING = "blocked", "waiting"
PLACED, STARTING, RUNNING = "placed", "starting", "running"
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"
TIMED_OUT, OUT_OF_MEMORY, PREEMPTED, LOST = "timed_out", "out_of_memory", "preempted", "lost"

LIVE = (PLACED, STARTING, RUNNING)
"""An attempt in one of these states holds its devices; a job in one of them has such an attempt."""
FINAL = (SUCCEEDED, FAILED, CANCELLED)
"""A job in one of these states never changes again."""
ENDINGS = (SUCCEEDED, FAILED, TIMED_OUT, OUT_OF_MEMORY, CANCELLED, PREEMPTED, LOST)
JOB_STATES = (BLOCKED, WAITING, *LIVE, *FINAL)
ATTEMPT_STATES = (*LIVE, *ENDINGS)
SUCCESS, FAILURE, ALWAYS = "success", "failure", "always"
NEED_OUTCOMES = (SUCCESS, FAILURE, ALWAYS)
"""How a needed job has to end."""


Parameter = str | int | float | bool
Parameters = Mapping[str, Parameter]
"""What tells an element of a sweep from the others."""
Pairs = tuple[tuple[str, str], ...]
"""Labels with their values, sorted by name."""
Amounts = tuple[tuple[str, int], ...]
"""Custom resources with how many of each, sorted by name."""

FREE, OURS, FOREIGN, ORPHAN = "free", "ours", "foreign", "orphan"
"""Whose a GPU is: nobody's, a live attempt's, that of processes not of levare, or of what an attempt left behind."""
OWNERSHIPS = (FREE, OURS, FOREIGN, ORPHAN)
TAKEN = (FOREIGN, ORPHAN)
"""A GPU that is so is not offered to anyone."""


@dataclass(frozen=True)
class Request:
    """
    What one attempt needs, of each of its `nodes`. `gpu_memory_mib` is per GPU; None asks for whole GPUs.

    `gpu_model` is a part of the model's name, in whatever case. A node must have all labels of `require` and none of
    `avoid`; those of `prefer` only choose among nodes that serve. `resources` are custom ones, such as licences.
    """

    gpus: int = 0
    gpu_memory_mib: int | None = None
    cpus: int = 1
    memory_mib: int = 0
    scratch_mib: int = 0
    gpu_model: str | None = None
    resources: Amounts = ()
    require: Pairs = ()
    prefer: Pairs = ()
    avoid: Pairs = ()
    nodes: int = 1
    spread: bool = False
    """On the emptiest node that serves instead of the fullest."""

    @cached_property
    def shape(self) -> str:
        """Equal requests have equal shapes."""
        gpu = "whole" if self.gpu_memory_mib is None else self.gpu_memory_mib
        plain = f"g{self.gpus}x{gpu}-c{self.cpus}-m{self.memory_mib}"
        rare = (self.scratch_mib, self.gpu_model, self.resources, self.require, self.prefer, self.avoid)
        return plain if (*rare, self.nodes, self.spread) == _PLAIN else f"{plain}-{rare}-n{self.nodes}-s{self.spread:d}"


_PLAIN = (0, None, (), (), (), (), 1, False)


@dataclass(frozen=True)
class Duration:
    """How long a run takes: as often longer as shorter than `typical`, and not longer than `promised` in 9 of 10."""

    typical: timedelta
    promised: timedelta

    @cached_property
    def scale(self) -> int:
        """Which power of two of minutes it is promised within; jobs of one lane have one scale."""
        return scale_of(self.promised)


def scale_of(promised: timedelta) -> int:
    return (max(promised, _MINUTE) // _MINUTE - 1).bit_length()


_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True)
class Waiting:
    """
    A job that could start now if there were room, or an array with `count` elements that could.

    `expected` is None where neither a limit nor history tells. `only_between` are the hours of the day, in UTC, in
    which it may start. `shunned` are nodes on which it failed in a way that another node might cure.
    """

    job_id: str
    request: Request
    priority: int
    since: datetime
    team: str = "default"
    project: str = "default"
    user: str = ""
    family: str = ""
    expected: Duration | None = None
    deadline: datetime | None = None
    only_between: "DayWindow | None" = None
    shunned: frozenset[str] = frozenset()
    count: int = 1
    owed_since: datetime | None = None
    """When others were last told to make room for it, if it has not started since."""
    promised_at: datetime | None = None
    """The time that it was first promised, if every decision since has promised it one."""

    @cached_property
    def lane(self) -> tuple[object, ...]:
        """Jobs of one lane differ in little but their age: if the first cannot start, none of them can."""
        about = (self.request.shape, self.team, self.project, self.user, self.priority)
        scale = self.expected.scale if self.expected else None
        return (*about, scale, self.deadline, self.only_between, self.shunned)


@dataclass(frozen=True)
class DayWindow:
    """Hours of the day in UTC, as minutes from midnight; it wraps over midnight where it ends before it starts."""

    starts: int
    ends: int

    def contains(self, minute: int) -> bool:
        if self.starts <= self.ends:
            return self.starts <= minute < self.ends
        return minute >= self.starts or minute < self.ends

    def __str__(self) -> str:
        hours = [f"{minute // 60:02}:{minute % 60:02}" for minute in (self.starts, self.ends)]
        return f"{hours[0]} and {hours[1]} UTC"

    @classmethod
    def parse(cls, text: str) -> "DayWindow":
        """From `22:00-06:00`."""
        starts, _, ends = text.partition("-")
        return cls(_minutes(starts), _minutes(ends))


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


@dataclass(frozen=True)
class Device:
    """`blocked` says why it cannot be used, in a sentence; empty where it can."""

    uuid: str
    index: int
    memory_mib: int
    model: str = ""
    ownership: str = FREE
    blocked: str = ""
    """Who uses it besides levare, in a sentence; empty for one that is usable."""


@dataclass(frozen=True)
class Held:
    """
    What one live attempt holds on its node: MiB per device UUID, CPUs, memory; whose it is, and when it may end.

    A gang has one of these per node, all with the same `job_id`. `safe_at` is when it last saved a checkpoint, as far
    as is known. `ending_for` names the job that it makes room for; `is_ending` that it has been told to end.
    """

    attempt_id: str
    job_id: str
    devices: Mapping[str, int]
    cpus: int
    memory_mib: int
    scratch_mib: int = 0
    resources: Amounts = ()
    team: str = "default"
    project: str = "default"
    user: str = ""
    priority: int = 5
    preemptible: bool = True
    min_runtime: timedelta = timedelta()
    placed_at: datetime | None = None
    safe_at: datetime | None = None
    expected: Duration | None = None
    limit: timedelta | None = None
    progress: float | None = None
    is_ending: bool = False
    ending_for: str | None = None

    @cached_property
    def usual_end(self) -> datetime | None:
        """By when it has ended in 9 of 10 cases; None where that is unknown, or it says itself how far it is."""
        known = self.expected if self.progress is None else None
        if known is None or self.placed_at is None:
            return None
        return self.placed_at + (known.promised if self.limit is None else min(known.promised, self.limit))


@dataclass(frozen=True)
class Window:
    """
    A time for which a node is kept: for maintenance, or for `team` (and `user`) alone.

    What would run into it does not start on that node.
    """

    name: str
    node: str
    starts: datetime
    ends: datetime
    team: str | None = None
    user: str | None = None

    def admits(self, team: str, user: str) -> bool:
        return self.team is not None and self.team == team and self.user in (None, user)


@dataclass(frozen=True)
class Node:
    """A node as placement sees it. Only a `ready` node takes new attempts; `note` says why it does not."""

    name: str
    state: str
    cpus: int
    memory_mib: int
    devices: Sequence[Device] = ()
    held: Sequence[Held] = ()
    incarnation: str = ""
    """Of its worker; a new one is told again of what runs there."""
    labels: Mapping[str, str] = field(default_factory=dict)
    scratch_mib: int = 0
    resources: Mapping[str, int] = field(default_factory=dict)
    windows: Sequence[Window] = ()
    note: str = ""
    price: float | None = None
    """Of an hour of the whole node, in the currency of the team; None where nobody has said."""

    @cached_property
    def usual_endings(self) -> Sequence[tuple[datetime, str, Held]]:
        """When what it holds usually ends, first to last, where that is known, with the attempts."""
        known = ((held.usual_end, held.attempt_id, held) for held in self.held)
        return sorted(((end, attempt, held) for end, attempt, held in known if end), key=lambda ending: ending[:2])

    @cached_property
    def left(self) -> "Left":
        """What nobody holds of it."""
        total = {device.uuid: device.memory_mib for device in self.devices if not device.blocked}
        free, resources = dict(total), dict(self.resources)
        for held in self.held:
            for uuid in held.devices.keys() & total.keys():
                free[uuid] -= held.devices[uuid]
            for name, amount in held.resources:
                resources[name] = resources.get(name, 0) - amount
        return Left(
            total=total,
            free=free,
            whole=sum(free[uuid] == mib for uuid, mib in total.items()),
            cpus=self.cpus - sum(held.cpus for held in self.held),
            memory_mib=self.memory_mib - sum(held.memory_mib for held in self.held),
            scratch_mib=self.scratch_mib - sum(held.scratch_mib for held in self.held),
            resources=resources,
        )


@dataclass(frozen=True)
class Left:
    """What is free on a node. Devices that cannot be used are not part of it."""

    total: Mapping[str, int]
    free: Mapping[str, int]
    whole: int
    """Devices of which nobody holds anything."""
    cpus: int
    memory_mib: int
    scratch_mib: int
    resources: Mapping[str, int]


@dataclass(frozen=True)
class Quota:
    """
    The most that somebody may use; None bounds nothing.

    `gpus` are running at once, and may be exceeded while nobody within a quota wants them, if `borrow` allows it.
    `gpu_hours` are those of the last `period`.
    """

    gpus: int | None = None
    running: int | None = None
    queued: int | None = None
    gpu_hours: float | None = None
    period: timedelta = timedelta(days=30)
    borrow: bool = True


@dataclass(frozen=True)
class Account:
    """
    A team (`name`), a project (`team/project`) or a user (`team:user`): its weight, its quota, and what it has used.

    `use` is in weighted GPU-seconds, decayed with the half-life, of attempts that have ended; `gpu_hours` are those
    that ended in its quota's period. What runs is added from what is held.
    """

    name: str
    weight: float = 1.0
    quota: Quota = Quota()
    use: float = 0.0
    gpu_hours: float = 0.0
    queued: int = 0


@dataclass(frozen=True)
class Sharing:
    """What is known of who shares the fleet: accounts by name, the half-life of use, fleet-wide resources."""

    accounts: Mapping[str, Account] = field(default_factory=dict)
    half_life: timedelta = timedelta(days=7)
    licences: Mapping[str, int] = field(default_factory=dict)
    """Custom resources that are not of a node but of the fleet: name -> how many there are."""
    held_families: Mapping[str, str] = field(default_factory=dict)
    """Families of jobs that are held back after a burst of fast failures: family -> a sentence."""


@dataclass(frozen=True)
class Rules:
    """
    What holds for the whole fleet: how long a node may be silent, the half-life of use, fleet-wide resources, and the
    currency of prices.
    """

    lost_after: timedelta = timedelta(seconds=60)
    half_life: timedelta = Sharing.half_life
    licences: Mapping[str, int] = field(default_factory=dict)
    currency: str = ""


@dataclass(frozen=True)
class Placement:
    """
    Run this job on this node with these devices (UUID -> MiB).

    A gang has one of these per node, `rank` 0 first; an array one per element that starts.
    """

    job_id: str
    node: str
    request: Request
    devices: Mapping[str, int] = field(default_factory=dict)
    rank: int = 0

    @property
    def queue(self) -> str:
        return f"{'gpu' if self.devices else 'cpu'}.{self.node}"


@dataclass(frozen=True)
class Reason:
    """
    Why a job waits: a stable code, the numbers, a sentence.

    `kind` is `will-wait` (time will solve it), `can-never-run` (the fleet is too small) or
    `misconfigured` (the request contradicts itself or something outside it).
    """

    code: str
    kind: str
    message: str
    asked: float | None = None
    available: float | None = None


@dataclass(frozen=True)
class Decision:
    """
    What placement decided: who starts where, who has to make room, and for each job left waiting all the reasons.

    `promises` are the times by which the first jobs that do not fit will start, the first of them for certain if runs
    end as promised and nothing comes that is stronger, those after it unless one before them takes their node.
    """

    placements: Sequence[Placement] = ()
    reasons: Mapping[str, Sequence[Reason]] = field(default_factory=dict)
    preemptions: Sequence["Preemption"] = ()
    promises: Mapping[str, "Promise"] = field(default_factory=dict)
    turns: Sequence["Turn"] = ()
    """Every job that was looked at, in the order in which that happened."""


@dataclass(frozen=True)
class Turn:
    """
    A job's turn in a decision, and what came of it: `started`, `no-room`, `borrows`, or the code of a reason.

    `team_use` is effective use by weight, `user_use` effective use, both in weighted GPU-seconds at that moment.
    `team_part` and `user_part` are what they held, over their share: far below or above it that decided, and not use.
    """

    job_id: str
    outcome: str
    level: int
    team: str
    team_use: float
    user: str
    user_use: float
    team_part: float = 1.0
    user_part: float = 1.0


@dataclass(frozen=True)
class Preemption:
    """End this attempt, with its warning and its grace, to make room for a job with a stronger claim."""

    attempt_id: str
    job_id: str
    for_job: str
    reason: str


@dataclass(frozen=True)
class Promise:
    """Where and when a job that does not fit now will start at the latest, if what runs ends as promised."""

    nodes: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class Ended:
    """
    A job whose latest attempt has ended and whose consequence is still to be drawn.

    `losses` are all attempts that do not count as retries, `preemptions` those of them that made room for others.
    `backoff` is the pause before the first retry; `shunned` are the nodes that it stays away from already.
    """

    job_id: str
    attempt_id: str
    outcome: str
    exit_code: int | None
    reason: str
    attempt: int
    retries: int
    losses: int
    cancel_requested: bool
    node: str = ""
    request: Request = Request()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    family: str = ""
    preemptions: int = 0
    retry_on: tuple[str, ...] = ()
    backoff: timedelta = timedelta()
    memory_growth: float = 1.0
    shunned: tuple[str, ...] = ()


@dataclass(frozen=True)
class Need:
    """A needed job: where it stands, and how it has to end. A cancelled one has neither succeeded nor failed."""

    state: str
    outcome: str = SUCCESS

    @property
    def is_met(self) -> bool:
        return self.state in _WANTED[self.outcome]

    @property
    def is_hopeless(self) -> bool:
        return self.state in FINAL and not self.is_met

    @property
    def wish(self) -> str:
        """How it has to end, after its name."""
        return {SUCCESS: "to succeed", FAILURE: "to fail", ALWAYS: "to end"}[self.outcome]

    @property
    def fate(self) -> str:
        """How it has ended, after its name."""
        return "was cancelled" if self.state == CANCELLED else self.state


_WANTED = {SUCCESS: (SUCCEEDED,), FAILURE: (FAILED,), ALWAYS: FINAL}


@dataclass(frozen=True)
class Member:
    """One attempt of a gang. `was_ended` says that it was told to end because of what became of another."""

    attempt_id: str
    rank: int
    node: str
    state: str
    exit_code: int | None
    ended_at: datetime | None
    was_ended: bool


@dataclass(frozen=True)
class Parting:
    """End this attempt, with its grace, because another part of its gang has ended."""

    attempt_id: str
    reason: str


@dataclass(frozen=True)
class Blocked:
    """A job that waits for others or for its time."""

    job_id: str
    needs: Mapping[str, Need]
    start_after: datetime | None


@dataclass(frozen=True)
class Elements:
    """
    What an array is made of: `size` jobs, of which at most `cap` are open and not final at a time.

    They are told apart by every combination of `grid`, by the rows of a list, or by nothing but their index.
    """

    size: int
    cap: int | None = None
    grid: Sequence[tuple[str, Sequence[Parameter]]] = ()
    rows: Sequence[Parameters] = ()


def input_variable(step: str) -> str:
    """The variable in which a job finds the output folder of a step of its pipeline that it needs."""
    return f"LEVARE_INPUT_{step.upper().replace('-', '_')}"


@dataclass(frozen=True)
class ArrayState:
    """
    An array whose state may have to follow its elements: how many of the open ones are in which state.

    `unsuccessful` are the first few that failed or, if none did, that were cancelled.
    """

    job_id: str
    state: str
    size: int
    counts: Mapping[str, int]
    unsuccessful: Sequence[int]
    cancel_requested: bool


@dataclass(frozen=True)
class Silent:
    """A live attempt on a node whose lease has not been renewed for `silence`, as the leader itself has watched."""

    attempt_id: str
    node: str
    silence: timedelta
    on_lost: str
    cancel_requested: bool


@dataclass(frozen=True)
class Move:
    """
    A job's way on: to `state`, because of `reason`. It happens only if the job is still in one of `expected`.

    `lost` counts the attempt as lost through no fault of its own. `not_before`, `memory_mib` and `shunned` are what its
    next attempt waits for, asks for and stays away from, where that changes.
    """

    job_id: str
    expected: tuple[str, ...]
    state: str
    reason: str | None = None
    exit_code: int | None = None
    lost: bool = False
    not_before: datetime | None = None
    memory_mib: int | None = None
    shunned: tuple[str, ...] | None = None
