"""What is decided, and the facts that decisions about attempts rest on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from levare.model.requests import Request

_NOTHING = Request()


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


NO_ROOM = "no-room"
"""What comes of the turn of a job that nothing but room is missing for."""


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

    @property
    def without_room(self) -> frozenset[str]:
        """Jobs that wait for room and nothing else."""
        return frozenset(turn.job_id for turn in self.turns if turn.outcome == NO_ROOM)


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
    request: Request = _NOTHING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    family: str = ""
    preemptions: int = 0
    retry_on: tuple[str, ...] = ()
    backoff: timedelta = timedelta()
    memory_growth: float = 1.0
    shunned: tuple[str, ...] = ()
    failure: str | None = None
    """The class of its failure."""


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
