"""classes of failures with their evidence, what ran when, and an audit that shows what was changed in it"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Json, Utc

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_IS_OPEN = sa.text("hash IS NULL")


def upgrade() -> None:
    op.add_column("attempts", sa.Column("failure", sa.String(), nullable=True))
    op.add_column("jobs", sa.Column("code", Json, nullable=True))
    op.create_index("ix_attempts_ended_at", "attempts", ["ended_at"])
    op.create_table(
        "failures",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("exception", sa.Text(), nullable=True),
        sa.Column("evidence", Json, nullable=False),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_failures_attempt_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_failures")),
    )
    op.create_table(
        "provenance",
        sa.Column("attempt_id", sa.String(), nullable=False),
        sa.Column("found", Json, nullable=False),
        sa.Column("packages", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["attempt_id"], ["attempts.id"], name=op.f("fk_provenance_attempt_id")),
        sa.PrimaryKeyConstraint("attempt_id", name=op.f("pk_provenance")),
    )
    op.create_table(
        "packages",
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("packages", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_packages")),
    )
    op.add_column("audit", sa.Column("place", sa.BigInteger(), nullable=True))
    op.add_column("audit", sa.Column("hash", sa.String(), nullable=True))
    op.create_index("ix_audit_place", "audit", ["place"], unique=True)
    op.create_index("ix_audit_open", "audit", ["id"], sqlite_where=_IS_OPEN, postgresql_where=_IS_OPEN)
    op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("sealed_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_head")),
    )
