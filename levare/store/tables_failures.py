"""The tables of failures: what speaks for their classes, what ran when, and the seal of the audit."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Text
from sqlmodel import Field

from levare.store.columns import Table, document, instant, json_column, metadata


class FailureRow(Table, table=True):
    """What speaks for the class of failure of an attempt, which stands with the attempt itself."""

    __tablename__ = "failures"

    attempt_id: str = Field(sa_column=Column(ForeignKey("attempts.id"), primary_key=True))
    exception: str | None = Field(sa_column=Column(Text))
    """Its type, where an exception ended it."""
    evidence: list[dict[str, Any]] = Field(sa_column=json_column())
    """Lines, strongest first, each with its source and, of a log, its offset."""


class ProvenanceRow(Table, table=True):
    """What ran in an attempt, as its node saw it at the start: code, lock files, interpreter, driver."""

    __tablename__ = "provenance"

    attempt_id: str = Field(sa_column=Column(ForeignKey("attempts.id"), primary_key=True))
    found: dict[str, Any] = Field(sa_column=json_column())
    packages: str | None
    """The digest of the packages that were installed."""
    pins: str | None
    """The digest of what it shares with other runs; NULL in old rows, which have all of it in `found`."""
    patch: str | None
    """The digest of the uncommitted changes; NULL where there were none, or they were too many to keep."""


class PackagesRow(Table, table=True):
    """The packages of an environment, kept once however many attempts ran in it."""

    __tablename__ = "packages"

    digest: str = Field(primary_key=True)
    packages: list[str] = Field(sa_column=document())
    """Such as `numpy==2.1.0`, by name."""


class AuditHeadRow(Table, table=True):
    """The end of the chain of the audit; there is one row."""

    __tablename__ = "audit_head"

    id: int = Field(primary_key=True)
    sealed: int = Field(sa_type=BigInteger)
    """How many rows the chain has."""
    hash: str
    """Of the last of them."""
    sealed_at: datetime = Field(sa_column=instant(nullable=False))


failures = metadata.tables["failures"]
provenance = metadata.tables["provenance"]
packages = metadata.tables["packages"]
audit_head = metadata.tables["audit_head"]
