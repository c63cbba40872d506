"""The tables of samples: what nodes and attempts measured, down-sampled, and the names of what was measured."""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, SmallInteger
from sqlmodel import Field

from levare.model.sampled import TIERS
from levare.store.columns import Table, document, metadata


class SampleRow(Table, table=True):
    """
    A bucket of a tier: mean, lowest and highest of each counter, packed. It is written once and never changed.

    `values` are in the order of the names of its layout; only `levare.store.samples` knows how.
    """

    __tablename__ = "samples"
    __table_args__ = (
        CheckConstraint("kind IN ('node', 'attempt')", name="kind"),
        CheckConstraint(f"tier IN ({', '.join(map(str, TIERS))})", name="tier"),
        Index("ix_samples_age", "tier", "at"),
    )

    kind: str = Field(primary_key=True)
    owner: str = Field(primary_key=True)
    """The name of a node or the id of an attempt; no reference, for it may be written before or after it."""
    tier: int = Field(sa_column=Column(SmallInteger, primary_key=True))
    """Seconds that it is of."""
    at: int = Field(sa_column=Column(BigInteger, primary_key=True))
    """Seconds since 1970 at its begin: a number, because there are so many of these rows."""
    samples: int
    layout: str
    values: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class SampleLayoutRow(Table, table=True):
    """Names of counters in the order of the values of a row, by a digest of them. There are few of these."""

    __tablename__ = "sample_layouts"

    id: str = Field(primary_key=True)
    names: list[Any] = Field(sa_column=document())


samples = metadata.tables["samples"]
sample_layouts = metadata.tables["sample_layouts"]
