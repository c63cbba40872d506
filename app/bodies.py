"""What the API takes besides what is declared."""

from typing import Literal

from pydantic import Field

from levare.manifest.patterns import ONE_LINE
from levare.manifest.schedules import Parameters
from levare.manifest.values import Body, Whole


class RunRequest(Body):
    """A run that somebody asks for."""

    parameters: Parameters = Field(
        default_factory=dict, description="These go before those of the schedule.", examples=[{"days": 30}]
    )


class PriorityRequest(Body):
    """How urgent a job is from now on."""

    priority: Whole = Field(ge=0, le=9, description="From 0 to 9; 9 is the most urgent.", examples=[7])


class WantedNodeState(Body):
    """What a node is to do from now on."""

    state: Literal["ready", "draining"] = Field(
        description="`draining` takes nothing new and lets what runs end.", examples=["draining"]
    )


class Activity(Body):
    """Whether what is declared does its work from now on."""

    state: Literal["active", "paused"] = Field(
        description="What happens or is due while it is `paused` starts nothing.", examples=["paused"]
    )
    reason: str = Field(
        "",
        pattern=ONE_LINE,
        max_length=500,
        description="Why it is paused, for people; all that is not started says so.",
        examples=["Moving the data."],
    )

    @property
    def pauses(self) -> bool:
        return self.state == "paused"
