"""gangs: when an attempt was told to end because another part of its gang had ended"""

import sqlalchemy as sa
from alembic import op

from levare.store.types import Utc

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("peer_ended_at", Utc(), nullable=True))
