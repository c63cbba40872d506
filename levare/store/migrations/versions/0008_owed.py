"""for whom others made room lately"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_attempts_preempted", "attempts", ["preempted_at"])
