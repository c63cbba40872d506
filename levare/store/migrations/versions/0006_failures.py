"""failures: why a family is held, what ended on a node"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("families", sa.Column("held_reason", sa.Text(), nullable=True))
    op.create_index("ix_families_held_until", "families", ["held_until"], unique=False)
    op.create_index("ix_attempts_ended", "attempts", ["node", "ended_at"], unique=False)
