"""samples, down-sampled, and indexes for what is forgotten by its age"""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "samples",
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("tier", sa.SmallInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("layout", sa.String(), nullable=False),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("kind IN ('node', 'attempt')", name=op.f("ck_samples_kind")),
        sa.CheckConstraint("tier IN (10, 60, 900)", name=op.f("ck_samples_tier")),
        sa.PrimaryKeyConstraint("kind", "owner", "tier", "at", name=op.f("pk_samples")),
    )
    op.create_index("ix_samples_age", "samples", ["tier", "at"])
    op.create_table(
        "sample_layouts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("names", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sample_layouts")),
    )
    op.create_index("ix_activations_age", "activations", ["decided_at"])
    op.create_index("ix_idempotency_age", "idempotency", ["created_at"])
