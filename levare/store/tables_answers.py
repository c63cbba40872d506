"""The table of answers to requests with an idempotency key."""

from datetime import datetime

from sqlalchemy import Column, Index, Text
from sqlmodel import Field

from levare.store.columns import Table, instant, metadata


class AnswerRow(Table, table=True):
    """
    What one request under a key of one token was answered, so that a repeat is answered alike and makes nothing.

    It is written in the transaction that makes what it tells of; `status` is NULL only inside of that.
    """

    __tablename__ = "answers"
    __table_args__ = (Index("ix_answers_age", "created_at"),)

    token_id: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    digest: str
    """Of the request: method, path and body."""
    created_at: datetime = Field(sa_column=instant(nullable=False))
    status: int | None
    body: str | None = Field(sa_column=Column(Text))
    """JSON; a secret in it is null."""
    location: str | None


answers = metadata.tables["answers"]
