"""What the API answers about a wait, as it comes over the wire."""

from typing import Any, TypedDict


class Reason(TypedDict):
    """Why a job waits; `kind` is `will-wait`, `can-never-run` or `misconfigured`."""

    code: str
    kind: str
    message: str
    asked: float | None
    available: float | None


class Estimate(TypedDict):
    """When a job will start: usually, and at the latest; None where nothing tells, and `message` says why."""

    typical: str | None
    latest: str | None
    message: str


class Change(TypedDict):
    """A change of one field of the submission with which the job, submitted anew, would start at once."""

    field: str
    value: Any
    message: str


class Ahead(TypedDict):
    """A job that comes first."""

    job: str
    reason: str


class Standing(TypedDict):
    """How the team of a job stands among all teams."""

    name: str
    entitled_percent: float
    used_percent: float
    rank: int
    teams: int
    why: str


class Priority(TypedDict):
    """What the place of a job in the queue is made of, in levels of priority."""

    declared: int
    from_age: int
    from_deadline: int
    team: Standing


class Cost(TypedDict):
    """What a run is expected to cost, of an array one element; `currency` may be empty."""

    typical: float
    most: float
    currency: str


class Why(TypedDict):
    """
    Why a job stands where it stands, in `message` in a sentence.

    `verdict` is `starts-now`, `will-wait`, `can-never-run` or `misconfigured`, None for a job that does not wait;
    `priority` is None unless it stands in the queue. `ahead` are the first of the `jobs_ahead`.
    """

    job: str | None
    state: str
    message: str
    verdict: str | None
    reasons: list[Reason]
    estimate: Estimate
    change: Change | None
    ahead: list[Ahead]
    jobs_ahead: int
    jobs_ahead_is_least: bool
    priority: Priority | None
    cost: Cost | None


class DryRun(Why):
    """What a submit would do; the job has no id."""

    accepted: bool
