"""What the API takes to plan, to apply, and to lock."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue

from levare.decide.plan import Plan
from levare.manifest.patterns import LOCK, ONE_LINE, WHOLE_DIGEST
from levare.manifest.values import WHOLE, Body, Whole
from levare.model import DeclaredKind
from levare.model.changes import Change

_MOST_OBJECTS = 100_000
_LONGEST_LOCK_SECONDS = 3600

Name = Annotated[str, Field(min_length=1, max_length=63)]
Document = dict[str, JsonValue]
Reason = Annotated[str, Field(pattern=ONE_LINE, max_length=500)]
InFlight = Literal["keep", "finish", "requeue"]
LockId = Annotated[str, Field(pattern=LOCK)]
Number = Annotated[int, Field(ge=0, le=1 << 31), WHOLE]


class ObjectRequest(Body):
    """An object that is wanted."""

    kind: DeclaredKind = Field(description="Its kind; `job` and `pipeline` are templates.", examples=["team"])
    name: Name = Field(examples=["vision"])
    document: Document = Field(description="What a PUT of it takes.", examples=[{"weight": 2}])


class PlanRequest(Body):
    """What is wanted: `objects`, or what was declared at a revision."""

    objects: list[ObjectRequest] | None = Field(
        None, max_length=_MOST_OBJECTS, description="All that is to be declared.", examples=[[]]
    )
    rollback_to: Number | None = Field(None, description="A revision to go back to.", examples=[11])
    in_flight: InFlight = Field(
        "keep",
        description="What becomes of work that the changes are about: jobs go on as they were submitted (`keep`); "
        "those that run `finish`, and those of what is removed that have not begun are cancelled; or what runs is "
        "stopped and wait again (`requeue`).",
        examples=["finish"],
    )
    prune: bool = Field(True, description="Whether what is not among the objects is removed.")
    effect: bool = Field(True, description="Whether to say what it does to the queue and the calendar.")


class ChangeRequest(Body):
    """A change of a plan; what is there for people is not read."""

    model_config = ConfigDict(extra="ignore", strict=True)

    kind: DeclaredKind = Field(examples=["team"])
    name: Name = Field(examples=["vision"])
    before: Document | None = Field(None, examples=[{"weight": 1}])
    after: Document | None = Field(None, examples=[{"weight": 2}])


class SavedPlan(Body):
    """A plan as `POST /v1/plan` gave it; what is there for people is not read."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: Annotated[Literal[1], Field(description="Of this form.", examples=[1])]
    base: Number = Field(description="The revision that it rests on.", examples=[12])
    digest: str = Field(pattern=WHOLE_DIGEST, description="Of the plan.", examples=["0" * 64])
    in_flight: InFlight = Field(description="What becomes of work in flight.", examples=["keep"])
    rollback_to: Number | None = Field(None, description="The revision that it goes back to.")
    changes: list[ChangeRequest] = Field(max_length=_MOST_OBJECTS, description="In their order.", examples=[[]])

    def plan(self) -> Plan:
        changes = [Change(each.kind, each.name, each.before, each.after) for each in self.changes]
        return Plan(self.base, changes, self.in_flight, self.rollback_to)


class CommitRequest(Body):
    """The checkout that a manifest comes from."""

    commit: str = Field(pattern="^[0-9a-f]{7,64}$", description="Of git.", examples=["3f2a9c1d0b7e"])
    dirty: bool | None = Field(None, description="Whether it held what was not committed.", examples=[False])


class ApplyRequest(Body):
    """A plan that is to be applied as it is."""

    plan: SavedPlan = Field(description="As POST /v1/plan gave it.")
    reason: Reason = Field("", description="For people.", examples=["A third team."])
    code: CommitRequest | None = Field(None, description="Where the manifest comes from.")
    lock: LockId | None = Field(None, description="The id of the lock, if it was taken; it is given back.")


class LockRequest(Body):
    """Take the lock, or keep it for longer."""

    id: LockId = Field(description="Made up by whoever takes it.", examples=["0b2c8a4e"])
    seconds: Whole = Field(
        300, ge=1, le=_LONGEST_LOCK_SECONDS, description="So long it is held, unless given back.", examples=[300]
    )
    reason: Reason = Field("", description="For people.", examples=["A third team."])
