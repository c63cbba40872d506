"""The tables of access: who is signed in by a browser."""

from datetime import datetime

from sqlalchemy import Column, ForeignKey
from sqlmodel import Field

from levare.store.columns import Table, instant, metadata


class SessionRow(Table, table=True):
    """A browser that has shown a token. Only the SHA-256 of its cookie is kept; it ends with the token."""

    __tablename__ = "sessions"

    digest: str = Field(primary_key=True)
    token_id: str = Field(sa_column=Column(ForeignKey("tokens.id"), index=True, nullable=False))
    created_at: datetime = Field(sa_column=instant(nullable=False))
    expires_at: datetime = Field(sa_column=instant(index=True, nullable=False))


sessions = metadata.tables["sessions"]
