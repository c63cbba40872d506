"""The tables of what trainings tell: beside their points, what each metric came to, and how far an attempt is."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey
from sqlmodel import Field

from levare.store.columns import Table, instant, json_column, metadata


class SummaryRow(Table, table=True):
    """One metric in one stage of an attempt, exact for all that was told, whatever was thinned of its points."""

    __tablename__ = "summaries"

    attempt_id: str = Field(sa_column=Column(ForeignKey("attempts.id"), primary_key=True))
    stage: str = Field(primary_key=True)
    """Empty for what was told without a stage."""
    name: str = Field(primary_key=True)
    count: int = Field(sa_type=BigInteger)
    finite: int = Field(sa_type=BigInteger)
    """How many of them were finite numbers; these have a mean, a least and a greatest."""
    mean: float
    least: float | None
    least_step: int | None
    """Where it came first, as for the greatest."""
    greatest: float | None
    greatest_step: int | None
    last: float | None
    """NULL where the last was not finite; `last_word` says then what it was."""
    last_word: str | None
    last_step: int | None
    last_at: datetime | None = Field(sa_column=instant())


class CourseRow(Table, table=True):
    """How far an attempt is that has told anything, and what it was given."""

    __tablename__ = "courses"

    attempt_id: str = Field(sa_column=Column(ForeignKey("attempts.id"), primary_key=True))
    step: int | None
    epoch: float | None
    progress: float | None
    source: str | None
    """What the progress is taken from: `told`, `steps` or `epochs`."""
    begun: float | None
    """The progress that was known first, and since when; and when the last of it came."""
    begun_at: datetime | None = Field(sa_column=instant())
    told_at: datetime | None = Field(sa_column=instant())
    params: dict[str, Any] = Field(sa_column=json_column())
    kept: int
    """How many of its points are kept."""
    window: int | None = Field(sa_type=BigInteger)
    """Of each stretch of so many bytes of its file two points of a kind are kept; NULL while all are."""


summaries = metadata.tables["summaries"]
courses = metadata.tables["courses"]
