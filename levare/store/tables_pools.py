"""The tables of pools: what is declared, the machines, their workers, and the codes by which machines come in."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Column, Index, Text
from sqlmodel import Field

from levare.model.pools import WORKER_STATES
from levare.store.columns import Table, document, instant, json_column, json_list, metadata, one_of


class PoolRow(Table, table=True):
    """How many workers are to run where. All that people declare is in `definition`; the rest is what beat decided."""

    __tablename__ = "pools"

    name: str = Field(primary_key=True)
    definition: dict[str, Any] = Field(sa_column=document())
    revision: int
    owner: str
    changed_at: datetime = Field(sa_column=instant(nullable=False))
    paused_at: datetime | None = Field(sa_column=instant())
    paused_by: str | None
    paused_reason: str | None = Field(sa_column=Column(Text))
    wanted: int
    """How many workers it is to have, as beat decided last."""
    why: str = Field(sa_column=Column(Text, nullable=False))
    decided_at: datetime | None = Field(sa_column=instant())
    """When that changed last."""
    surplus_since: datetime | None = Field(sa_column=instant())
    """Since when it has had more workers than it needs."""


class MachineRow(Table, table=True):
    """A machine on which `levare node run` starts what pools ask for, as it said itself when it last asked."""

    __tablename__ = "machines"

    name: str = Field(primary_key=True)
    token_id: str
    """By which it asks."""
    joined_at: datetime = Field(sa_column=instant(nullable=False))
    invited_by: str
    seen_at: datetime | None = Field(sa_column=instant())
    draining_by: str | None
    """Who wants it empty; NULL for nobody."""
    version: str
    labels: dict[str, str] = Field(sa_column=json_column())
    cpus: int
    memory_mib: int
    scratch_mib: int
    gpus: list[dict[str, Any]] = Field(sa_column=json_list())
    """Each with `uuid`, `index`, `memory_mib` and `model`."""
    workers: dict[str, Any] = Field(sa_column=json_column())
    """What it says of each of its workers, by name."""


class PoolWorkerRow(Table, table=True):
    """A worker that a pool has on a machine, from the decision to start it until its machine has ended it."""

    __tablename__ = "pool_workers"
    __table_args__ = (
        CheckConstraint(one_of("state", WORKER_STATES), name="state"),
        Index("ix_pool_workers_machine", "machine"),
    )

    name: str = Field(primary_key=True)
    """The name of its node, too."""
    pool: str
    machine: str
    number: int
    share: dict[str, Any] = Field(sa_column=document())
    """What it has of the machine."""
    state: str
    reason: str = Field(sa_column=Column(Text, nullable=False))
    """Why it is in this state."""
    since: datetime = Field(sa_column=instant(nullable=False))


class InvitationRow(Table, table=True):
    """A code by which one machine may come in, once; only its SHA-256 is kept."""

    __tablename__ = "invitations"

    digest: str = Field(primary_key=True)
    machine: str | None
    """The only name that it admits."""
    created_by: str
    created_at: datetime = Field(sa_column=instant(nullable=False))
    expires_at: datetime = Field(sa_column=instant(nullable=False, index=True))


pools = metadata.tables["pools"]
machines = metadata.tables["machines"]
pool_workers = metadata.tables["pool_workers"]
invitations = metadata.tables["invitations"]
