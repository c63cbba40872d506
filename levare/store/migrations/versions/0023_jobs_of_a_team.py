"""the jobs of one team, newest first, without a look at those of the others"""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_team", "jobs", ["team", "created_at", "id"])
