"""Windows: times for which nodes are kept, for maintenance or for a team."""

from collections.abc import Iterator
from datetime import UTC
from typing import Annotated, Any

from pydantic import Field

from levare.errors import Contradiction, Fault
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

    def definition(self) -> dict[str, Any]:
        """As it is kept: times in UTC, nodes by name. Raise Contradiction for what cannot be meant."""
        faults = [*self._faults()]
        if faults:
            raise Contradiction(f"{faults[0].field} {faults[0].message}.", "docs/scheduling.md shows windows.", faults)
        utc = {"starts": self.starts.astimezone(UTC), "ends": self.ends.astimezone(UTC)}
        known = self.model_copy(update={**utc, "nodes": sorted(set(self.nodes))})
        return known.model_dump(mode="json", exclude_defaults=True)

    def _faults(self) -> Iterator[Fault]:
        if self.ends <= self.starts:
            limit = f"later than {self.starts.isoformat()}"
            yield Fault("ends", "must be later than starts", self.ends.isoformat(), limit)
        if self.user and not self.team:
            yield Fault("user", "must be said together with team", self.user, "a user of a team")
