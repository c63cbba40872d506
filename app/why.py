"""What the API answers about a wait: why, until when, behind whom, and what would end it."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.answers import At, JobState

_WAITS = "null for a job that does not stand in the queue."


class Reason(BaseModel):
    """Why a job waits."""

    code: str = Field(description="Stable across versions.", examples=["gpus-busy"])
    kind: Literal["will-wait", "can-never-run", "misconfigured"]
    message: str = Field(examples=["Asks for 4 whole GPUs on one node; no node has more than 2 free (node-a)."])
    asked: float | None = Field(examples=[4])
    available: float | None = Field(examples=[2])


class Estimate(BaseModel):
    """When a job will start if runs take as long as is known of their kind, and nothing more urgent is submitted."""

    typical: At | None = Field(description="If runs take as long as they usually do; null where nothing tells.")
    latest: At | None = Field(description="If runs take as long as 9 of 10 of their kind; null where nothing tells.")
    message: str = Field(
        description="The same in a sentence, or why there is no time to tell.",
        examples=["At about 2030-01-01 14:20 UTC, at the latest 2030-01-01 16:05 UTC."],
    )


class StartChange(BaseModel):
    """A change of one field with which the job, submitted anew in its own place, would start at once."""

    field: str = Field(description="A field of a submission.", examples=["gpus"])
    value: Any = Field(description="What to send instead.", examples=[2])
    message: str = Field(examples=["With 2 GPUs instead of 4 it would start now."])


class Ahead(BaseModel):
    """A job that comes first."""

    job: str = Field(examples=["a1b2c3d4e5"])
    reason: str = Field(
        examples=["Team speech has had 12 weighted GPU-hours for its weight of late, team vision 31.5."]
    )


class TeamStanding(BaseModel):
    """How the team of a job stands among all teams."""

    name: str = Field(examples=["vision"])
    entitled_percent: float = Field(description="Its weight among those of all teams.", examples=[66.67])
    used_percent: float = Field(description="Its part of all use lately, with what runs.", examples=[61.0])
    rank: int = Field(description="1 for the team that comes first.", examples=[2])
    teams: int = Field(description="How many teams there are.", examples=[3])
    why: str = Field(
        description="Its place in the queue in a sentence.",
        examples=[
            "Is owed 2 of 3 parts of the fleet and has had 61% of what was used lately, so it comes after 1 other team."
        ],
    )


class Priority(BaseModel):
    """What the place of a job in the queue is made of."""

    declared: int = Field(description="As it was submitted.", examples=[5])
    from_age: int = Field(description="Levels that it gained by waiting, one for every 10 minutes.", examples=[2])
    from_deadline: int = Field(description="Levels that it gained because its deadline is near.", examples=[0])
    team: TeamStanding


class Cost(BaseModel):
    """What a run is expected to cost, from the prices of the nodes on which it would start; an element of an array."""

    typical: float = Field(description="If it takes as long as is usual.", examples=[12.5])
    most: float = Field(description="If it takes as long as 9 of 10 of its kind, or its limit.", examples=[20.0])
    currency: str = Field(description="LEVARE_CURRENCY; may be empty.", examples=["EUR"])


class Why(BaseModel):
    """Why a job stands where it stands."""

    job: str | None = Field(description="null in a dry run.", examples=["k3v9x2m1qa"])
    state: JobState
    message: str = Field(
        description="How it stands, in a sentence.", examples=["It has waited since 2030-01-01 12:00:00 UTC."]
    )
    verdict: Literal["starts-now", "will-wait", "can-never-run", "misconfigured"] | None = Field(
        description="The worst of the reasons; `starts-now` without any; null for a job that does not wait.",
        examples=["will-wait"],
    )
    reasons: list[Reason] = Field(description="Empty for a job that starts now or does not wait.")
    estimate: Estimate
    change: StartChange | None = Field(description="The smallest that would start it now; null if no single one does.")
    ahead: list[Ahead] = Field(description="The first 5 of those that come first, in their order.")
    jobs_ahead: int = Field(description="How many come first; of an array all elements that may start.", examples=[3])
    jobs_ahead_is_least: bool = Field(description="True where even more come first than were looked at.")
    priority: Priority | None = Field(description=_WAITS)
    cost: Cost | None = Field(description="null where no node has a price, or nothing tells how long it takes.")


class Verdict(Why):
    """What a submit would do."""

    accepted: Literal[True] = Field(description="A job that would be refused is answered with the problem instead.")
