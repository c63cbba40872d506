"""pools, machines, the workers that pools have on them, and invitations of machines"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Json, Utc

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "pools",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("changed_at", Utc(), nullable=False),
        sa.Column("paused_at", Utc(), nullable=True),
        sa.Column("paused_by", sa.String(), nullable=True),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("decided_at", Utc(), nullable=True),
        sa.Column("surplus_since", Utc(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pools")),
    )
    op.create_table(
        "machines",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("joined_at", Utc(), nullable=False),
        sa.Column("invited_by", sa.String(), nullable=False),
        sa.Column("seen_at", Utc(), nullable=True),
        sa.Column("draining_by", sa.String(), nullable=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("cpus", sa.Integer(), nullable=False),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("scratch_mib", sa.Integer(), nullable=False),
        sa.Column("gpus", Json, server_default="[]", nullable=False),
        sa.Column("workers", Json, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_machines")),
    )
    op.create_table(
        "pool_workers",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("pool", sa.String(), nullable=False),
        sa.Column("machine", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("share", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", Utc(), nullable=False),
        sa.CheckConstraint("state IN ('wanted', 'draining', 'stopping')", name=op.f("ck_pool_workers_state")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_pool_workers")),
    )
    op.create_index("ix_pool_workers_machine", "pool_workers", ["machine"])
    op.create_table(
        "invitations",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("machine", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("expires_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_invitations")),
    )
    op.create_index(op.f("ix_invitations_expires_at"), "invitations", ["expires_at"])
