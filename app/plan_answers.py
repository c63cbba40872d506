"""What the API answers about plans, revisions and the lock."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.answers import At, NextCursor

Kind = Literal["team", "window", "pool", "job", "pipeline", "channel", "alert_rule", "schedule", "trigger"]
Action = Literal["create", "update", "remove"]
Document = dict[str, Any]


class Object(BaseModel):
    """What is declared under a name: `job` and `pipeline` are templates."""

    kind: Kind = Field(examples=["schedule"])
    name: str = Field(examples=["nightly"])
    document: Document = Field(
        description="What a PUT of it takes, without what is as usual.", examples=[{"cron": "0 3 * * *"}]
    )


class DeclaredAnswer(BaseModel):
    """All that is declared."""

    revision: int = Field(description="The revision that declared it so.", examples=[12])
    digest: str = Field(description="Of all of it: equal digests mean equal declarations.", examples=["9f86d081..."])
    objects: list[Object]


class FieldChange(BaseModel):
    """A value within an object that differs; null where there is none."""

    path: str = Field(examples=["job.gpus"])
    before: Any = Field(examples=[2])
    after: Any = Field(examples=[4])


class Origin(BaseModel):
    """The revision by which an object became what it is."""

    revision: int = Field(examples=[11])
    by: str = Field(description="The name of the token.", examples=["ada"])
    at: At


class PlannedChange(BaseModel):
    """What changes in one object."""

    kind: Kind = Field(examples=["schedule"])
    name: str = Field(examples=["nightly"])
    action: Action = Field(examples=["update"])
    before: Document | None = Field(description="null before it exists.")
    after: Document | None = Field(description="null after it is removed.")
    fields: list[FieldChange] = Field(description="Of an update: what differs within it.")
    last: Origin | None = Field(description="Who made it what it is now; null where that is not known.")


class ObjectName(BaseModel):
    kind: Kind = Field(examples=["schedule"])
    name: str = Field(examples=["nightly"])


class Counts(BaseModel):
    created: int = Field(examples=[1])
    updated: int = Field(examples=[2])
    removed: int = Field(examples=[0])


class FiresChange(BaseModel):
    """The next three times at which a schedule fires, jitter included; none while it is paused."""

    schedule: str = Field(examples=["nightly"])
    before: list[At]
    after: list[At]


class ShiftedJob(BaseModel):
    """A waiting job that would start at another time, if runs take as long as usual; null where that is unknown."""

    job: str = Field(examples=["k3v9x2m1qa"])
    name: str = Field(examples=["resnet-50"])
    team: str = Field(examples=["vision"])
    before: At | None
    after: At | None


class TouchedJob(BaseModel):
    """A job in flight that a change is about, and what becomes of it."""

    job: str = Field(examples=["k3v9x2m1qa"])
    name: str = Field(examples=["resnet-50"])
    state: str = Field(examples=["running"])
    node: str | None = Field(description="null before it has begun.", examples=["node-a"])
    because: str = Field(examples=["schedule nightly is removed"])
    fate: Literal["keep", "finish", "requeue", "cancel"] = Field(
        description="`keep` as it is, let it `finish` as the last of its kind, `requeue` it (it is stopped, and waits "
        "again), or `cancel` what has not begun.",
        examples=["keep"],
    )


class OverQuota(BaseModel):
    """A quota of which more is used than there is from then on: nothing ends for it, but nothing more starts."""

    account: str = Field(description="A team, `team/project` or `team:user`.", examples=["vision"])
    what: Literal["gpus", "running", "queued", "gpu_hours"] = Field(examples=["gpus"])
    used: float = Field(examples=[6])
    limit: float = Field(examples=[4])


class Effect(BaseModel):
    """What the plan does to the queue and the calendar."""

    fires: list[FiresChange] = Field(description="Of the first 1000 schedules that change.")
    shifts: list[ShiftedJob] = Field(description="Among the first 64 of each lane of the queue.")
    touched: list[TouchedJob]
    over_quota: list[OverQuota]


class PlanAnswer(BaseModel):
    """What has to change so that what is declared becomes what is wanted. `POST /v1/revisions` takes it as it is."""

    version: Literal[1] = Field(description="Of this form.", examples=[1])
    base: int = Field(description="The revision that it rests on; under another it is refused.", examples=[12])
    digest: str = Field(description="Of the plan: it is refused if anything in it was changed.", examples=["2c26..."])
    in_flight: Literal["keep", "finish", "requeue"] = Field(
        description="What becomes of work in flight.", examples=["keep"]
    )
    rollback_to: int | None = Field(description="The revision that it goes back to, if it does.", examples=[None])
    declared_before: str = Field(description="The digest of what is declared now.", examples=["9f86d081..."])
    declared_after: str = Field(description="The digest of what is declared afterwards.", examples=["b5bb9d80..."])
    made_at: At
    made_by: str = Field(description="The name of the token.", examples=["ada"])
    counts: Counts
    changes: list[PlannedChange] = Field(description="In the order in which they are made.")
    left_paused: list[ObjectName] = Field(
        description="What stays paused, because what is wanted does not say `paused: false`."
    )
    warnings: list[str] = Field(examples=[["window upgrade: node-z has never joined"]])
    effect: Effect | None = Field(description="null if it was not asked for.")


class RevisionAnswer(BaseModel):
    """A change of what is declared."""

    number: int = Field(examples=[12])
    at: At
    by: str = Field(description="The name of the token.", examples=["ada"])
    source: str = Field(description="Where it came from.", examples=["127.0.0.1"])
    reason: str = Field(examples=["A third team."])
    origin: Literal["edit", "apply", "rollback"] = Field(
        description="`edit` of one object by itself, or a plan that was applied, or one that went back.",
        examples=["apply"],
    )
    plan: str | None = Field(description="The digest of the plan that was applied.", examples=["2c26..."])
    commit: str | None = Field(description="Of git, where the manifest came from.", examples=["3f2a9c1d0b7e"])
    dirty: bool | None = Field(description="Whether that checkout held what was not committed.", examples=[False])
    digest: str = Field(description="Of all that is declared from then on.", examples=["b5bb9d80..."])
    created: int = Field(description="Objects that were made.", examples=[1])
    updated: int = Field(description="Objects that were changed.", examples=[2])
    removed: int = Field(description="Objects that were removed.", examples=[0])


class RevisionsAnswer(BaseModel):
    items: list[RevisionAnswer]
    next_cursor: NextCursor


class MadeChange(BaseModel):
    """What a revision changed in one object."""

    kind: Kind = Field(examples=["schedule"])
    name: str = Field(examples=["nightly"])
    action: Action = Field(examples=["update"])
    before: Document | None = Field(description="null before it existed.")
    after: Document | None = Field(description="null after it was removed.")
    fields: list[FieldChange] = Field(description="Of an update: what differs within it.")


class RevisionWithChanges(RevisionAnswer):
    """A revision with all that it changed."""

    changes: list[MadeChange]


class Applied(BaseModel):
    """A plan that was applied."""

    revision: int = Field(description="The revision that it has made, or the one in force if it changes nothing.")
    digest: str = Field(description="Of all that is declared now.", examples=["b5bb9d80..."])
    created: int = Field(examples=[1])
    updated: int = Field(examples=[2])
    removed: int = Field(examples=[0])


class LockAnswer(BaseModel):
    """Who may apply a plan; all null if nobody has taken the lock, so that everybody may."""

    id: str | None = Field(examples=["0b2c8a4e"])
    owner: str | None = Field(description="The name of the token.", examples=["ada"])
    reason: str | None = Field(examples=["A third team."])
    since: At | None
    until: At | None = Field(description="From then on nobody has it.")
