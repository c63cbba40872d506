"""Teams: what each weighs, and the most that it may use."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from levare.manifest.values import WHOLE, Body, Label, Whole
from levare.model import Quota

_MOST = 1_000_000
_MOST_PARTS = 1000
_HOUR_SECONDS, _YEAR_SECONDS = 3600, 366 * 24 * 3600

Limit = Annotated[int, Field(ge=0, le=_MOST), WHOLE]
TeamRole = Literal["viewer", "member", "admin"]
Hours = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class QuotaRequest(Body):
    """The most that somebody may use; null bounds nothing."""

    gpus: Limit | None = Field(None, description="GPUs at once; a part of a GPU counts as a part.", examples=[8])
    running: Limit | None = Field(None, description="Jobs that run at once.", examples=[20])
    queued: Limit | None = Field(
        None, description="Jobs and elements of arrays that have not begun; more are refused.", examples=[500]
    )
    gpu_hours: Hours | None = Field(None, description="GPU-hours within the last `period_seconds`.", examples=[2000])
    period_seconds: Whole = Field(
        int(Quota.period.total_seconds()),
        ge=_HOUR_SECONDS,
        le=_YEAR_SECONDS,
        description="The time that `gpu_hours` are of; 30 days by default.",
        examples=[2592000],
    )
    borrow: bool = Field(
        True, description="Whether it may hold more than `gpus` as long as nobody within a quota wants them."
    )

    def quota(self) -> Quota:
        period = timedelta(seconds=self.period_seconds)
        return Quota(self.gpus, self.running, self.queued, self.gpu_hours, period, self.borrow)


def _no_quota() -> QuotaRequest:
    return QuotaRequest.model_validate({})


class TeamRequest(Body):
    """All that is declared of a team; what is left out goes back to its default."""

    weight: float = Field(
        1.0,
        ge=0.001,
        le=1000,
        allow_inf_nan=False,
        description="Its share of the fleet is its weight among those of all teams.",
        examples=[2],
    )
    quota: QuotaRequest = Field(default_factory=_no_quota, description="Of the whole team.")
    projects: dict[Label, QuotaRequest] = Field(
        default_factory=dict,
        max_length=_MOST_PARTS,
        description="Quotas of its projects.",
        examples=[{}],
        json_schema_extra={"additionalProperties": False},
    )
    users: dict[Label, QuotaRequest] = Field(
        default_factory=dict,
        max_length=_MOST_PARTS,
        description="Quotas of its users.",
        examples=[{}],
        json_schema_extra={"additionalProperties": False},
    )

    members: dict[Label, TeamRole] = Field(
        default_factory=dict,
        max_length=_MOST_PARTS,
        description="What people may in it, by the names of their tokens: `viewer` reads, `member` submits and cancels "
        "too, `admin` declares. It holds for tokens that were made without teams of their own.",
        examples=[{"ada": "member"}],
        json_schema_extra={"additionalProperties": False},
    )

    def definition(self) -> dict[str, Any]:
        """As it is kept, without what is as usual."""
        return self.model_dump(mode="json", exclude_defaults=True)
