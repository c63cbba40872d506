"""What the API answers of triggers."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.answers import At, NextCursor

Outcome = Literal["run", "held", "pending"]


class Trigger(BaseModel):
    """What starts what, and how it stands."""

    name: str = Field(examples=["new-data"])
    kind: Literal["event", "files", "ended", "metric", "resource", "absence"] = Field(
        description="What it looks for.", examples=["event"]
    )
    definition: dict[str, Any] = Field(
        description="As it was declared.",
        examples=[{"when": {"event": {"type": "dataset.*"}}, "job": {"command": ["python", "train.py"]}}],
    )
    revision: int = Field(description="The number of the revision that declared it so.", examples=[12])
    owner: str = Field(description="The name of the token that did; its jobs are this user's.", examples=["ada"])
    begun_at: At = Field(description="Since when it looks for this.")
    changed_at: At = Field(description="When it was last declared.")
    paused_at: At | None = Field(description="Since when it is paused; null if it is not.")
    paused_by: str | None = Field(examples=["ada"])
    paused_reason: str | None = Field(examples=["Moving the data."])
    wakes_at: At | None = Field(description="When it is looked at though nothing happens; null for never.")
    state: dict[str, Any] = Field(
        description="What is remembered from one look to the next, such as whether it is armed.",
        examples=[{"armed": True}],
    )
    problem: str | None = Field(description="Why it cannot do what it should.", examples=["/data is no folder."])
    problem_at: At | None = Field(description="When that was last so.")
    in_flight: int = Field(description="Runs that are not over.", examples=[1])
    runs_today: int = Field(description="Runs that started on the present day in UTC.", examples=[2])
    pending: int = Field(description="Occurrences that wait.", examples=[0])
    last_run_at: At | None = Field(description="When its last run started.")


class Triggers(BaseModel):
    items: list[Trigger]
    next_cursor: NextCursor


class Activation(BaseModel):
    """Something that a trigger is about, and what became of it."""

    number: int = Field(description="Grows with each.", examples=[17])
    trigger: str = Field(examples=["new-data"])
    key: str = Field(description="What it is, for ever: it happens once.", examples=["event:a1 of /lake/churn"])
    at: At = Field(description="When it happened.")
    outcome: Outcome = Field(description="`pending` becomes one of the others, which never change.", examples=["run"])
    reason: str = Field(description="Why, with numbers.", examples=["Started."])
    job: str | None = Field(description="The job, or the first one of the pipeline.", examples=["k3v9x2m1qa"])
    pipeline: str | None = Field(examples=["p7d2m9x4ka"])
    event: dict[str, Any] = Field(description="The CloudEvent that its jobs get.", examples=[{"specversion": "1.0"}])
    decided_at: At | None = Field(description="When that became of it; null while it waits.")


class Activations(BaseModel):
    items: list[Activation]
    next_cursor: NextCursor


class Simulated(BaseModel):
    """Something that happened, and what would have become of it."""

    key: str = Field(examples=["event:a1 of /lake/churn"])
    at: At
    outcome: Outcome = Field(examples=["held"])
    reason: str = Field(examples=["1 of at most 1 runs are in flight."])
    decided_at: At | None
    run: int | None = Field(description="Which run it would have started or shared, from 1.", examples=[3])


class SimulationTotals(BaseModel):
    """Occurrences by what would have become of them."""

    run: int = Field(examples=[9])
    held: int = Field(examples=[31])
    pending: int = Field(examples=[0])


class Simulation(BaseModel):
    """What a trigger would have done."""

    trigger: str = Field(examples=["new-data"])
    since: At
    until: At
    source: Literal["events", "runs", "activations"] = Field(description="What it was taken from.", examples=["events"])
    run_seconds: float = Field(description="How long each run is taken to last.", examples=[840.0])
    runs: int = Field(description="How many it would have started.", examples=[9])
    occurrences: int = Field(description="How many there were.", examples=[40])
    totals: SimulationTotals
    items: list[Simulated] = Field(description="Oldest first; at most 500, the newest.")


class Stranger(BaseModel):
    """An event that the trigger is not about."""

    id: str = Field(examples=["a1"])
    source: str = Field(examples=["/lake/churn"])
    type: str = Field(examples=["dataset.ready"])
    received_at: At
    reason: str = Field(description="Why not.", examples=['Its type is "model.ready", not dataset.*.'])


class WhyNot(BaseModel):
    """Why a trigger did, or did not, start something at a time."""

    trigger: str = Field(examples=["new-data"])
    at: At
    message: str = Field(description="In words.", examples=["Nothing that it is about had happened by then."])
    before: Activation | None = Field(description="What had last happened to it by then.")
    after: Activation | None = Field(description="What first happened to it after that.")
    not_for_it: list[Stranger] = Field(description="Events within 10 minutes of then that it is not about.")
