"""What the API answers of triggers and events."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

Definition = Mapping[str, Any]
"""`when`, and `job` or `pipeline`; `parameters`, `brakes` and `description` if there are any."""


class Trigger(TypedDict):
    """What starts what, and how it stands; `problem` is why it cannot do what it should."""

    name: str
    kind: str
    definition: dict[str, Any]
    revision: int
    owner: str
    begun_at: str
    changed_at: str
    paused_at: str | None
    paused_by: str | None
    paused_reason: str | None
    wakes_at: str | None
    state: dict[str, Any]
    problem: str | None
    problem_at: str | None
    in_flight: int
    runs_today: int
    pending: int
    last_run_at: str | None


class Activation(TypedDict):
    """Something that a trigger is about; `outcome` is `run`, `held` or `pending`, and `reason` says why."""

    number: int
    trigger: str
    key: str
    at: str
    outcome: str
    reason: str
    job: str | None
    pipeline: str | None
    event: dict[str, Any]
    decided_at: str | None


class Simulated(TypedDict):
    """What would have become of something; `run` counts the runs from 1."""

    key: str
    at: str
    outcome: str
    reason: str
    decided_at: str | None
    run: int | None


class Simulation(TypedDict):
    """What a trigger would have done; `source` says what that was taken from."""

    trigger: str
    since: str
    until: str
    source: str
    run_seconds: float
    runs: int
    occurrences: int
    totals: dict[str, int]
    items: Sequence[Simulated]


class WhyNot(TypedDict):
    """Why a trigger did, or did not, start something at a time."""

    trigger: str
    at: str
    message: str
    before: Activation | None
    after: Activation | None
    not_for_it: list[dict[str, Any]]


class Event(TypedDict):
    """An event that was received; `event` is the CloudEvent as it came."""

    number: int
    id: str
    source: str
    type: str
    subject: str | None
    event: dict[str, Any]
    received_at: str
    sender: str
