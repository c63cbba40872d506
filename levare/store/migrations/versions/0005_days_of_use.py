"""days of use: found by the day, for periods are read at each decision"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_use_days_day", "use_days", ["day"], unique=False)
