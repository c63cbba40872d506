"""What people ask for: requests, how long they take, what has to happen first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from levare.model.states import ALWAYS, CANCELLED, FAILED, FAILURE, FINAL, SUCCEEDED, SUCCESS

Parameter = str | int | float | bool


Parameters = Mapping[str, Parameter]
"""What tells an element of a sweep from the others."""


Pairs = tuple[tuple[str, str], ...]
"""Labels with their values, sorted by name."""


Amounts = tuple[tuple[str, int], ...]
"""Custom resources with how many of each, sorted by name."""


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
