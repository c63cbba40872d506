"""What has happened, as a decision could have met it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from levare.model.requests import DayWindow, Request


@dataclass(frozen=True)
class PastJob:
    """
    A job as it was: what it asked for, when it came, and how long it held what it asked for.

    `work` leaves out what was thrown away when it had to make room or its node was lost. It cannot start before those
    in `after` have ended.
    """

    id: str
    request: Request
    priority: int
    came_at: datetime
    work: timedelta
    team: str = "default"
    project: str = "default"
    user: str = ""
    family: str = ""
    limit: timedelta | None = None
    min_runtime: timedelta = timedelta()
    preemptible: bool = True
    saves: bool = False
    """Whether it saved checkpoints."""
    succeeded: bool = True
    only_between: DayWindow | None = None
    after: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[datetime, str]:
        """Who came first."""
        return (self.came_at, self.id)


@dataclass(frozen=True)
class Stay:
    """One attempt of a job: from when to when it held devices (UUID -> MiB) of which nodes."""

    job: PastJob
    held: tuple[tuple[str, Mapping[str, int]], ...]
    began: datetime
    ended: datetime
    preempted: bool = False


@dataclass(frozen=True)
class Course:
    """How it went, really or in a simulation: every attempt, and since when each job could have started."""

    stays: Sequence[Stay]
    ready_at: Mapping[str, datetime]
    until: datetime
