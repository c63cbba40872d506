"""The tables of what happens by itself: schedules and their fires."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Text
from sqlmodel import Field

from levare.decide.due import OUTCOMES
from levare.store.columns import Table, document, instant, metadata, one_of
from levare.store.types import Utc


class ScheduleRow(Table, table=True):
    """
    When to submit what. All that people declare is in `definition`; the rest is where beat stands with it.

    Every instant up to `settled_to` has its row in `fires` or was not due.
    """

    __tablename__ = "schedules"
    __table_args__ = (Index("ix_schedules_fires_at", "fires_at"),)

    name: str = Field(primary_key=True)
    definition: dict[str, Any] = Field(sa_column=document())
    revision: int
    """The number of the revision that declared it so."""
    owner: str
    """The name of the token that declared it so; its jobs are this user's."""
    changed_at: datetime = Field(sa_column=instant(nullable=False))
    paused_at: datetime | None = Field(sa_column=instant())
    paused_by: str | None
    paused_reason: str | None = Field(sa_column=Column(Text))
    settled_to: datetime = Field(sa_column=instant(nullable=False))
    due_at: datetime | None = Field(sa_column=instant())
    """The next due instant after `settled_to`; NULL when there is none any more."""
    fires_at: datetime | None = Field(sa_column=instant())
    """`due_at` and its jitter."""


class FireRow(Table, table=True):
    """
    A due instant of a schedule and what became of it: written in the transaction of its job, and never changed.

    With `until` it stands for all instants from `due_at` until then, which were skipped together.
    """

    __tablename__ = "fires"
    __table_args__ = (
        CheckConstraint(one_of("outcome", OUTCOMES), name="outcome"),
        Index("ix_fires_decided_at", "decided_at"),
    )

    schedule: str = Field(primary_key=True)
    due_at: datetime = Field(sa_column=Column(Utc, primary_key=True))
    until: datetime | None = Field(sa_column=instant())
    outcome: str
    reason: str | None = Field(sa_column=Column(Text))
    """Why it was skipped, or what was special about its run."""
    job_id: str | None = Field(sa_column=Column(ForeignKey("jobs.id"), index=True))
    """The job, or the first one of the pipeline."""
    pipeline: str | None
    decided_at: datetime = Field(sa_column=instant(nullable=False))
    epoch: int
    """Of the beat that decided it."""


schedules = metadata.tables["schedules"]
fires = metadata.tables["fires"]
