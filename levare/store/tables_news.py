"""The table of news: every change of a state, in the order in which it was committed, for whoever follows."""

from datetime import datetime

from sqlalchemy import BigInteger, Column, Index, Text
from sqlmodel import Field

from levare.store.columns import Table, instant, metadata


class NewsRow(Table, table=True):
    """
    One change of a state. The database itself writes it, by triggers, whoever makes the change.

    `mark` is the transaction on PostgreSQL, and 0 on SQLite, where they come one after the other.
    """

    __tablename__ = "news"
    __table_args__ = (
        Index("ix_news_place", "mark", "number"),
        Index("ix_news_age", "at"),
        {"sqlite_autoincrement": True},
    )

    number: int | None = Field(default=None, primary_key=True)
    mark: int = Field(sa_type=BigInteger)
    at: datetime = Field(sa_column=instant(nullable=False))
    kind: str
    """`job`, `node`, `alert` or `event`."""
    name: str = Field(sa_column=Column(Text, nullable=False))
    team: str | None
    """Whose it is; NULL for the fleet's."""
    before: str | None
    """NULL for what has begun."""
    after: str


news = metadata.tables["news"]
