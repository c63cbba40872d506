"""What the API answers of alerts, their rules and silences."""

from typing import Any, Literal

from pydantic import BaseModel, Field

from app.answers import At, NextCursor
from levare.manifest.alerts import Severity

Kind = Literal[
    "failure",
    "slow",
    "degraded",
    "metric",
    "not_finite",
    "sample",
    "log",
    "hang",
    "node_lost",
    "unhealthy",
    "queue",
    "disk",
    "idle",
    "absence",
]


class Alert(BaseModel):
    """Something that is not as it should be, from its begin to its end."""

    number: int = Field(examples=[17])
    rule: str = Field(examples=["hang"])
    kind: Kind = Field(examples=["hang"])
    subject: str = Field(description="What it is of: a job, a node, a family.", examples=["job:k3v9x2m1qa"])
    severity: Severity = Field(examples=["critical"])
    state: Literal["open", "ended"] = Field(examples=["open"])
    message: str = Field(
        description="What, how bad, against what, since when, and what to do.",
        examples=["resnet-50 (k3v9x2m1qa of ada, team vision) does nothing on node-a."],
    )
    detail: dict[str, float | int | str | None] = Field(
        description="The numbers; units are in the names.", examples=[{"still_seconds": 1800.0}]
    )
    job: str | None = Field(description="The job that it is about.", examples=["k3v9x2m1qa"])
    node: str | None = Field(examples=["node-a"])
    team: str | None = Field(examples=["vision"])
    family: str | None = Field(examples=["vision/imagenet/resnet-50"])
    begun_at: At
    seen_at: At = Field(description="When it was decided; it had begun before.")
    ended_at: At | None = Field(description="null while it is open.")
    ended_reason: str | None = Field(examples=["resnet-50 (k3v9x2m1qa of ada, team vision) goes on."])
    is_silenced: bool = Field(description="Whether a silence kept it from the channels.", examples=[False])
    told: list[str] = Field(description="The channels that were told.", examples=[["ops"]])
    acknowledged_at: At | None = Field(description="When somebody said that he looks after it.")
    acknowledged_by: str | None = Field(examples=["ada"])
    acknowledged_note: str | None = Field(examples=["I am on it."])


class Alerts(BaseModel):
    items: list[Alert]
    next_cursor: NextCursor


class AlertRule(BaseModel):
    """What is worth an alert; a default where nobody has declared it."""

    name: str = Field(examples=["hang"])
    kind: Kind = Field(description="What it looks for.", examples=["hang"])
    severity: Severity = Field(examples=["critical"])
    definition: dict[str, Any] = Field(
        description="As it was declared.", examples=[{"when": {"hang": {}}, "severity": "critical"}]
    )
    is_default: bool = Field(description="Whether it is in force without anybody having declared it.", examples=[True])
    revision: int | None = Field(description="The revision that declared it so; null for a default.", examples=[12])
    owner: str | None = Field(description="The name of the token that did.", examples=["ada"])
    changed_at: At | None
    paused_at: At | None = Field(description="Since when nothing starts by it; null if it is in force.")
    paused_by: str | None = Field(examples=["ada"])
    paused_reason: str | None = Field(examples=["Too loud."])


class AlertRules(BaseModel):
    items: list[AlertRule]


class Silence(BaseModel):
    """For a time nobody is told of alerts that fit all that is said; they are recorded all the same."""

    number: int = Field(examples=[3])
    rule: str | None = Field(examples=["gpu-idle"])
    job: str | None = Field(examples=["k3v9x2m1qa"])
    team: str | None = Field(examples=["vision"])
    node: str | None = Field(examples=["node-a"])
    reason: str = Field(examples=["A new driver is being installed."])
    created_by: str = Field(examples=["ada"])
    created_at: At
    ends_at: At


class Silences(BaseModel):
    items: list[Silence]


class Firing(BaseModel):
    """An alert that would have begun."""

    at: At
    ended_at: At | None = Field(description="When it would have ended; null if it would be open now.")
    subject: str = Field(examples=["job:k3v9x2m1qa"])
    job: str | None = Field(examples=["k3v9x2m1qa"])
    message: str = Field(examples=["resnet-50 (k3v9x2m1qa of ada, team vision) does nothing on node-a."])
    preceded_failure: bool | None = Field(
        description="Whether its job failed after that; null where that cannot be said.", examples=[True]
    )


class BackTest(BaseModel):
    """What a rule would have done with what is recorded, and what that was worth."""

    rule: str = Field(examples=["hang"])
    since: At
    until: At
    source: Literal["jobs", "runs", "metrics", "logs", "alerts"] = Field(
        description="What it was taken from; `alerts`: what was recorded of this rule itself.", examples=["metrics"]
    )
    jobs: int = Field(description="Jobs that ended in this time and that the rule is about.", examples=[420])
    failures: int = Field(description="How many of them failed.", examples=[9])
    firings: int = Field(description="How many alerts would have begun.", examples=[7])
    true_firings: int = Field(description="Of these, how many preceded a failure of their job.", examples=[6])
    precision: float | None = Field(description="Part of the firings that did; null without any.", examples=[0.857])
    recall: float | None = Field(description="Part of the failures that were preceded; null without.", examples=[0.667])
    note: str = Field(description="What the recorded past cannot say.", examples=["The use of CPUs is not recorded."])
    items: list[Firing] = Field(description="Oldest first; at most 500, the newest.")
