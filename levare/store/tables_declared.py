"""The tables of all that is declared: its revisions, which of them is in force, and templates of jobs and pipelines."""

from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKey, Index, Text
from sqlmodel import Field

from levare.store.columns import Table, document, instant, metadata

EDIT, APPLY, ROLLBACK = "edit", "apply", "rollback"


class RevisionRow(Table, table=True):
    """A change of what is declared, of one object or of several at once. Numbers grow by one."""

    __tablename__ = "revisions"
    __table_args__ = (
        Index("ix_revisions_plan", "plan"),
        Index("ix_revisions_origin", "origin", "number"),
    )

    number: int | None = Field(default=None, primary_key=True)
    at: datetime = Field(sa_column=instant(nullable=False, index=True))
    by: str
    source: str
    reason: str
    origin: str
    """A change of one object by itself, a plan that was applied, or one that went back to an earlier revision."""
    plan: str | None
    """The digest of the plan that was applied."""
    commit: str | None
    """Of the checkout that the manifest came from, and whether it held what was not committed."""
    dirty: bool | None
    digest: str
    """Of all that is declared from then on: equal digests mean equal declarations."""
    created: int
    updated: int
    removed: int


class ChangeRow(Table, table=True):
    """What a revision changed in one object: NULL before it existed, NULL after it was removed."""

    __tablename__ = "changes"
    __table_args__ = (Index("ix_changes_object", "kind", "name", "revision"),)

    revision: int = Field(sa_column=Column(ForeignKey("revisions.number"), primary_key=True))
    kind: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    before: dict[str, Any] | None = Field(sa_column=document(nullable=True))
    after: dict[str, Any] | None = Field(sa_column=document(nullable=True))


class HeadRow(Table, table=True):
    """
    The revision that is in force, and who has the lock: of that there is one row.

    Every revision changes it first, so that revisions come one after the other on every database.
    """

    __tablename__ = "declared_head"

    id: int = Field(primary_key=True)
    revision: int
    digest: str
    lock_id: str | None
    lock_owner: str | None
    """The name of the token that holds it."""
    lock_reason: str | None = Field(sa_column=Column(Text))
    locked_at: datetime | None = Field(sa_column=instant())
    locked_until: datetime | None = Field(sa_column=instant())
    """From then on nobody holds it."""


class JobTemplateRow(Table, table=True):
    """A job that schedules and triggers of a manifest name."""

    __tablename__ = "job_templates"

    name: str = Field(primary_key=True)
    definition: dict[str, Any] = Field(sa_column=document())
    revision: int
    owner: str
    changed_at: datetime = Field(sa_column=instant(nullable=False))


class PipelineTemplateRow(Table, table=True):
    """A pipeline that schedules and triggers of a manifest name."""

    __tablename__ = "pipeline_templates"

    name: str = Field(primary_key=True)
    definition: dict[str, Any] = Field(sa_column=document())
    revision: int
    owner: str
    changed_at: datetime = Field(sa_column=instant(nullable=False))


revisions = metadata.tables["revisions"]
changes = metadata.tables["changes"]
head = metadata.tables["declared_head"]
job_templates = metadata.tables["job_templates"]
pipeline_templates = metadata.tables["pipeline_templates"]
