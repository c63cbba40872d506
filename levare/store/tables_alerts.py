"""The tables of alerts: rules, alerts, silences, channels, deliveries, and what is kept of runs to compare with."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Text, text
from sqlmodel import Field

from levare.decide.alerts.rules import KINDS, SEVERITIES
from levare.decide.alerts.telling import NEWS
from levare.store.columns import Table, document, instant, json_column, metadata, one_of

CHANNEL_KINDS = ("webhook", "email", "apprise")
PENDING, SENT, FAILED = "pending", "sent", "failed"
DELIVERY_STATES = (PENDING, SENT, FAILED)
_OPEN, _PENDING = text("ended_at IS NULL"), text("state = 'pending'")


class AlertRuleRow(Table, table=True):
    """A rule that somebody has declared; one with the name of a default rule is in force instead of that."""

    __tablename__ = "alert_rules"
    __table_args__ = (CheckConstraint(one_of("kind", KINDS), name="kind"),)

    name: str = Field(primary_key=True)
    kind: str
    definition: dict[str, Any] = Field(sa_column=document())
    revision: int
    owner: str
    changed_at: datetime = Field(sa_column=instant(nullable=False))
    paused_at: datetime | None = Field(sa_column=instant())
    paused_by: str | None
    paused_reason: str | None = Field(sa_column=Column(Text))


class AlertRow(Table, table=True):
    """
    One breach of one rule by one subject, from its begin to its end.

    Of a rule and a subject one is open at a time, and none begins twice at one time: whoever writes second writes
    nothing.
    """

    __tablename__ = "alerts"
    __table_args__ = (
        CheckConstraint(one_of("severity", SEVERITIES), name="severity"),
        Index("ix_alerts_begin", "rule", "subject", "begun_at", unique=True),
        Index("ix_alerts_open", "rule", "subject", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_alerts_begun", "begun_at", "number"),
    )

    number: int | None = Field(default=None, primary_key=True)
    rule: str
    kind: str
    subject: str = Field(sa_column=Column(Text, nullable=False))
    scope: str | None = Field(sa_column=Column(Text))
    """What ends it, where that is not its subject: a family."""
    severity: str
    message: str = Field(sa_column=Column(Text, nullable=False))
    detail: dict[str, Any] = Field(sa_column=json_column())
    job_id: str | None = Field(index=True)
    node: str | None
    team: str | None
    family: str | None
    begun_at: datetime = Field(sa_column=instant(nullable=False))
    seen_at: datetime = Field(sa_column=instant(nullable=False))
    """When it was decided; it had begun before."""
    ended_at: datetime | None = Field(sa_column=instant())
    ended_reason: str | None = Field(sa_column=Column(Text))
    is_silenced: bool
    """Whether nobody was told, for a silence."""
    told: list[str] = Field(sa_column=json_column())
    """The channels that were told of its begin, and are of its end."""
    acknowledged_at: datetime | None = Field(sa_column=instant())
    acknowledged_by: str | None
    acknowledged_note: str | None = Field(sa_column=Column(Text))
    epoch: int | None
    """Of the beat that decided it."""


class SilenceRow(Table, table=True):
    """For a time nobody is told of alerts that fit all that is said here."""

    __tablename__ = "silences"

    number: int | None = Field(default=None, primary_key=True)
    rule: str | None
    job: str | None
    team: str | None
    node: str | None
    reason: str = Field(sa_column=Column(Text, nullable=False))
    created_by: str
    created_at: datetime = Field(sa_column=instant(nullable=False))
    ends_at: datetime = Field(sa_column=instant(nullable=False, index=True))
    """Of one that was removed when that was."""


class ChannelRow(Table, table=True):
    """A way to tell people. Secrets are not in it, only their names."""

    __tablename__ = "channels"
    __table_args__ = (CheckConstraint(one_of("kind", CHANNEL_KINDS), name="kind"),)

    name: str = Field(primary_key=True)
    kind: str
    definition: dict[str, Any] = Field(sa_column=document())
    revision: int
    owner: str
    changed_at: datetime = Field(sa_column=instant(nullable=False))
    paused_at: datetime | None = Field(sa_column=instant())
    paused_by: str | None
    paused_reason: str | None = Field(sa_column=Column(Text))


class DeliveryRow(Table, table=True):
    """
    What a channel is to say: pending until it was sent, or until it has failed too often.

    It is sent at least once, always with the same id, by which a receiver knows it again. Until it was first tried,
    more alerts of its rule may join it.
    """

    __tablename__ = "deliveries"
    __table_args__ = (
        CheckConstraint(one_of("state", DELIVERY_STATES), name="state"),
        CheckConstraint(one_of("news", NEWS), name="news"),
        Index("ix_deliveries_due", "next_at", sqlite_where=_PENDING, postgresql_where=_PENDING),
        Index("ix_deliveries_channel", "channel", "created_at"),
    )

    id: str = Field(primary_key=True)
    channel: str
    rule: str
    news: str
    alerts: list[int] = Field(sa_column=json_column())
    state: str
    attempts: int
    opens_at: datetime = Field(sa_column=instant(nullable=False))
    """When it is first tried; what comes within a minute after that waits for the next."""
    next_at: datetime = Field(sa_column=instant(nullable=False))
    created_at: datetime = Field(sa_column=instant(nullable=False))
    sent_at: datetime | None = Field(sa_column=instant())
    last_error: str | None = Field(sa_column=Column(Text))


class RunSummaryRow(Table, table=True):
    """What a successful run of a family came to, for those that come after it; the last of each family are kept."""

    __tablename__ = "run_summaries"
    __table_args__ = (Index("ix_run_summaries_family", "family", "number"),)

    number: int | None = Field(default=None, primary_key=True)
    job_id: str = Field(unique=True)
    family: str
    ended_at: datetime = Field(sa_column=instant(nullable=False))
    summary: dict[str, Any] = Field(sa_column=json_column())


class AlertEndingRow(Table, table=True):
    """A job that has ended and that no rule has looked at yet."""

    __tablename__ = "alert_endings"

    job_id: str = Field(sa_column=Column(ForeignKey("jobs.id"), primary_key=True))


class AlertLookRow(Table, table=True):
    """When rules were last looked at: of that there is one row."""

    __tablename__ = "alert_looks"

    id: int = Field(primary_key=True)
    looked_at: datetime = Field(sa_column=instant(nullable=False))


alert_rules = metadata.tables["alert_rules"]
alerts = metadata.tables["alerts"]
silences = metadata.tables["silences"]
channels = metadata.tables["channels"]
deliveries = metadata.tables["deliveries"]
run_summaries = metadata.tables["run_summaries"]
alert_endings = metadata.tables["alert_endings"]
alert_looks = metadata.tables["alert_looks"]
