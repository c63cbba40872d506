"""days of use: found by the day, for periods are read at each decision"""

from alembic import op

revision = "0013"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_use_days_day", "use_days", ["day"], unique=False)
