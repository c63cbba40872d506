"""what is to be cancelled without a look at all that waits, and what runs by its nodes"""

from alembic import op
from sqlalchemy import text

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_IS_UNWANTED = text("cancel_requested_at IS NOT NULL")


def upgrade() -> None:
    op.drop_index("ix_attempts_settled", table_name="attempts")
    op.create_index("ix_attempts_settled", "attempts", ["settled", "node"])
    op.drop_index("ix_jobs_cancel_requested_at", table_name="jobs")
    op.create_index("ix_jobs_unwanted", "jobs", ["state"], sqlite_where=_IS_UNWANTED, postgresql_where=_IS_UNWANTED)
