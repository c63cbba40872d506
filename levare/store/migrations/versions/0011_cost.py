"""what runs cost and consume"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("nodes", sa.Column("price", sa.Float(), nullable=True))
    for name in ("cost", "energy_joules"):
        op.add_column("jobs", sa.Column(name, sa.Float(), nullable=True))
    for name in ("price", "node_share", "cost", "energy_joules"):
        op.add_column("attempts", sa.Column(name, sa.Float(), nullable=True))
