"""What a rule sees of one thing at one look."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from levare.decide.alerts.facts import Job

Detail = Mapping[str, float | int | str | None]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """`level` is of `levare.decide.conditions`; what is a breach counts once it has `lasts`."""

    subject: str
    """Such as `job:k3v9x2m1qa`, `node:atlas` or `family:vision/imagenet/resnet`; an alert is of one."""
    level: str
    message: str = ""
    """What, how bad, against what, since when, and what to do next."""
    job: Job | None = None
    node: str | None = None
    detail: Detail = field(default_factory=dict)
    lasts: timedelta = timedelta()
    since: datetime | None = None
    """Where the breach began, if that is known; otherwise it began when it was first seen."""
    scope: str | None = None
    """What ends it: of a breach what its alert is filed under, of what is clear all alerts filed so end."""
