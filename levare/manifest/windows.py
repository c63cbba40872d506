"""Windows: times for which nodes are kept, for maintenance or for a team."""

from typing import Annotated

from pydantic import Field

from levare.manifest.patterns import NODE, ONE_LINE
from levare.manifest.values import Body, Label, Time

NodeName = Annotated[str, Field(pattern=NODE)]


class WindowRequest(Body):
    """Which nodes are kept from when until when. Without a team nobody may use them: that is maintenance."""

    nodes: list[NodeName] = Field(min_length=1, max_length=1000, description="Names of nodes.", examples=[["node-a"]])
    starts: Time = Field(description="Nothing else that would run into it starts there.")
    ends: Time = Field(description="At most a year from now.")
    team: Label | None = Field(None, description="The team that may use them meanwhile.", examples=["vision"])
    user: Label | None = Field(None, description="The only user of it who may.", examples=["ada"])
    reason: str = Field("", pattern=ONE_LINE, max_length=500, description="For people.", examples=["A new driver."])
