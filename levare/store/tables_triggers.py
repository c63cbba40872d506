"""The tables of triggers: events, what triggers there are, what happened to them, and the files that they watch."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Text, text
from sqlmodel import Field

from levare.decide.declared import KINDS
from levare.decide.triggers import OUTCOMES
from levare.store.columns import Table, document, instant, json_column, metadata, one_of

_UNSETTLED = text("NOT settled")


class TriggerRow(Table, table=True):
    """What starts what. All that people declare is in `definition`; the rest is where beat stands with it."""

    __tablename__ = "triggers"
    __table_args__ = (
        CheckConstraint(one_of("kind", KINDS), name="kind"),
        Index("ix_triggers_wakes_at", "wakes_at"),
    )

    name: str = Field(primary_key=True)
    kind: str = Field(index=True)
    definition: dict[str, Any] = Field(sa_column=document())
    revision: int
    """The number of the revision that declared it so."""
    owner: str
    """The name of the token that declared it so; its jobs are this user's."""
    begun_at: datetime = Field(sa_column=instant(nullable=False))
    """Since when it looks for this; what was before does not count."""
    changed_at: datetime = Field(sa_column=instant(nullable=False))
    paused_at: datetime | None = Field(sa_column=instant())
    paused_by: str | None
    paused_reason: str | None = Field(sa_column=Column(Text))
    wakes_at: datetime | None = Field(sa_column=instant())
    """When beat looks at it though nothing happens; NULL for never."""
    state: dict[str, Any] = Field(sa_column=json_column())
    """What beat has to know of it from one look to the next: what is armed, and since when what is beyond a bound."""
    problem: str | None = Field(sa_column=Column(Text))
    """Why it cannot do what it should; NULL where it can."""
    problem_at: datetime | None = Field(sa_column=instant())


class ActivationRow(Table, table=True):
    """
    Something that a trigger is about, and what became of it: once `run` or `held`, it never changes.

    A run is written in the transaction of its job. Several that share a run have the same job.
    """

    __tablename__ = "activations"
    __table_args__ = (
        CheckConstraint(one_of("outcome", OUTCOMES), name="outcome"),
        Index("ix_activations_key", "trigger", "key", unique=True),
        Index("ix_activations_outcome", "trigger", "outcome", "decided_at"),
        Index("ix_activations_same", "trigger", "same"),
        Index("ix_activations_at", "trigger", "at", "number"),
        Index("ix_activations_age", "decided_at"),
    )

    number: int | None = Field(default=None, primary_key=True)
    trigger: str
    key: str = Field(sa_column=Column(Text, nullable=False))
    same: str | None = Field(sa_column=Column(Text))
    at: datetime = Field(sa_column=instant(nullable=False))
    event: dict[str, Any] = Field(sa_column=document())
    size: int
    """Bytes of its event."""
    outcome: str
    reason: str = Field(sa_column=Column(Text, nullable=False))
    job_id: str | None = Field(sa_column=Column(ForeignKey("jobs.id"), index=True))
    """The job, or the first one of the pipeline."""
    pipeline: str | None
    decided_at: datetime | None = Field(sa_column=instant())
    epoch: int | None
    """Of the beat that decided it."""


class EventRow(Table, table=True):
    """
    A CloudEvent; its source and id name it, and `digest` is of both.

    Beat settles it: from then on its occurrences are activations.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_digest", "digest", unique=True),
        Index("ix_events_received", "received_at", "number"),
        Index("ix_events_type", "type", "received_at"),
        Index("ix_events_unsettled", "number", sqlite_where=_UNSETTLED, postgresql_where=_UNSETTLED),
    )

    number: int | None = Field(default=None, primary_key=True)
    digest: str
    source: str = Field(sa_column=Column(Text, nullable=False))
    id: str = Field(sa_column=Column(Text, nullable=False))
    type: str = Field(sa_column=Column(Text, nullable=False))
    subject: str | None = Field(sa_column=Column(Text))
    event: dict[str, Any] = Field(sa_column=document())
    """As it came."""
    received_at: datetime = Field(sa_column=instant(nullable=False))
    sender: str
    """The name of the token that sent it."""
    settled: bool


class EndingRow(Table, table=True):
    """A job that has ended and that beat has not yet shown to the triggers that are about such."""

    __tablename__ = "endings"

    job_id: str = Field(sa_column=Column(ForeignKey("jobs.id"), primary_key=True))


class WatchRow(Table, table=True):
    """That somebody watches the files of a trigger, and what he met."""

    __tablename__ = "watches"

    trigger: str = Field(primary_key=True)
    node: str
    """Who watches; empty for beat."""
    digest: str
    """Of what is watched: what is known of the files of something else is of no use."""
    scanned_at: datetime = Field(sa_column=instant(nullable=False))
    files: int
    problem: str | None = Field(sa_column=Column(Text))


class WatchedRow(Table, table=True):
    """A file as it was last seen."""

    __tablename__ = "watched"

    trigger: str = Field(primary_key=True)
    path: str = Field(sa_column=Column(Text, primary_key=True))
    size: int = Field(sa_type=BigInteger)
    mtime_ns: int = Field(sa_type=BigInteger)
    inode: str
    """As text: an unsigned number of 64 bits."""
    since: datetime = Field(sa_column=instant(nullable=False))
    news: str | None
    """What is to be told of it once it is still."""


triggers = metadata.tables["triggers"]
activations = metadata.tables["activations"]
events = metadata.tables["events"]
endings = metadata.tables["endings"]
watches = metadata.tables["watches"]
watched = metadata.tables["watched"]
