"""what requests with an idempotency key were answered, instead of only which job they made"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Utc

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "answers",
        sa.Column("token_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("created_at", Utc(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("location", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("token_id", "key", name=op.f("pk_answers")),
    )
    op.create_index("ix_answers_age", "answers", ["created_at"])
    op.drop_table("idempotency")
